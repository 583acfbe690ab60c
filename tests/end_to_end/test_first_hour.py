"""What a stranger meets: no memory to host in, odd environments, Ctrl-C, outputs elsewhere.

Never a traceback, never silently nothing, never another meaning of the command.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.harness import Velo, sentence, wait_for

NO_MEMORY = {"VELO_RUNTIME_DIR": "/proc/nowhere"}
MAKE = "mkdir -p build && echo built > build/a && cat build/a"
WITHOUT = "cat build/a; echo of the disk > build/b"
INTERRUPTS = 24
LIMIT_S = 300
FIRST_MS = 400  # the time in which a command has started, also on a loaded machine


# ---- where no arena can be had --------------------------------------------------------------


def test_without_memory_the_command_runs_natively_and_one_line_says_why(velo, workspace) -> None:
    place = workspace()

    done = velo.exec("sh", "-c", f"{MAKE}; exit 3", cwd=place, env=NO_MEMORY, check=False)

    assert (done.returncode, done.stdout) == (3, "built\n")
    assert "runs natively" in sentence(done)
    assert "/proc/nowhere" in sentence(done)


def test_it_can_be_required_and_it_can_be_quiet(velo: Velo, workspace) -> None:
    place = workspace()

    refused = velo.run(
        "exec", "--require", "--", "touch", "ran", cwd=place, env=NO_MEMORY, check=False
    )
    quiet = velo.run("exec", "--quiet", "--", "sh", "-c", MAKE, cwd=place, env=NO_MEMORY)

    assert refused.returncode == 125
    assert "/proc/nowhere" in sentence(refused)
    assert not (place / "ran").exists()
    assert (quiet.stdout, quiet.stderr) == ("built\n", "")


def test_in_a_removed_directory_the_command_runs_natively(velo: Velo, workspace) -> None:
    place = workspace()
    env = {"VELO_RUNTIME_DIR": "relative"}

    def without_directory(*words: str) -> subprocess.CompletedProcess[str]:
        gone = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
        return subprocess.run(
            ["sh", "-c", gone, "sh", velo.executable, *words],
            cwd=place,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )

    done = without_directory("exec", "--", "expr", "3", "-", "3")
    refused = without_directory("exec", "--require", "--", "touch", str(place / "ran"))
    status = without_directory("status")

    assert (done.returncode, done.stdout) == (1, "0\n")
    assert "current directory" in sentence(done) and "runs natively" in sentence(done)
    assert refused.returncode == 125 and not (place / "ran").exists()
    assert status.returncode != 0 and "current directory" in sentence(status)


@pytest.mark.parametrize("limit", ["n 8", "n 12", "f 100", "f 0", "t 100"])
def test_low_limits_do_not_change_what_a_command_does(velo: Velo, workspace, limit: str) -> None:
    place = workspace()
    (place / "build").mkdir()
    limited = f'ulimit -{limit}; exec "$@"'
    command = ["bash", "-c", limited, "bash"]
    wanted = subprocess.run([*command, "sh", "-c", "echo x > build/a; cat build/a"], cwd=place)
    velo.workspaces.add(place)

    done = subprocess.run(
        [*command, velo.executable, "exec", "--", "sh", "-c", "echo x > build/a; cat build/a"],
        cwd=place,
        capture_output=True,
        text=True,
    )

    assert done.returncode == wanted.returncode
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1 or wanted.returncode != 0


def limited(limit: str, velo: Velo, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`velo ARGUMENTS` where `ulimit -LIMIT` was said."""
    velo.workspaces.add(cwd)
    command = ["bash", "-c", f'ulimit -{limit}; exec "$@"', "bash", velo.executable, *arguments]
    # It takes its part of a small stack: of 16 KiB, 4 KB of it leave too little for touch.
    env = {k: each for k, each in os.environ.items() if k in ("PATH", "HOME") or k[:5] == "VELO_"}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT_S
    )


# Of address space, data, stack and descriptors: too few for an interpreter.
TINY = ["v 10000", "v 20000", "v 30000", "d 10000", "s 16", "n 4"]


@pytest.mark.parametrize("limit", [*TINY, "v 200000"])
def test_where_limits_leave_no_room_the_command_runs_natively(velo, workspace, limit: str) -> None:
    place = workspace()

    done = limited(limit, velo, "exec", "--", "touch", "ran", cwd=place)
    refused = limited(limit, velo, "exec", "--require", "--", "touch", "required", cwd=place)

    assert done.returncode == 0 and (place / "ran").exists()
    assert "runs natively" in sentence(done) and "ulimit" in sentence(done)
    assert refused.returncode == 125 and not (place / "required").exists()
    assert "ulimit" in sentence(refused)
    for command in ("status", "sync", "stop", "serve"):
        done = limited(limit, velo, command, cwd=place)
        assert done.returncode == (0 if "no server runs" in done.stderr else 1)
        sentence(done)


