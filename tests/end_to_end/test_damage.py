"""Store, manifests and arena that somebody damaged: velo says so, once, and every command ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.harness import wait_for
from velo.interpose.core import Region

LIMIT_S = 300


@pytest.fixture
def built(velo, workspace, tmp_path):
    """A workspace with files in memory, on disk and in the store; `manifests`, `cas` are there."""
    place = workspace()
    (place / "build").mkdir()
    velo.exec("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i > build/f$i; done", cwd=place)
    velo.run("sync", cwd=place)
    return place


def manifests(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache" / "manifests").rglob("*.sqlite"))


def tree(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (place / "build").iterdir()}


WHOLE = {f"f{i}": f"{i}\n" for i in range(1, 7)}


def rubbish(path):
    path.write_bytes(os.urandom(20_000))


def torn(path):
    os.truncate(path, 5000)


def empty(path):
    os.truncate(path, 0)


def gone(path):
    path.unlink()


def fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [rubbish, torn, empty, gone, fifo])
@pytest.mark.parametrize("command", [["sync"], ["stop"], ["stop", "--force"], ["unload"]])
def test_a_damaged_manifest_keeps_no_command_from_its_end(velo, built, tmp_path, damage, command):
    for path in manifests(tmp_path):
        damage(path)
    velo.exec("sh", "-c", "echo new > build/new", cwd=built)

    done = velo.run(*command, cwd=built, timeout_s=LIMIT_S)

    assert "internal error" not in done.stderr
    assert tree(built) == {**WHOLE, "new": "new\n"}
    assert all("manifest damaged" in line for line in done.stderr.splitlines())
    velo.stop(cwd=built)


@pytest.mark.parametrize("command", [["sync"], ["stop"], ["stop", "--force"], ["unload"]])
def test_a_cache_that_was_removed_is_made_anew(velo, built, tmp_path, command):
    shutil.rmtree(tmp_path / "cache")
    velo.exec("sh", "-c", "echo new > build/new", cwd=built)

    done = velo.run(*command, cwd=built, timeout_s=LIMIT_S)

    assert tree(built) == {**WHOLE, "new": "new\n"}
    assert str(tmp_path / "cache" / "cas") in done.stderr and "store vanished" in done.stderr
    assert len(manifests(tmp_path)) == 2
    blobs = [path for path in (tmp_path / "cache" / "cas" / "sha256").rglob("*") if path.is_file()]
    assert len(blobs) == 7
    velo.stop(cwd=built)


@pytest.mark.parametrize("command", [["stop"], ["stop", "--force"]])
def test_a_store_that_cannot_be_is_told_and_the_server_ends(velo, built, tmp_path, command):
    shutil.rmtree(tmp_path / "cache" / "cas")
    (tmp_path / "cache" / "cas").write_text("in the way")
    velo.exec("sh", "-c", "echo new > build/new", cwd=built)

    refused = velo.run("sync", cwd=built, check=False, timeout_s=LIMIT_S)
    done = velo.run(*command, cwd=built, timeout_s=LIMIT_S)

    assert refused.returncode == 1 and str(tmp_path / "cache" / "cas") in refused.stderr
    assert "everything is on disk, but store unusable" in done.stderr
    assert "run 'velo stop'" not in done.stderr
    assert tree(built) == {**WHOLE, "new": "new\n"} and not velo.left()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, and what the workspace on it is called."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "small", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"root: mount says {done.stderr.strip()}")
    yield place / "workspace"
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("command", [["sync"], ["stop"], ["stop", "--force"], ["unload"]])
def test_files_that_the_disk_has_no_room_for_are_named(velo, small_disk, command):
    place = small_disk
    (place / "build").mkdir(parents=True)
    (place / "velo.toml").write_text('[live]\nmax_memory = "64MB"\n')
    script = (
        "echo small > build/a; dd if=/dev/urandom of=build/b bs=1M count=2 status=none;"
        " dd if=/dev/urandom of=build/c bs=1M count=2 status=none"
    )
    ended = velo.run("exec", "--", "sh", "-c", script, cwd=place, check=False)

    done = velo.run(*command, cwd=place, check=False, timeout_s=LIMIT_S)

    # then whoever asks hears which files are not there, and nothing is lost
    for said in (ended, done):
        assert said.returncode and said.stderr.count(str(place / "build" / "b")) == 1
        assert said.stderr.count(str(place / "build" / "c")) == 1
        assert str(place / "build" / "a") not in said.stderr
    assert (place / "build" / "a").read_text() == "small\n"
    subprocess.run(["mount", "-o", "remount,size=16m", place.parent], check=True)
    velo.stop(cwd=place)
    assert (place / "build" / "c").stat().st_size == 2 << 20


def test_a_store_that_cannot_be_written_any_more_is_called_so(velo, workspace, small_disk):
    place = workspace()
    env = {"VELO_CAS_DIR": small_disk.parent / "cas"}
    velo.run("exec", "true", cwd=place, env=env)
    subprocess.run(["mount", "-o", "remount,ro", small_disk.parent], check=True)
    velo.run(
        "exec", "--no-wait", "sh", "-c", "mkdir -p build; echo 1 > build/a", cwd=place, env=env
    )

    synced = velo.run("sync", cwd=place, env=env, check=False)
    stopped = velo.run("stop", cwd=place, env=env, check=False, timeout_s=LIMIT_S)
    refused = velo.run("exec", "true", cwd=place, env=env, check=False)

    why = f"store unusable: {env['VELO_CAS_DIR']}: Read-only file system"
    assert synced.returncode == 1 and synced.stderr.startswith(f"velo: {why}")
    assert stopped.returncode == 0 and why in stopped.stderr
    assert why in refused.stderr and (place / "build/a").read_text() == "1\n"


@pytest.mark.parametrize("damage", [rubbish, torn, empty])
def test_an_arena_that_is_none_any_more_is_set_aside_and_named(velo, built, damage):
    # Given a server that was killed, and its memory's table damaged
    arena, memory = velo.arena(), velo.memory()
    for pid in [velo.server_pid(), *velo.shard_pids()]:
        os.kill(pid, 9)
    damage(memory / "meta")

    # when the next command comes
    done = velo.exec("sh", "-c", "cat build/f1; echo new > build/new", cwd=built)

    # then it works, and says where the old one is
    assert done.stdout == "1\n" and tree(built) == {**WHOLE, "new": "new\n"}
    (aside,) = [path for path in arena.parent.iterdir() if "damaged" in path.name]
    assert str(aside) in done.stderr and len(done.stderr.splitlines()) == 1
    velo.run("stop", cwd=built)
    subprocess.run(["rm", "-r", aside, memory], check=True)
    velo.root.rmdir()


# ---- what a cleaner of temporary files takes ----------------------------------------------------


@pytest.mark.parametrize("command", [["exec", "--", "cat", "build/new"], ["stop"]])
def test_a_server_whose_sockets_were_removed_is_found_again(velo, built, command):
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo new > build/new", cwd=built)
    server = velo.server_pid()
    for path in velo.arena().glob("*.sock"):
        path.unlink()

    done = velo.run(*command, cwd=built, timeout_s=30)

    assert done.stdout == ("new\n" if "cat" in command else "") and not done.stderr
    assert command == ["stop"] or velo.server_pid() == server
    velo.stop(cwd=built)
    assert tree(built) == {**WHOLE, "new": "new\n"}


@pytest.fixture
def robbed(velo, built):
    """Files of `built` are on disk; a new and a newer one were in memory only, and were removed."""
    script = "echo new > build/new; echo newer > build/f1"
    velo.run("exec", "--no-wait", "--", "sh", "-c", script, cwd=built)
    for path in (velo.memory() / "i").iterdir():
        path.unlink()
    return built


def says_lost(done, place):
    (line,) = [line for line in done.stderr.splitlines() if "files lost" in line]
    assert f"{place}/build/new" in line and f"{place}/build/f1" in line
    return "build/f2" not in line and "nothing is lost" not in done.stderr


@pytest.mark.parametrize("command", [["sync"], ["stop"], ["stop", "--force"], ["unload"]])
def test_files_removed_from_memory_are_named_and_keep_no_command_from_its_end(
    velo, robbed, command
):
    done = velo.run(*command, cwd=robbed, check=False, timeout_s=LIMIT_S)

    assert done.returncode == 1 and says_lost(done, robbed)
    seen = velo.exec("sh", "-c", "cat build/f*; cat build/new", cwd=robbed, check=False)
    assert seen.stdout == "".join(WHOLE.values()) and "No such file" in seen.stderr
    assert velo.run("sync", cwd=robbed).stderr == ""
    velo.stop(cwd=robbed)
    assert tree(robbed) == WHOLE


def test_a_program_that_meets_a_file_removed_from_memory_reads_what_the_disk_has(velo, robbed):
    script = "cat build/f1 build/f2; stat -c %s build/f3; cat build/new || echo again > build/new"
    done = velo.exec("sh", "-c", script, cwd=robbed, check=False)

    assert done.stdout == "1\n2\n2\n" and "No such file" in done.stderr
    assert done.returncode == 125 and says_lost(done, robbed)
    assert velo.run("stop", cwd=robbed).stderr == ""
    assert tree(robbed) == {**WHOLE, "new": "again\n"}


# ---- what is cut off in memory ------------------------------------------------------------------


def known(velo):
    region = Region.attach(str(velo.memory()))
    for info in region.scan():
        region.refresh_attributes(info.node)


def cut_off(velo):
    """All files in memory are empty now, and what they were is known to a server that looked."""
    known(velo)
    for path in (velo.memory() / "i").iterdir():
        os.truncate(path, 0)


@pytest.mark.parametrize(
    "command", [["sync"], ["stop"], ["stop", "--force"], ["unload"], ["exec", "--", "true"]]
)
def test_files_cut_off_in_memory_do_not_replace_whole_ones(velo, built, command):
    velo.run("pause", cwd=built)
    script = "echo new > build/new; echo newer > build/f1"
    velo.run("exec", "--no-wait", "--", "sh", "-c", script, cwd=built)
    cut_off(velo)

    done = velo.run(*command, cwd=built, check=False, timeout_s=LIMIT_S)

    assert done.returncode and says_lost(done, built)
    seen = velo.exec("sh", "-c", "cat build/f*; cat build/new", cwd=built, check=False)
    assert seen.stdout == "".join(WHOLE.values()) and "No such file" in seen.stderr
    velo.stop(cwd=built)
    assert tree(built) == WHOLE


def test_what_is_on_disk_is_read_there_when_it_was_cut_off_in_memory(velo, built):
    cut_off(velo)

    done = velo.run("unload", cwd=built)

    assert done.stderr == ""
    seen = velo.exec("sh", "-c", "stat -c %s build/f1; cat build/f*", cwd=built)
    assert seen.stdout == "2\n" + "".join(WHOLE.values())
    velo.stop(cwd=built)


SHORTENS = """
import os
with open("build/f1", "r+") as file:
    open("opened", "w").close()
    open("go").close()
    os.ftruncate(file.fileno(), 1)
    open("shorter", "w").close()
    open("go").close()
