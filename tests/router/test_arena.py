"""Locks that disappear with their holder, sessions that end with their process, environments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import pytest

from velo.interpose import launch
from velo.router import cli, execute, sessions
from velo.router.arena import Arena, Lock, ensure_runtime_root, locked_by
from velo.router.errors import RuntimeRootUnusable, SocketPathTooLong


@pytest.fixture
def arena():
    found = Arena.of("/some/workspace")
    ensure_runtime_root(found.root)
    os.mkdir(found.directory, 0o700)
    sessions.opened(found)
    return found


def test_one_workspace_is_one_arena_and_two_are_two():
    assert Arena.of("/a") == Arena.of("/a") != Arena.of("/b")
    assert len(Arena.of("/a").id) == 16


def test_a_root_too_long_for_a_socket_is_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setenv("VELO_RUNTIME_DIR", "/tmp/" + "x" * 80)

    with pytest.raises(SocketPathTooLong, match="107"):
        Arena.of("/a")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o704, 0o713])
def test_a_root_that_others_can_list_or_write_is_refused(tmp_path, mode):
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(mode)

    with pytest.raises(RuntimeRootUnusable, match="others can list or write"):
        ensure_runtime_root(str(root))


def test_a_root_that_is_a_symlink_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(RuntimeRootUnusable, match="not a directory"):
        ensure_runtime_root(str(tmp_path / "link"))


def test_a_root_that_others_can_move_away_is_refused(tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    root = str(above / "deep" / "root")

    above.chmod(0o1777)  # as /tmp: each name is its owner's
    ensure_runtime_root(root)
    above.chmod(0o777)
    with pytest.raises(RuntimeRootUnusable, match="others may write"):
        ensure_runtime_root(root)
    above.chmod(0o755)
    ensure_runtime_root(root)
    if os.getuid() == 0:
        os.chown(above, 12345, -1)
        with pytest.raises(RuntimeRootUnusable, match="of uid 12345"):
            ensure_runtime_root(root)


def test_a_lock_is_held_by_one_and_leaves_nothing(arena):
    first, second = Lock(arena.server_lock), Lock(arena.server_lock)

    assert first.take(timeout_s=0) and not second.take(timeout_s=0.05)
    first.release()
    assert second.take(timeout_s=0)
    second.release()
    assert not os.path.exists(arena.server_lock)


def test_a_lock_of_a_dead_process_is_free(arena):
    script = f"from velo.router.arena import Lock; Lock({arena.server_lock!r}).take(timeout_s=0)"

    subprocess.run([sys.executable, "-c", script], check=True)

    assert os.path.exists(arena.server_lock)
    assert Lock(arena.server_lock).take(timeout_s=0)


def test_a_lock_whose_file_was_removed_is_lost_and_takes_nobody_elses_away(arena):
    first, second = Lock(arena.server_lock), Lock(arena.server_lock)
    first.take(timeout_s=0)
    shutil.rmtree(arena.root)

    assert not first.is_ours()
    assert second.take(timeout_s=1)
    first.release()
    assert second.is_ours()
    second.release()


HOLDS_ON = """
import sys
from velo.router.arena import Lock
lock = Lock(sys.argv[1])
for step in (lambda: lock.take(timeout_s=0), lock.hold_on, lock.release):
    print(step(), flush=True)
    input()