@pytest.mark.parametrize("limit", TINY)
def test_where_memory_may_hold_something_it_does_not(velo, workspace, limit: str) -> None:
    place = workspace()
    velo.run("exec", "--no-wait", "--", "sh", "-c", MAKE, cwd=place)

    done = limited(limit, velo, "exec", "--", "cat", "build/a", cwd=place)

    assert done.returncode == 125 and done.stdout == "" and "ulimit" in sentence(done)
    velo.stop(cwd=place)


def test_memory_of_other_workspaces_does_not_keep_a_command_from_running(velo, workspace) -> None:
    other, place = workspace("other"), workspace("place")
    (place / "below").mkdir()
    velo.run("exec", "--no-wait", "--", "sh", "-c", MAKE, cwd=other)

    done = limited("d 20000; cd below", velo, "exec", "--", "touch", "ran", cwd=place)
    velo.run("exec", "--no-wait", "--", "sh", "-c", MAKE, cwd=place)
    refused = limited("d 20000; cd below", velo, "exec", "--", "touch", "again", cwd=place)

    assert done.returncode == 0 and (place / "below/ran").exists()
    assert "runs natively" in sentence(done)
    assert refused.returncode == 125 and not (place / "below/again").exists()
    for each in (other, place):
        velo.run("stop", cwd=each)


def test_who_has_no_room_for_the_memory_runs_beside_it(velo: Velo, workspace) -> None:
    place = workspace()
    velo.exec("true", cwd=place)
    velo.run("pause", cwd=place)
    velo.run("exec", "--no-wait", "--", "sh", "-c", MAKE, cwd=place)

    done = limited("v 70000", velo, "exec", "--", "sh", "-c", WITHOUT, cwd=place)
    refused = limited("v 70000", velo, "exec", "--require", "--", "touch", "ran", cwd=place)

    if refused.returncode == 0:
        pytest.skip("this user may raise limits, and is inside")
    assert (done.returncode, done.stdout) == (0, "built\n")
    assert "ulimit" in sentence(done) and "runs natively" in sentence(done)
    assert refused.returncode == 125 and "ulimit" in sentence(refused)
    assert velo.exec("cat", "build/b", cwd=place).stdout == "of the disk\n"
    velo.stop(cwd=place)


def test_who_may_not_run_the_interpreter_is_told_so(velo: Velo, workspace, tmp_path: Path) -> None:
    """As another user than the one in whose home Python is; a removed Python is told so, too."""
    place = workspace()
    launcher = tmp_path / "velo"
    shutil.copy(velo.executable, launcher)
    (tmp_path / "python3").symlink_to("/nowhere/python3")

    done, required, status = (
        subprocess.run([launcher, *words], cwd=place, capture_output=True, text=True, check=False)
        for words in (
            ("exec", "--", "sh", "-c", "echo ran; exit 3"),
            ("exec", "--require", "--", "true"),
            ("status",),
        )
    )

    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert "cannot be run" in sentence(done) and "runs natively" in sentence(done)
    assert required.returncode == 125 and str(tmp_path / "python3") in sentence(required)
    assert status.returncode == 1 and "No such file" in sentence(status)


# ---- never silently nothing -----------------------------------------------------------------


def test_outputs_that_are_not_hosted_are_named(velo: Velo, workspace) -> None:
    place = workspace()
    (place / "out").mkdir()

    done = velo.exec("sh", "-c", "echo 1 > out/a; echo 2 > out/b", cwd=place)

    said = sentence(done)
    assert "nothing was hosted" in said and "2 files" in said and '"out/"' in said
    assert velo.run("exec", "-q", "--", "touch", "out/c", cwd=place).stderr == ""


def test_a_symlink_that_is_not_hosted_is_named(velo: Velo, workspace, tmp_path: Path) -> None:
    """As on a machine whose builds go to a faster disk."""
    place, fast = workspace(), tmp_path / "fast"
    fast.mkdir()
    (place / "build").symlink_to(fast)

    said = sentence(velo.exec("touch", "build/a", cwd=place))
    (place / "velo.toml").write_text(f'[live]\naggressive_paths = ["{fast}/"]\n')
    heeded = velo.exec("touch", f"{fast}/b", cwd=place)

    assert f'1 file changed in build/ (hosted: build/); if these are outputs, add "{fast}/"' in said
    assert "a symlink is not hosted" in said
    assert heeded.stderr == "" and (fast / "b").exists()
    velo.stop(cwd=place)