"""


def test_a_file_that_its_writer_makes_shorter_is_as_he_made_it(velo, built):
    os.mkfifo(built / "go")
    writer = velo.start("exec", "--", sys.executable, "-c", SHORTENS, cwd=built)
    for written in ("opened", "shorter"):
        wait_for((built / written).exists)
        known(velo)
        assert velo.run("sync", cwd=built).stderr == ""
        (built / "go").write_text("")
    velo.finish(writer)

    assert tree(built) == {**WHOLE, "f1": "1"}
    velo.stop(cwd=built)


@pytest.mark.parametrize("what", ["its memory", "its directory", "both"])
def test_a_server_whose_directory_or_memory_was_removed_keeps_nobody_out(velo, built, what):
    velo.run("pause", cwd=built)
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo new > build/new", cwd=built)
    arena, memory = velo.arena(), velo.memory()
    for gone in (arena, memory):
        if what == "both" or (what == "its memory") == (gone is memory):
            shutil.rmtree(gone)

    done = velo.exec("sh", "-c", "echo newer > build/newer", cwd=built, timeout_s=60)

    lost = [f"{built}/build/new" in line and "files lost" in line for line in lines(done)]
    assert lost == ([] if what == "its directory" else [True])
    velo.stop(cwd=built)
    kept = {"new": "new\n"} if what == "its directory" else {}
    assert tree(built) == {**WHOLE, **kept, "newer": "newer\n"}


@pytest.fixture
def logged_out(velo, built):
    """A new file was in memory only when all of the runtime root was removed; the server's pid."""
    velo.run("pause", cwd=built)
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo new > build/new", cwd=built)
    pid = velo.server_pid()
    shutil.rmtree(velo.root)
    return pid


