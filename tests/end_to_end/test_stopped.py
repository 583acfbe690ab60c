"""Processes of velo that somebody stopped (SIGSTOP): every command ends soon, and names them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.harness import sentence, wait_for

SOON_S = 30  # of a machine on which much else runs; what is waited for is 5 s, and without it 1800
GLANCE_S = 1.0
SAYS = re.compile(r"\(pid (\d+)\) is stopped \(SIGSTOP, or a debugger\).*nothing is lost: 'kill ")

pytestmark = pytest.mark.long  # each waits for as long as it takes to be sure


@pytest.fixture
def built(velo, workspace):
    """A workspace with a file that is in memory only, and its server."""
    place = workspace()
    (place / "build").mkdir()
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo old > build/old", cwd=place)
    return place


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def goes_on(velo, place):
    """Nothing is lost, and all works again."""
    velo.exec("sh", "-c", "cat build/old && echo new > build/new", cwd=place)
    velo.stop(cwd=place)
    return [(place / "build" / name).read_text() for name in ("old", "new")] == ["old\n", "new\n"]


@pytest.mark.parametrize("command", ["sync", "unload"])
def test_a_shard_that_is_stopped_is_named_to_who_waits_for_it(velo, built, command):
    pid = velo.shard_pids()[0]
    with stopped(pid):
        done = velo.run(command, cwd=built, check=False, timeout_s=SOON_S)

    assert done.returncode == 1
    assert SAYS.search(sentence(done))[1] == str(pid)
    assert velo.run(command, cwd=built).stderr == ""
    assert goes_on(velo, built)


@pytest.mark.parametrize("who", ["a shard", "the server"])
def test_status_does_not_wait_for_who_is_stopped(velo, built, who):
    pid = velo.shard_pids()[1] if who == "a shard" else velo.server_pid()
    with stopped(pid):
        took_s = []
        for _ in range(5):  # the fastest is without what else this machine does
            began = time.monotonic()
            done = velo.run("status", cwd=built, check=False, timeout_s=SOON_S)
            took_s.append(time.monotonic() - began)

    assert min(took_s) < GLANCE_S
    if who == "a shard":
        lines = [line for line in done.stdout.splitlines() if "no answer" in line]
        assert len(lines) == 1 and f"'kill -CONT {pid}'" in lines[0] and done.stderr == ""
    else:
        assert SAYS.search(sentence(done))[1] == str(pid) and done.returncode == 1
    assert "stopped" not in velo.run("status", cwd=built).stdout
    assert goes_on(velo, built)


def test_a_command_puts_the_tree_on_disk_itself_when_a_shard_is_stopped(velo, built):
    pid = velo.shard_pids()[0]
    with stopped(pid):
        done = velo.exec("sh", "-c", "echo a > build/a", cwd=built, timeout_s=SOON_S)
        on_disk = (built / "build" / "a").read_text(), (built / "build" / "old").read_text()

    assert on_disk == ("a\n", "old\n")
    assert "everything is on disk, but" in sentence(done)
    assert SAYS.search(sentence(done))[1] == str(pid)
    assert goes_on(velo, built)


def test_a_command_puts_the_tree_on_disk_itself_when_the_server_is_stopped(velo, built):
    pid = velo.server_pid()
    try:
        script = f"echo a > build/a; kill -STOP {pid}"
        done = velo.exec("sh", "-c", script, cwd=built, timeout_s=SOON_S)
        on_disk = (built / "build" / "a").read_text(), (built / "build" / "old").read_text()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert on_disk == ("a\n", "old\n")
    assert SAYS.search(sentence(done))[1] == str(pid)
    assert goes_on(velo, built)


@pytest.mark.parametrize("flags", [[], ["--force"]])
def test_a_server_ends_without_a_shard_that_is_stopped(velo, built, flags):
    pid = velo.shard_pids()[0]
    with stopped(pid):
        done = velo.run("stop", *flags, cwd=built, timeout_s=SOON_S)

    assert f"(pid {pid}) was stopped, and had to be killed" in sentence(done)
    assert (built / "build" / "old").read_text() == "old\n" and not velo.left()


@pytest.mark.parametrize(
    "command", [["sync"], ["unload"], ["stop"], ["stop", "--force"], ["exec", "--", "true"]]
)
def test_a_server_that_is_stopped_is_named_to_who_needs_it(velo, built, command):
    pid = velo.server_pid()
    with stopped(pid):
        done = velo.run(*command, cwd=built, check=False, timeout_s=SOON_S)

    assert done.returncode == (125 if command[0] == "exec" else 1)
    assert SAYS.search(sentence(done))[1] == str(pid)
    assert goes_on(velo, built)


@pytest.fixture(scope="module")
def hold_lock(tmp_path_factory):
    program = tmp_path_factory.mktemp("hold_lock") / "hold_lock"
    source = Path(__file__).parents[1] / "support" / "hold_lock.c"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-I", Path(__file__).parents[2] / "interpose"]
    subprocess.run(["cc", *flags, source, "-o", program], check=True)
    return program


WAITS = "until [ -e go ]; do :; done; mkdir build/d"


@pytest.mark.parametrize("command", [["status"], ["sync"], ["stop"], ["exec", "--", "true"]])
def test_a_shard_that_is_stopped_inside_the_lock_of_the_tree_makes_way(
    velo, built, hold_lock, command
):
    pid, meta = velo.shard_pids()[0], velo.memory() / "meta"
    inside = velo.start("exec", "--", "sh", "-c", WAITS, cwd=built)
    wait_for(lambda: "sh" in velo.run("status", cwd=built).stdout)
    with stopped(pid):
        subprocess.run([hold_lock, meta, str(pid)], check=True)
        (built / "go").touch()

        velo.run(*command, cwd=built, check=False, timeout_s=SOON_S)
        velo.finish(inside, timeout_s=SOON_S)

    assert (built / "build" / "d").is_dir()
    assert goes_on(velo, built)