def test_caches_are_no_outputs_to_be_named(velo: Velo, workspace) -> None:
    place = workspace()
    caches = [".ccache", "web/node_modules/.cache", ".pytest_cache", "lib/__pycache__"]
    for name in (*caches, "out"):
        (place / name).mkdir(parents=True)

    done = velo.exec("touch", *(f"{name}/a" for name in (*caches, "out")), cwd=place)

    assert "1 file changed in out/ " in sentence(done)


def test_a_store_in_the_workspace_is_no_output(velo: Velo, workspace) -> None:
    """Where a CI keeps what is below the workspace alone."""
    place = workspace()
    (place / "out").mkdir()
    (place / "Makefile").write_text("out/a:\n\t/bin/echo 1 > out/a\n")
    store = {"VELO_CAS_DIR": str(place / "kept")}

    said = [velo.exec("make", "-B", cwd=place, env=store) for _ in range(2)]

    assert all("1 file changed in out/ " in sentence(each) for each in said)
    assert list((place / "kept").iterdir())


def test_a_command_that_hosted_something_or_changed_nothing_is_silent(velo, workspace) -> None:
    place = workspace()
    (place / "src").mkdir()

    assert velo.exec("sh", "-c", f"{MAKE}; touch src/b", cwd=place).stderr == ""
    assert velo.exec("ls", cwd=place).stderr == ""
    assert velo.exec("rm", "-rf", "build", cwd=place).stderr == ""


# ---- environments that are meant for somebody else ------------------------------------------


def test_what_is_said_to_python_is_said_to_the_command_alone(velo: Velo, workspace) -> None:
    place = workspace()
    for name in ("random.py", "json.py", "signal.py", "usercustomize.py"):
        (place / name).write_text(f'raise SystemExit("{name} is somebody else\'s")\n')
    odd = {"PYTHONHOME": "/nonsense", "PYTHONPATH": str(place), "PYTHONSTARTUP": "/nowhere"}
    odd |= {"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}

    done = velo.exec(
        "sh", "-c", 'echo "$PYTHONHOME $PYTHONPATH $PYTHONOPTIMIZE"', cwd=place, env=odd
    )

    assert done.stdout == f"/nonsense {place} 2\n"
    assert done.stderr == ""
    assert velo.run("status", cwd=place, env=odd).stderr == ""


# ---- Ctrl-C ---------------------------------------------------------------------------------


def test_an_interrupt_at_any_moment_ends_it_as_it_ends_a_command(velo: Velo, workspace) -> None:
    place = workspace()
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    for turn in range(INTERRUPTS):
        process = velo.start("exec", "--", "sleep", "100", cwd=place, process_group=0)
        time.sleep(
            rng.uniform(0, FIRST_MS) / 1000
        )  # not waited for: the moment is the test's input
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)

        assert process.returncode == -signal.SIGINT, (turn, process.returncode, errors)
        assert "Traceback" not in errors and "KeyboardInterrupt" not in errors, errors
        if turn % 6 == 5:
            velo.run("stop", cwd=place, check=False)  # the next ones meet a start


def test_an_interrupt_ends_a_command_that_waits_for_the_server(velo: Velo, workspace) -> None:
    place = workspace()
    velo.run("exec", "--", "true", cwd=place)
    os.kill(velo.server_pid(), signal.SIGSTOP)
    try:
        process = velo.start("sync", cwd=place, process_group=0)
        threads = Path(f"/proc/{process.pid}/task")
        wait_for(lambda: len(os.listdir(threads)) > 1, what=lambda: "no request was made")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    finally:
        os.kill(velo.server_pid(), signal.SIGCONT)

    assert process.returncode == -signal.SIGINT, errors
    assert errors.strip() == ""


# ---- a server that the user started ---------------------------------------------------------


def test_a_server_of_the_users_own_is_neither_ended_nor_changed(velo: Velo, workspace) -> None:
    place = workspace()
    server = velo.serve("--shards", "3", "--max-memory", "64MiB", cwd=place)

    refused = velo.run("exec", "--shards", "5", "--", "touch", "ran", cwd=place, check=False)
    (place / "velo.toml").write_text('[live]\naggressive_paths = ["build/", "out/"]\n')
    warned = velo.exec("true", cwd=place)

    assert refused.returncode == 125
    assert "shards 3 -> 5" in sentence(refused)
    assert not (place / "ran").exists()
    assert "out/" in sentence(warned)
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    assert status["server"]["pid"] == server.pid
    assert len(status["shards"]) == 3
    server.send_signal(signal.SIGTERM)
    wait_for(lambda: server.poll() is not None)
