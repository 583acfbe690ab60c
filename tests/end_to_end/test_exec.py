"""velo exec: streams, status and signals are the command's own; it ends with the tree on disk."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.harness import Velo, sentence, wait_for
from velo.interpose import launch
from velo.router import child, replaying


@pytest.mark.parametrize("status", [0, 1, 7, 125, 255])
def test_exec_ends_with_the_status_of_its_command(velo: Velo, workspace, status: int) -> None:
    done = velo.exec("sh", "-c", f"exit {status}", cwd=workspace(), check=False)

    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_exec_dies_by_the_signal_of_its_command(velo: Velo, workspace, number: int) -> None:
    done = velo.exec("sh", "-c", f"kill -{int(number)} $$", cwd=workspace(), check=False)

    assert done.returncode == -number
    assert done.stderr == ""


def test_exec_of_what_does_not_exist_is_127_and_starts_nothing(velo: Velo, workspace) -> None:
    place = workspace()

    for command in ("velo-no-such-command", "./missing", "velo.toml/x"):
        done = velo.exec(command, cwd=place, check=False)
        assert done.returncode == 127
        assert "command not found" in sentence(done)
    assert velo.left() == []


def test_exec_of_what_cannot_be_executed_is_126(velo: Velo, workspace) -> None:
    place = workspace()

    for command in ("./velo.toml", "/"):
        done = velo.exec(command, cwd=place, check=False)
        assert done.returncode == 126
        assert "cannot run" in sentence(done)


def test_a_script_without_a_first_line_runs_as_in_a_shell(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "script").write_text("echo ran $1\n")
    (place / "script").chmod(0o755)

    assert velo.exec("./script", "it", cwd=place).stdout == "ran it\n"


def test_streams_and_arguments_are_the_commands_own(velo: Velo, workspace) -> None:
    place = workspace()
    program = "import sys; print(sys.argv[1:]); sys.stderr.write(sys.stdin.read())"

    done = subprocess.run(
        [velo.executable, "exec", "--", sys.executable, "-c", program, "--shards", "", "a b", "--"],
        cwd=place,
        input="from stdin\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    velo.workspaces.add(place)

    assert done.stdout == "['--shards', '', 'a b', '--']\n"
    assert done.stderr == "from stdin\n"


def test_the_environment_is_the_callers_but_for_ours(velo: Velo, workspace) -> None:
    place = workspace()

    out = velo.exec("env", "-0", cwd=place, env={"KEPT": "yes", "LD_PRELOAD": ""}).stdout

    seen = dict(item.split("=", 1) for item in out.split("\0") if item)
    assert seen.pop("KEPT") == "yes"
    assert set(seen) - set(os.environ) <= {launch.PRELOAD, launch.ARENA, replaying.MODE, "_"}


STOPPED = """import os, pathlib, signal
signal.signal(signal.SIGCONT, lambda *_: pathlib.Path("continued").touch())
pathlib.Path("pid").write_text(str(os.getpid()))
while not os.path.exists("continued"):
    signal.pause()