"""


def test_a_lock_whose_file_was_removed_is_still_its_holders(arena):
    program = [sys.executable, "-c", HOLDS_ON, arena.server_lock]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, **pipes) as other:

        def goes_on():
            other.stdin.write("\n")
            other.stdin.flush()
            return other.stdout.readline()

        assert other.stdout.readline() == "True\n"
        shutil.rmtree(arena.root)
        ours = Lock(arena.server_lock)
        assert not ours.take(timeout_s=0) and locked_by(arena.server_lock) == other.pid
        assert goes_on() == "True\n"
        assert not ours.take(timeout_s=0) and locked_by(arena.server_lock) == other.pid
        goes_on()
        assert locked_by(arena.server_lock) is None and ours.take(timeout_s=0)
        ours.release()
        goes_on()


def test_among_many_takers_never_two_hold_the_lock(arena):
    inside, most = [], []

    def contend():
        for _ in range(20):
            lock = Lock(arena.start_lock)
            assert lock.take(timeout_s=30)
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1
    assert not os.path.exists(arena.start_lock)


def test_a_session_is_counted_until_it_leaves(arena):
    session = sessions.Session(arena, os.getpid())

    session.enter()
    assert sessions.alive(arena) == [os.getpid()]
    session.leave()
    assert sessions.alive(arena) == []


def test_a_session_of_a_dead_process_counts_no_more_and_is_removed(arena):
    done = subprocess.Popen(["true"])
    done.wait()
    path = os.path.join(arena.sessions, str(done.pid))
    for content in ("", "1"):
        with open(path, "w") as file:
            file.write(content)
        assert sessions.alive(arena) == []
        assert not os.path.exists(path)


def test_a_session_of_another_process_with_the_same_pid_is_a_dead_one(arena):
    with open(os.path.join(arena.sessions, str(os.getpid())), "w") as file:
        file.write("1")  # ticks since boot: nobody's

    assert sessions.alive(arena) == []


def test_a_closed_door_keeps_newcomers_out_and_remembers_who_is_inside(arena):
    inside, late = sessions.Session(arena, os.getpid()), sessions.Session(arena, os.getppid())
    inside.enter()

    assert sessions.close(arena) == [os.getpid()]
    with pytest.raises(sessions.NobodyHome):
        late.enter()
    sessions.opened(arena)
    late.enter()
    assert sessions.alive(arena) == sorted([os.getpid(), os.getppid()])


def test_who_leaves_while_the_door_is_closed_is_gone(arena):
    session = sessions.Session(arena, os.getpid())
    session.enter()
    sessions.close(arena)

    session.leave()

    assert sessions.close(arena) == []
    sessions.opened(arena)
    assert sessions.alive(arena) == []


def test_other_preloads_stay_and_come_first():
    library = launch.library_path()
    base = {"LD_PRELOAD": f"/lib/eatmydata.so {library}:/lib/asan.so", "KEPT": "1"}

    child = launch.environment("/arena", base)

    assert child["LD_PRELOAD"] == f"/lib/eatmydata.so:/lib/asan.so:{library}"
    assert child["VELO_ARENA"] == "/arena" and child["KEPT"] == "1"
    assert launch.without_velo(child) == {
        "LD_PRELOAD": "/lib/eatmydata.so:/lib/asan.so",
        "KEPT": "1",
    }
    assert launch.inside(child) == "/arena"
    assert launch.inside({**child, "VELO_DISABLE": "1"}) is None


def test_a_library_that_ld_preload_cannot_name_is_copied(tmp_path):
    odd = tmp_path / "with space:and colon" / "libvelo.so"
    odd.parent.mkdir()
    odd.write_bytes(b"library")

    found = launch.loadable_path(str(odd), str(tmp_path))

    assert " " not in found and open(found, "rb").read() == b"library"


@pytest.mark.parametrize("damage", ["cut off", "a link", "a fifo", "another user's"])
def test_a_library_outside_of_the_arena_is_ours_and_whole_or_replaced(
    tmp_path, monkeypatch, damage
):
    # Given an arena from which nothing may be run, and what stands where its library goes
    class NoExec:
        f_flag = os.ST_NOEXEC

    monkeypatch.setattr(launch.os, "statvfs", lambda _: NoExec)
    launch.install(str(tmp_path), str(tmp_path / "lib"))
    copy = (tmp_path / launch.INSTALLED).readlink()
    whole = copy.read_bytes()
    if damage == "cut off":
        os.truncate(copy, 0)
    elif damage == "another user's":
        if os.geteuid() != 0:
            pytest.skip("needs root")
        os.chown(copy, 65534, 65534)
    else:
        copy.unlink()
        (tmp_path / "evil").write_bytes(b"evil")
        os.mkfifo(copy) if damage == "a fifo" else copy.symlink_to(tmp_path / "evil")

    launch.install(str(tmp_path), str(tmp_path / "lib"))

    assert copy.lstat().st_uid == os.geteuid() and not copy.is_symlink()
    assert copy.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "meaning"),
    [
        (["exec", "--", "ninja"], (["ninja"], set())),
        (["exec", "--", "exec", "--"], (["exec", "--"], set())),
        (["exec", "--", "--", "a"], (["--", "a"], set())),
        (["exec", "--no-wait", "--", "a", "-b"], (["a", "-b"], {"no_wait"})),
        (["exec", "-q", "--require", "--", "-q"], (["-q"], {"quiet", "require"})),
        (["exec", "ninja", "--", "-q"], (["ninja", "--", "-q"], set())),
        (["exec", "--quiet", "ninja"], (["ninja"], {"quiet"})),
        (["exec", "--"], None),
        (["exec", "-q"], None),
        (["exec", "-qq", "--", "a"], None),
        (["exec", "--quiet=1", "--", "a"], None),
        (["exec", "-", "a"], None),
        (["exec", "--shards", "3", "--", "ninja"], None),
        (["exec", "--help"], None),
        (["status"], None),
        ([], None),
    ],
)
def test_the_short_way_takes_only_what_needs_no_parsing(arguments, meaning, monkeypatch):
    assert cli.short_way(arguments) == meaning
    if meaning is None:
        return
    told = []
    monkeypatch.setattr(
        execute, "execute_here", lambda *words, **flags: told.append((words, flags))
    )
    assert not cli._run(arguments)
    monkeypatch.setattr(cli, "short_way", lambda arguments: None)
    assert not cli._run(arguments)  # the long way
    short, long = told
    assert list(short[0][0]) == list(long[0][0])
    assert {key: value for key, value in long[1].items() if value is not None} == short[1]
