"""Who dies, and what is left: parts of velo killed in the middle of a build."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from support import project, sample, storm
from support.gauge import MIB, SLACK_BYTES, Gauge
from support.harness import Velo, wait_for

VICTIMS: dict[str, Callable[[Velo], list[int]]] = {
    "router": lambda velo: [velo.server_pid()],
    "shard": lambda velo: velo.shard_pids()[:1],
    "all": lambda velo: [velo.server_pid(), *velo.shard_pids()],
}


@pytest.mark.parametrize("victims", VICTIMS)
def test_a_build_survives_the_death_of_velo(velo: Velo, workspace, victims: str) -> None:
    place = workspace()
    project.write(place, units=60)
    expected = project.native(place)
    velo.exec(*project.configure_command(), cwd=place)
    building = velo.start("exec", "--", *project.build_command(), cwd=place)
    _wait_until_half_built(velo, building)

    for pid in VICTIMS[victims](velo):
        os.kill(pid, signal.SIGKILL)
    velo.finish(building)

    velo.run("sync", cwd=place)
    project.assert_built_as(expected, place)


@pytest.mark.sample
def test_a_real_project_is_built_in_too_little_memory_by_a_velo_that_dies(
    velo: Velo, workspace
) -> None:
    # Goal: the cap and every death at once, on the real project. Method: less memory than the build
    # writes; a shard, then the router, then all of velo killed as the build goes on.
    place = workspace(
        toml='[live]\nmax_memory = "4MiB"\nshards = 2\naggressive_paths = ["build/"]\n'
    )
    sample.unpack(place)
    expected = project.native(place, target=sample.HALF)
    velo.exec(*project.configure_command(), cwd=place)
    gauge = Gauge(velo.root)
    gauge.start()
    said = place / "ninja.txt"
    with open(said, "w") as out:
        command = project.build_command(target=sample.HALF)
        building = velo.start("exec", "--", *command, cwd=place, stdout=out)

    try:
        for steps, victims in ((30, "shard"), (80, "router"), (130, "all")):
            _wait_until_steps(said, building, steps)
            for pid in VICTIMS[victims](velo):
                os.kill(pid, signal.SIGKILL)
            if victims != "shard":
                velo.exec("true", cwd=place)  # whoever comes next starts a server, which adopts
        velo.finish(building, timeout_s=project.BUILD_TIMEOUT_S)
    finally:
        gauge.stop()

    velo.run("sync", cwd=place)
    project.assert_built_as(expected, place, target=sample.HALF)
    assert gauge.highest_bytes <= 4 * MIB + SLACK_BYTES


def test_a_server_adopts_what_dead_ones_left_in_memory(velo: Velo, workspace) -> None:
    # Goal: nothing that was closed is lost with velo. Method: flushing paused, all of velo killed
    # after a build that did not wait, then a server by hand.
    place = workspace()
    project.write(place, units=6)
    expected = project.native(place)
    velo.exec(*project.configure_command(), cwd=place)
    velo.run("pause", cwd=place)
    velo.run("exec", "--no-wait", "--", *project.build_command(), cwd=place)
    assert not (place / "build/result.txt").exists()

    for pid in VICTIMS["all"](velo):
        os.kill(pid, signal.SIGKILL)
    velo.serve(cwd=place)
    velo.run("sync", cwd=place)

    project.assert_built_as(expected, place)


def test_a_server_told_to_end_flushes_first(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "build").mkdir()
    server = velo.serve(cwd=place)
    velo.run("pause", cwd=place)
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo kept > build/file", cwd=place)

    server.send_signal(signal.SIGTERM)

    assert server.wait(timeout=300) == 0
    assert (place / "build/file").read_text() == "kept\n"
    assert velo.left() == []


def test_a_killed_program_leaves_what_it_had_closed(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "build").mkdir()
    script = "echo closed > build/closed; exec 3> build/open; echo written >&3; kill -9 $$"

    done = velo.exec("sh", "-c", script, cwd=place, check=False)

    assert done.returncode == -signal.SIGKILL
    assert (place / "build/closed").read_text() == "closed\n"
    assert (place / "build/open").read_text() == "written\n"


def test_a_stale_socket_is_no_obstacle(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    stale = velo.arena()
    for pid in VICTIMS["all"](velo):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any("worker" in line for line in velo.left()))
    assert (stale / "router.sock").exists()

    done = velo.exec("sh", "-c", "mkdir -p build && echo new > build/file", cwd=place)

    assert done.stderr == ""
    assert (place / "build/file").read_text() == "new\n"


@pytest.mark.parametrize("served", [True, False], ids=["a server runs", "none runs"])
def test_stop_removes_what_a_command_killed_while_it_started_a_server_left(
    velo: Velo, workspace, served: bool
) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    left = [velo.arena().with_suffix(".start")]
    if not served:
        left.append(velo.arena().with_suffix(".lock"))
        velo.stop(cwd=place)
        velo.root.mkdir(mode=0o700, exist_ok=True)
    for path in left:
        path.touch()

    velo.stop(cwd=place)

    assert not velo.root.exists()


def _wait_until_half_built(velo: Velo, building: subprocess.Popen[str]) -> None:
    """Until some object files are in memory or on disk, and the build still runs."""
    started = len(_files(velo))
    wait_for(lambda: len(_files(velo)) > started + 20 or building.poll() is not None)
    assert building.poll() is None, "the build ended before anything could be killed"


def _wait_until_steps(said: Path, building: subprocess.Popen[str], steps: int) -> None:
    """Until ninja, which still runs, has told `said` of that many steps."""
    wait_for(
        lambda: said.read_text().count("\n") > steps or building.poll() is not None,
        timeout_s=project.BUILD_TIMEOUT_S,
    )
    assert building.poll() is None, "the build ended before anything could be killed"


def _files(velo: Velo) -> list[str]:
    with suppress(OSError, ValueError):
        return os.listdir(velo.memory() / "i")
    return []


@pytest.mark.parametrize("rate", [0, 10], ids=["nothing is killed", "all is killed"])
def test_programs_find_what_they_wrote_while_files_leave_memory(velo: Velo, tmp_path, rate) -> None:
    # Goal: no file ever has another's bytes, and none that was closed is lost. Method: the storm.
    killed: Counter[str] = Counter()

    found = storm.round_of(velo, tmp_path, 3, rate=rate, seconds=12.0, killed=killed)

    assert not found and bool(killed) == bool(rate)


def test_a_second_server_for_a_workspace_is_refused(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)

    done = velo.run("serve", cwd=place, check=False)

    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "already serving" in sentence


def test_shards_keep_no_lock_of_a_server_that_began_without_standard_streams(
    velo: Velo, workspace
) -> None:
    # Given: the first files that it opens would have the numbers that its shards keep
    place = workspace()
    closed = partial(os.closerange, 1, 3)
    velo.start("serve", cwd=place, stdout=None, stderr=None, preexec_fn=closed)
    wait_for(lambda: velo.run("status", cwd=place, check=False).returncode == 0)

    kept = {os.readlink(f"/proc/{pid}/fd/{n}") for pid in velo.shard_pids() for n in range(3)}

    assert kept == {os.devnull}
    velo.run("stop", cwd=place)


def test_an_arena_removed_by_hand_is_made_anew(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    for pid in VICTIMS["all"](velo):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(velo.root)

    done = velo.exec("sh", "-c", "mkdir -p build && echo new > build/file", cwd=place)

    assert Path(place, "build/file").read_text() == "new\n"
    assert done.returncode == 0
