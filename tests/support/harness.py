"""Running velo from tests: the command line in a private runtime root, and what is left of it.

In: a root for arenas, arguments. Out: finished processes, pids, what still exists. Never: wait
without a limit, or signal a process that does not belong to the root.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .tools import TOOLS

DEFAULT_TIMEOUT_S = 300
GONE_TIMEOUT_S = 60
SIGNALLED_S = 10
POLL_S = 0.02
DAEMON = " -m velo.router.daemon "
SCRIPTS = Path(sys.executable).parent  # where the `velo` under test is, and PyPI's ninja and cmake


@dataclass
class Velo:
    """The command line under one runtime root. Only `run`, `exec` and `start` may be called from
    several threads at once."""

    root: Path
    executable: str
    workspaces: set[Path] = field(default_factory=set)
    commands: list[subprocess.Popen[str]] = field(default_factory=list)
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """`velo ARGUMENTS` in `cwd`, not waited for; its streams are pipes unless told."""
        self.workspaces.add(cwd)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process: subprocess.Popen[str] = subprocess.Popen(
            [self.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )
        (self.servers if arguments[0] == "serve" else self.commands).append(process)
        return process

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """`velo ARGUMENTS` in `cwd`; fails the test on a status other than 0 when `check`."""
        process = self.start(*arguments, cwd=cwd, env=env)
        return self.finish(process, check=check, timeout_s=timeout_s)

    def exec(self, *command: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """`velo exec -- COMMAND`."""
        return self.run("exec", "--", *command, cwd=cwd, **options)

    def finish(
        self,
        process: subprocess.Popen[str],
        *,
        check: bool = True,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """The end of a started command; fails the test when it does not come, or is not good."""
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            shown = "\n".join(self.left())
            for pid in processes_of(self.root):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"{process.args!r} took over {timeout_s} s\n{out}\n{err}\n{shown}")
        if check and process.returncode != 0:
            pytest.fail(f"{process.args!r} ended with {process.returncode}\n{out}\n{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def serve(self, *flags: str, cwd: Path) -> subprocess.Popen[str]:
        """A server in the foreground; it answers when this returns. Its words are in serve.log."""
        with open(cwd / "serve.log", "w") as log:
            process = self.start("serve", *flags, cwd=cwd, stdout=log, stderr=log)
        words = cwd / "serve.log"
        wait_for(lambda: process.poll() is not None or "velo: serving " in words.read_text())
        assert process.poll() is None, words.read_text()
        return process

    def poison(self, *, cwd: Path) -> None:
        """A server for `cwd` that has the gap detector and flushes only when it is asked to."""
        with open(cwd / "velo.toml", "a") as settings:
            settings.write("poison = true\n")
        self.exec("true", cwd=cwd)
        self.run("pause", cwd=cwd)

    def stop(self, *, cwd: Path) -> None:
        """`velo stop`, and the proof that no process or file of this root is left."""
        self.run("stop", cwd=cwd)
        wait_for(lambda: not self.left(), what=lambda: f"still there: {self.left()}")

    def arena(self) -> Path:
        """The directory of the only arena there is."""
        (arena,) = [path for path in self.root.iterdir() if (path / "memory").is_symlink()]
        return arena

    def memory(self) -> Path:
        """What programs see of the only arena: the core's files."""
        return (self.arena() / "memory").readlink()

    def server_pid(self) -> int:
        """The pid of the only server there is."""
        return int((self.arena() / "router.pid").read_text().split()[0])

    def shard_pids(self) -> list[int]:
        """The shards of the only server."""
        server = self.server_pid()
        return [pid for pid in processes_of(self.root) if parent_of(pid) == server]

    def left(self) -> list[str]:
        """Processes and files of this root that exist now."""
        found = [f"{pid}: {command_of(pid)}" for pid in processes_of(self.root)]
        # os.walk, unlike rglob, passes over a directory that ends while it is read.
        for directory, _, files in os.walk(self.root):
            found += [directory, *(f"{directory}/{name}" for name in files)]
        return found

    def tear_down(self) -> list[str]:
        """End all of it; what had to be ended by force or was left, which should be nothing."""
        for process in self.commands:
            if process.poll() is None:
                process.kill()
        self._end_by_signal()
        complaints = [text for place in self.workspaces if (text := self._end(place))]
        with suppress(TimeoutError):
            wait_for(lambda: not self.left(), timeout_s=GONE_TIMEOUT_S)
        complaints += self.left()
        for pid in processes_of(self.root):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.commands + self.servers:
            process.communicate(timeout=GONE_TIMEOUT_S)
        return complaints

    def _end_by_signal(self) -> None:
        """Servers flush and end as by `velo stop`, which is one interpreter more for each test; it
        is asked for what is left then. One whose workspace is gone has to see that by itself."""
        daemons = [pid for pid in processes_of(self.root) if DAEMON in command_of(pid)]
        if not daemons or not all(place.exists() for place in self.workspaces):
            return
        for pid in daemons:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with suppress(TimeoutError):
            wait_for(lambda: not self.left(), timeout_s=SIGNALLED_S)

    def _end(self, workspace: Path) -> str:
        if not self.left() or not workspace.exists():
            return ""
        done = self.run("stop", cwd=workspace, check=False, timeout_s=DEFAULT_TIMEOUT_S)
        return done.stderr if done.returncode else ""


def wait_for(
    condition: Callable[[], bool],
    *,
    timeout_s: float = 120,
    what: Callable[[], str] = lambda: "the condition",
) -> None:
    """Return as soon as `condition()` is true.

    Raises:
        TimeoutError: it was not within `timeout_s` seconds; the message is `what()`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {what()}")
        time.sleep(POLL_S)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed velo said: exactly one line, and nothing of Python's."""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("velo: "), line
    return line


def run_native(
    *command: str, cwd: Path, check: bool = True, timeout_s: float = DEFAULT_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """`command` without velo; fails the test on a status other than 0 when `check`."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s)
    if check and done.returncode != 0:
        pytest.fail(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


NAMED = ("gcc", "git", "make", "strace")  # in README, as what the tests need


def tool(name: str) -> str:
    """The system's `name`, or the one from the test extra.

    What README says must be there fails the test; any other skips it, with its package's name.
    """
    found = shutil.which(name)
    if not found and name in TOOLS and name not in NAMED:
        pytest.skip(f"needs {name}: package {TOOLS[name]}")
    assert found, f"{name} is missing; install it, or pip install -e '.[test]'"
    return found


def exports() -> list[str]:
    """The functions of libc that libvelo.so stands in front of: the LIBC rows of calls.def."""
    text = (Path(__file__).parents[2] / "interpose/preload/calls.def").read_text()
    rows = re.findall(r"^LIBC\((\w[^)]*)\)", text, re.M)
    assert rows, "calls.def has no LIBC rows"
    return [name.strip() for row in rows for name in row.split(",")]


def processes_of(root: Path) -> list[int]:
    """Live processes that were started with `root` as their runtime directory."""
    mark = b"VELO_RUNTIME_DIR=" + os.fsencode(root)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


def session_of(root: Path, session: int) -> list[int]:
    """Of these, the ones of that session, also when their parents were killed; not its first."""
    found = []
    for pid in processes_of(root):
        with suppress(OSError):
            if os.getsid(pid) == session and pid != session:
                found.append(pid)
    return found


def parent_of(pid: int) -> int:
    """The pid of the parent of `pid`, 0 when `pid` is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def command_of(pid: int) -> str:
    """The beginning of the command line of `pid`."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return "(gone)"