@pytest.mark.parametrize(
    "command", [["sync"], ["stop"], ["stop", "--force"], ["unload"], ["exec", "--", "true"]]
)
def test_what_a_logout_removed_with_the_whole_runtime_root_is_named(
    velo, built, logged_out, command
):
    done = velo.run(*command, cwd=built, check=False, timeout_s=60)

    (said,) = [line for line in lines(done) if "files lost" in line]
    assert f"{built}/build/new" in said and f"{built}/build/f" not in said
    assert command[0] == "exec" or done.returncode == 1
    velo.stop(cwd=built)
    assert tree(built) == WHOLE


def test_the_server_is_found_at_once_when_the_whole_runtime_root_was_removed(
    velo, built, logged_out
):
    done = velo.run("status", "--json", cwd=built)

    assert json.loads(done.stdout)["server"]["pid"] == logged_out
    velo.run("stop", cwd=built, check=False)
    velo.stop(cwd=built)


def lines(done):
    return done.stderr.splitlines()


# ---- the end, whatever else goes on --------------------------------------------------------------


def test_several_stops_at_once_all_end_well(velo, built):
    stops = [velo.start("stop", cwd=built) for _ in range(4)]

    for each in stops:
        done = velo.finish(each, timeout_s=LIMIT_S)
        assert done.stderr in ("", "velo: no server runs\n")

    assert tree(built) == WHOLE


