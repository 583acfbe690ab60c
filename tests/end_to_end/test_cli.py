"""The command line as its users meet it: servers come and go, and what is wrong is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from support.harness import Velo, command_of, processes_of, sentence, wait_for

TABLE = '[live]\naggressive_paths = ["build/"]\n'


# ---- servers ------------------------------------------------------------------------------------


def test_ten_at_once_without_a_server_are_one_server_and_ten_successes(
    velo: Velo, workspace
) -> None:
    place = workspace()
    (place / "build").mkdir()
    commands = [
        velo.start("exec", "--", "sh", "-c", f"echo {n} > build/{n}", cwd=place) for n in range(10)
    ]

    ends = [velo.finish(command) for command in commands]

    assert [done.stderr for done in ends] == [""] * 10
    assert [(place / f"build/{n}").read_text() for n in range(10)] == [f"{n}\n" for n in range(10)]
    servers = [line for line in velo.left() if "velo.router.daemon" in line]
    assert len(servers) == 1


def test_two_workspaces_do_not_see_each_other(velo: Velo, workspace) -> None:
    one, two = workspace("one"), workspace("two")
    for place in (one, two):
        velo.exec("sh", "-c", f"mkdir build; echo {place.name} > build/who", cwd=place)

    assert velo.exec("cat", "build/who", cwd=one).stdout == "one\n"
    assert velo.exec("cat", "build/who", cwd=two).stdout == "two\n"
    pids = {
        json.loads(velo.run("status", "--json", cwd=p).stdout)["server"]["pid"] for p in (one, two)
    }
    assert len(pids) == 2


def test_velo_inside_velo_is_velo(velo: Velo, workspace) -> None:
    one, two = workspace("one"), workspace("two")
    inner = f"{velo.executable} exec -- sh -c 'echo $PWD > build/inner'"
    velo.workspaces.add(two)

    done = velo.exec(
        "sh",
        "-c",
        f"mkdir build {two}/build; {inner}; cd {two}; {inner}; exit 4",
        cwd=one,
        check=False,
    )

    assert (done.returncode, done.stderr) == (4, "")
    assert (one / "build/inner").read_text() == f"{one}\n"
    assert (two / "build/inner").read_text() == f"{two}\n"


def test_a_workspace_below_a_hosted_directory_is_seen_by_both(velo: Velo, workspace) -> None:
    outer = workspace("outer")
    inner = outer / "build/inner"
    (inner / "build").mkdir(parents=True)
    (inner / "velo.toml").write_text((outer / "velo.toml").read_text())
    velo.workspaces.add(inner)
    commands = (
        "echo 1 > build/inner/build/outer; cd build/inner",
        f"{velo.executable} exec -- sh -c 'cat build/outer; echo 2 > build/f; echo 3 > plain'",
        "cat build/f plain",
    )

    done = velo.exec("sh", "-c", "; ".join(commands), cwd=outer)

    assert done.stdout.split() == ["1", "2", "3"]


def test_the_kill_switch_runs_the_plain_command(velo: Velo, workspace) -> None:
    place = workspace()

    done = velo.exec("sh", "-c", "echo ${LD_PRELOAD-none}", cwd=place, env={"VELO_DISABLE": "1"})

    assert done.stdout == "none\n"
    assert velo.left() == []


def test_serve_says_when_it_is_ready_and_leaves_nothing_behind(velo: Velo, workspace) -> None:
    place = workspace()
    server = velo.start("serve", "--shards", "3", "--max-memory", "64MiB", cwd=place)
    assert server.stdout is not None

    line = server.stdout.readline()

    assert line == f"velo: serving {place} (3 shards, 64.0 MiB) pid {server.pid}\n"
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    assert velo.left() == []


def test_a_started_server_ends_itself_when_nobody_uses_it(velo: Velo, workspace) -> None:
    place = workspace()

    velo.run("exec", "--idle-exit", "200ms", "--", "true", cwd=place)

    wait_for(lambda: not velo.left(), what=lambda: str(velo.left()))


def test_settings_that_change_take_effect_with_the_next_command(velo: Velo, workspace) -> None:
    place = workspace(toml=TABLE)
    velo.exec("true", cwd=place)
    (place / "velo.toml").write_text('[live]\naggressive_paths = ["build/", "out/"]\n')

    done = velo.exec("sh", "-c", "mkdir out; echo x > out/a", cwd=place)

    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    assert done.stderr == ""
    assert status["server"]["settings"]["aggressive_paths"] == ["build/", "out/"]
    assert (place / "out/a").read_text() == "x\n"


def test_settings_that_change_wait_for_who_is_inside(velo: Velo, workspace) -> None:
    place = workspace(toml=TABLE)
    (place / "go").touch()
    inside = velo.start(
        "exec", "--", "sh", "-c", "while test -e go; do sleep 0.05; done", cwd=place
    )
    wait_for(lambda: velo.run("status", cwd=place, check=False).returncode == 0)
    wait_for(lambda: json.loads(velo.run("status", "--json", cwd=place).stdout)["sessions"] != [])

    done = velo.run("exec", "--shards", "5", "--", "true", cwd=place)

    assert "do not take effect yet" in sentence(done)
    refused = velo.run("stop", cwd=place, check=False)
    assert refused.returncode == 1 and "in use" in sentence(refused)
    (place / "go").unlink()
    velo.finish(inside)


def test_status_has_its_parts(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("sh", "-c", "mkdir build; echo x > build/a", cwd=place)

    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    text = velo.run("status", cwd=place).stdout

    assert status["workspace"] == str(place)
    assert status["memory"]["max_bytes"] == 256_000_000
    assert sum(count["count"] for count in status["files"].values()) == 1
    assert status["processes"]["interposed"]["sh"]["count"] == 1
    assert len(status["shards"]) == 2 and all(shard["answers"] for shard in status["shards"])
    assert "sh 1" in text and "shard 1" in text


def test_without_a_server_nothing_is_started_to_say_so(velo: Velo, workspace) -> None:
    place = workspace()

    for command, status in (("status", 1), ("sync", 1), ("unload", 1), ("stop", 0)):
        done = velo.run(command, cwd=place, check=False)
        assert done.returncode == status
        assert "no server" in sentence(done)
    assert velo.left() == []


def test_a_runtime_directory_may_be_named_from_where_one_stands(velo: Velo, workspace) -> None:
    # The server starts at `/`: it looked elsewhere, and the command for the server, for ever.
    place = workspace()
    env = {"VELO_RUNTIME_DIR": os.path.relpath(velo.root, place)}

    velo.exec("sh", "-c", "mkdir -p build && cd build && echo hosted > f", cwd=place, env=env)

    assert (place / "build/f").read_text() == "hosted\n"
    velo.run("stop", cwd=place)


def test_unload_gives_the_memory_back_and_keeps_the_files(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "build").mkdir()
    velo.exec("sh", "-c", "head -c 5000000 /dev/urandom > build/big; sync build/big", cwd=place)

    velo.run("unload", cwd=place)

    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    assert status["files"]["backed"]["bytes"] == 0
    assert velo.exec("wc", "-c", "build/big", cwd=place).stdout == "5000000 build/big\n"


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_killed_server_is_replaced_and_nothing_is_lost(velo: Velo, workspace, when: str) -> None:
    place = workspace()
    (place / "build").mkdir()
    velo.exec("true", cwd=place)
    if when == "before":
        velo.run("pause", cwd=place)
        velo.run("exec", "--no-wait", "--", "sh", "-c", "echo kept > build/a", cwd=place)
        os.kill(velo.server_pid(), signal.SIGKILL)
        done = velo.exec("true", cwd=place)
    else:
        script = "echo kept > build/a; kill -9 $0; sleep 0.3"
        done = velo.exec("sh", "-c", script, str(velo.server_pid()), cwd=place)

    assert done.stderr == ""
    assert (place / "build/a").read_text() == "kept\n"


def test_shards_that_still_start_when_their_server_is_killed_do_not_stay(
    velo: Velo, workspace
) -> None:
    place = workspace()
    for _ in range(3):
        velo.run("exec", "--shards", "6", "--", "true", cwd=place)

        os.kill(velo.server_pid(), signal.SIGKILL)

    wait_for(lambda: not processes_of(velo.root), what=lambda: str(velo.left()))


def test_a_shard_has_nothing_of_its_server_but_the_log(velo: Velo, workspace) -> None:
    """The first ones are forks of it: a lock that they had would outlive a killed server."""
    place = workspace()
    velo.exec("true", cwd=place)
    velo.run("status", cwd=place)  # all of them have answered
    server = velo.server_pid()

    for pid in velo.shard_pids():
        shared = open_in(pid) & open_in(server) - {"/dev/null"}
        assert [Path(each).name for each in shared] == ["server.log"]
        assert command_of(pid).startswith("velo-shard-") and os.getpgid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        status = Path(f"/proc/{pid}/status").read_text()
        assert "SigBlk:\t0000000000000000\n" in status


def open_in(pid: int) -> set[str]:
    """What a process has open, but for what the kernel calls by the same name everywhere."""
    found = {os.readlink(each.path) for each in os.scandir(f"/proc/{pid}/fd")}
    return {each for each in found if not each.startswith("anon_inode:")}


def test_shards_of_a_killed_server_do_not_stay(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    shards = velo.shard_pids()

    os.kill(velo.server_pid(), signal.SIGKILL)

    assert len(shards) == 2
    wait_for(lambda: not set(shards) & set(processes_of(velo.root)))


# ---- what is said when something is wrong -------------------------------------------------------


@pytest.mark.parametrize(("command", "status"), [("exec", 125), ("serve", 2), ("doctor", 2)])
def test_bad_configuration_is_one_sentence(
    velo: Velo, workspace, command: str, status: int
) -> None:
    place = workspace(toml="[live]\nmax_memroy = 1\n")

    done = velo.run(command, *(["true"] if command == "exec" else []), cwd=place, check=False)

    assert done.returncode == status
    assert "did you mean 'max_memory'" in sentence(done)
    assert velo.left() == []


def test_a_flag_that_does_not_exist_is_a_usage_error(velo: Velo, workspace) -> None:
    done = velo.run("exec", "--no-such-flag", "--", "true", cwd=workspace(), check=False)

    assert done.returncode == 2
    assert "--no-such-flag" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "near"), [("exce", "exec"), ("statuss", "status"), ("x", "")])
def test_a_command_that_does_not_exist_is_told_the_nearest(
    velo: Velo, workspace, given: str, near: str
) -> None:
    done = velo.run(given, cwd=workspace(), check=False)

    assert done.returncode == 2
    assert done.stderr.count("Did you mean") == bool(near)
    assert repr(near) in done.stderr or not near


@pytest.mark.parametrize(("command", "status"), [("exec", 125), ("serve", 1)])
@pytest.mark.parametrize("trouble", ["too long", "not a directory", "open to others"])
def test_a_runtime_directory_that_cannot_be_used_is_one_sentence(
    velo: Velo, workspace, tmp_path: Path, command: str, status: int, trouble: str
) -> None:
    place = workspace()
    root = tmp_path / ("long" * 30 if trouble == "too long" else "root")
    if trouble == "not a directory":
        root.write_text("")
    if trouble == "open to others":
        root.mkdir(mode=0o777)
        root.chmod(0o777)
    arguments = ["--require", "true"] if command == "exec" else []

    done = velo.run(
        command, *arguments, cwd=place, env={"VELO_RUNTIME_DIR": str(root)}, check=False
    )

    assert done.returncode == status
    assert "VELO_RUNTIME_DIR" in sentence(done)


@pytest.mark.parametrize(("command", "status"), [("exec", 125), ("serve", 1)])
def test_a_store_that_cannot_be_written_is_one_sentence(
    velo: Velo, workspace, command: str, status: int
) -> None:
    place = workspace()
    arguments = ["--require", "true"] if command == "exec" else []

    done = velo.run(command, *arguments, cwd=place, env={"VELO_CAS_DIR": "/proc/velo"}, check=False)

    assert done.returncode == status
    assert "VELO_CAS_DIR" in sentence(done)
    wait_for(lambda: not velo.left(), what=lambda: str(velo.left()))


@pytest.mark.parametrize(("command", "status"), [("exec", 125), ("serve", 1), ("doctor", 1)])
def test_an_arena_of_another_version_is_left_alone_and_named(
    velo: Velo, workspace, command: str, status: int
) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    arena = velo.arena()
    os.kill(velo.server_pid(), signal.SIGKILL)
    wait_for(lambda: not processes_of(velo.root))
    before = bytearray((arena / "memory/meta").read_bytes())
    before[16:24] = bytes(8)  # layout.h: header.layout_hash
    (arena / "memory/meta").write_bytes(before)

    done = velo.run(command, *(["true"] if command == "exec" else []), cwd=place, check=False)

    if command != "doctor":
        assert done.returncode == status
        assert "another velo build" in sentence(done) and str(arena) in sentence(done)
    assert (arena / "memory/meta").read_bytes() == before
    shutil.rmtree(velo.root)


def test_a_server_that_is_stuck_is_reported_in_time(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    pid = velo.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        done = velo.exec("true", cwd=place, check=False)
        waited = time.monotonic() - started
    finally:
        os.kill(pid, signal.SIGCONT)

    assert done.returncode == 125
    assert "server silent" in sentence(done)
    assert waited < 20


def test_init_writes_a_file_that_means_the_defaults_and_never_overwrites(
    velo: Velo, tmp_path: Path
) -> None:
    place = tmp_path / "new"
    place.mkdir()

    velo.run("init", cwd=place)
    text = (place / "velo.toml").read_text()
    again = velo.run("init", cwd=place, check=False)

    assert again.returncode == 1 and "already configured" in sentence(again)
    assert (place / "velo.toml").read_text() == text
    velo.run("exec", "--", "true", cwd=place)


def test_doctor_finds_nothing_wrong_here_and_leaves_nothing(velo: Velo, workspace) -> None:
    done = velo.run("doctor", cwd=workspace())

    for subject in ("kernel", "library", "core", "memory", "store", "workspace", "server"):
        assert subject in done.stdout
    assert "FAIL" not in done.stdout
    assert velo.left() == []


def test_help_names_every_command_but_the_hidden_ones(velo: Velo, workspace) -> None:
    out = velo.run("--help", cwd=workspace()).stdout

    for command in ("exec", "serve", "status", "sync", "unload", "stop", "init", "doctor"):
        assert f"\n  {command} " in out
    assert "pause" not in out


def test_a_server_whose_arena_is_removed_by_hand_ends(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)

    shutil.rmtree(velo.root)

    wait_for(lambda: not velo.left(), what=lambda: str(velo.left()))
    assert velo.exec("echo", "again", cwd=place).stdout == "again\n"