"""


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_who_stops_the_command_stops_the_program(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "program").write_text(STOPPED)
    # In a group of its own, whose parent can continue it: the kernel stops no orphaned one.
    running = velo.start("exec", "--", sys.executable, "program", cwd=place, process_group=0)
    wait_for(lambda: (place / "pid").exists() and (place / "pid").read_text())
    program = int((place / "pid").read_text())

    running.send_signal(signal.SIGTSTP)
    wait_for(lambda: state(program) == "T" and state(running.pid) == "T")
    running.send_signal(signal.SIGCONT)

    assert velo.finish(running).returncode == 0
    assert (place / "continued").exists()


def test_a_program_that_stops_itself_may_be_continued_by_its_own_child(velo, workspace) -> None:
    child = "until grep -q ') T' /proc/$$/stat; do :; done; kill -CONT $$"

    done = velo.exec("sh", "-c", f"({child}) & kill -STOP $$; echo on", cwd=workspace())

    assert done.stdout == "on\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_somebody_sends_reaches_the_command(velo: Velo, workspace, number) -> None:
    place = workspace()
    name = signal.Signals(number).name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores one, and a shell keeps that
    running = velo.start("exec", "--", "sh", "-c", script, cwd=place)
    signal.signal(number, before)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"

    running.send_signal(number)

    done = velo.finish(running, check=False)
    assert (done.returncode, done.stdout) == (3, f"got {name}\n")


def test_a_terminals_interrupt_reaches_the_command_once(velo: Velo, workspace) -> None:
    place = workspace()
    velo.workspaces.add(place)
    script = "trap 'n=$((n+1))' INT; echo ready; sleep 0.4; sleep 0.4; echo interrupts $n; exit 5"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place)
        os.execv(velo.executable, ["velo", "exec", "--", "sh", "-c", script])
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1024)

    os.write(terminal, b"\x03")

    status = os.waitpid(pid, 0)[1]
    while b"interrupts" not in seen:
        seen += os.read(terminal, 1024)
    os.close(terminal)
    assert b"interrupts 1" in seen
    assert os.waitstatus_to_exitcode(status) == 5


def test_no_thread_beside_the_main_one_takes_a_signal(velo: Velo, workspace) -> None:
    # On the first command in a workspace the sealer has a thread while the command runs.
    script = "for each in /proc/$PPID/task/*; do echo ${each##*/} $(grep SigBlk $each/status); done"
    running = velo.start("exec", "--", "sh", "-c", f"echo $PPID; {script}", cwd=workspace())

    main, *threads = velo.finish(running).stdout.splitlines()

    masks = {line.split()[0]: int(line.split()[2], 16) for line in threads}
    assert main in masks and len(masks) > 1
    for thread, mask in masks.items():
        assert thread == main or all(mask & 1 << number - 1 for number in child.PASSED_ON), thread


def test_the_command_keeps_the_callers_signal_mask_and_dispositions(velo: Velo, workspace) -> None:
    # Without signals 32 and 33, which are glibc's own and which its posix_spawn ignores.
    program = (
        "import re; t = open('/proc/self/status').read();"
        "s = [int(re.search(f'Sig{k}:\\\\s*(\\\\w+)', t)[1], 16) for k in ('Blk', 'Ign')];"
        "print([mask & ~0x180000000 for mask in s])"
    )
    show = (sys.executable, "-c", program)

    native = subprocess.run(show, capture_output=True, text=True).stdout

    assert velo.exec(*show, cwd=workspace()).stdout == native != ""


def test_exec_returns_when_the_tree_is_on_disk(velo: Velo, workspace) -> None:
    place = workspace()

    velo.exec("sh", "-c", "mkdir build; echo one > build/a; echo two > build/b", cwd=place)

    assert (place / "build/a").read_text() == "one\n"
    assert (place / "build/b").read_text() == "two\n"


def test_exec_no_wait_returns_at_once_and_sync_brings_the_rest(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("mkdir", "build", cwd=place)
    velo.run("pause", cwd=place)

    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo later > build/a", cwd=place)
    before = (place / "build/a").exists()
    velo.run("sync", cwd=place)

    assert not before
    assert (place / "build/a").read_text() == "later\n"


def test_a_change_made_outside_is_seen_and_a_conflict_is_told(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("sh", "-c", "mkdir build; echo ours > build/a; echo ours > build/b", cwd=place)
    (place / "build/a").write_text("outside\n")
    velo.run("pause", cwd=place)
    velo.run("exec", "--no-wait", "--", "sh", "-c", "echo newer > build/b", cwd=place)
    (place / "build/b").write_text("outside\n")

    done = velo.exec("cat", "build/a", "build/b", cwd=place)

    assert done.stdout == "outside\nnewer\n"
    line = sentence(done)
    assert str(place / "build/b") in line and "kept ours" in line
    theirs = Path(line.rsplit(" ", 1)[1])
    os.utime(theirs, (1e9, 1e9))
    velo.run("gc", "--max-size", "0", cwd=place)
    assert theirs.read_text() == "outside\n"  # it is nowhere else