def test_a_server_is_stopped_also_when_its_velo_toml_is_not_trusted_any_more(velo, built):
    (built / "velo.toml").chmod(0o666)

    refused = velo.exec("true", cwd=built, check=False)
    velo.run("status", cwd=built)
    velo.run("stop", cwd=built, timeout_s=LIMIT_S)

    assert refused.returncode == 125 and f"VELO_TRUST={built}" in refused.stderr
    assert not velo.left()


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_store_on_a_full_disk_is_called_full(velo, workspace, small_disk, command):
    place = workspace()
    with pytest.raises(OSError, match="No space"), open(small_disk.parent / "all", "wb", 0) as file:
        while True:
            file.write(bytes(4096))

    done = velo.run(
        command, cwd=place, env={"VELO_CAS_DIR": small_disk.parent / "cas"}, check=False
    )

    assert done.returncode == 1 and "store full" in done.stderr + done.stdout
    assert "writable" not in done.stderr + done.stdout


def test_a_command_that_a_full_store_has_no_room_for_is_not_told_as_the_one_before(
    velo, workspace, small_disk
):
    place = workspace()
    store = {"VELO_CAS_DIR": small_disk.parent / "cas"}
    (place / "Makefile").write_text("build/a: in\n\tcp in build/a\n")
    (place / "in").write_text("before")
    (place / "build").mkdir()
    velo.run("exec", "--", "make", cwd=place, env=store)
    assert "cp in build/a" in velo.run("explain", cwd=place, env=store).stdout
    (place / "in").write_text("after")
    with pytest.raises(OSError, match="No space"), open(small_disk.parent / "all", "wb", 0) as file:
        while True:
            file.write(bytes(1 << 12))

    done = velo.run("exec", "--", "make", cwd=place, env=store)

    assert "No space left on device; what this command's steps made is known" in done.stderr
    assert "nothing to explain" in velo.run("explain", cwd=place, env=store).stdout
    (small_disk.parent / "all").unlink()
    assert velo.run("stop", cwd=place, env=store).returncode == 0
    assert (place / "build/a").read_text() == "after"
