"""Whoever is killed while an answer is put back leaves no file that is part of one.

And who is killed while a step is written down leaves no entry that is part of one.

Method: strace kills the build tool at a system call of its answer; the namespace's own stores are
tests/core/test_kill_points.c's. It attaches from outside: for one that velo starts, a program that
cannot be entered, new files are made on disk. What is there must be whole, since a build tool
believes a file whose time is new; the next build must make the recorded tree, and be the last.

Each write by default, and whatever changes a file while a step is written down; each call of any
name, in some minutes, with

    KILL_POINTS=all python -m pytest -m "" tests/replay/test_kills.py
"""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool, wait_for
from support.snapshot import Snapshot

ALL = os.environ.get("KILL_POINTS") == "all"
TOML = '[live]\naggressive_paths = ["build/"]\n[replay]\nmode = "on"\n'
MAKE = """\
build/all: src/big src/short
\t@mkdir -p build/d
\t@cat src/short > build/one && cat src/big > build/d/two && chmod 600 build/d/two \\
\t && ln -sf two build/d/link && cat src/short src/big > $@
"""
BIG = b"0123456789abcdef" * (20 << 10)  # more than one write
RACY_S = 0.05
CHANGES = set(
    "write pwrite64 rename renameat renameat2 link linkat ftruncate unlink unlinkat".split()
)


def clean(root: Path) -> None:
    shutil.rmtree(root / "build", ignore_errors=True)
    (root / "build").mkdir()


@pytest.fixture
def project(workspace, velo: Velo) -> Path:
    """A step with files, a directory and a symlink, recorded."""
    root: Path = workspace(toml=TOML)
    (root / "src").mkdir()
    (root / "src/big").write_bytes(BIG)
    (root / "src/short").write_text("short\n")
    (root / "Makefile").write_text(MAKE)
    clean(root)
    newest = max(each.lstat().st_ctime for each in root.rglob("*"))
    wait_for(lambda: time.time() > newest + RACY_S)  # else the step is not cached
    velo.exec(tool("make"), cwd=root)
    return root


def points_of(log: Path, *, after: str, names: set[str]) -> list[tuple[str, int]]:
    """Of the first process, after a call with `after` in it: call, and which one of its name."""
    seen: collections.Counter[str] = collections.Counter()
    found: list[tuple[str, int]] = []
    first, begun = "", False
    for line in log.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        name, is_call, _ = call.strip().partition("(")
        first = first or pid
        if pid != first or not is_call or not name.isidentifier():
            continue
        seen[name] += 1
        begun |= after in call
        if begun and (ALL or name in names):
            found.append((name, seen[name]))
    return found


def traced(velo: Velo, root: Path, log: str, *options: str) -> None:
    """The build, whose tool waits until a strace is at it."""
    (root / "pid").unlink(missing_ok=True)
    words = f"echo $$ > new && mv new pid && kill -STOP $$ && exec {tool('make')}"
    command = velo.start("exec", "--quiet", "--", "sh", "-c", words, cwd=root)
    wait_for((root / "pid").exists)
    pid = int((root / "pid").read_text())
    status = Path(f"/proc/{pid}/status")
    wait_for(lambda: "State:\tT" in status.read_text())
    strace = subprocess.Popen(
        [tool("strace"), "-f", "-o", log, *options, "-p", str(pid)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: strace.poll() is not None or "TracerPid:\t0" not in status.read_text())
    is_refused = strace.poll() is not None
    os.kill(pid, signal.SIGKILL if is_refused else signal.SIGCONT)
    velo.finish(command, check=False)
    strace.wait(60)
    if is_refused:
        pytest.skip("needs to attach to a process: CAP_SYS_PTRACE, or yama's ptrace_scope 0")


def test_a_build_tool_that_is_killed_in_an_answer_leaves_no_part_of_a_file(project, velo, tmp_path):
    build, log = project / "build", tmp_path / "log"
    whole = Snapshot.of(build).entries
    bytes_of = {each: each.read_bytes() for each in build.rglob("*") if each.is_file()}
    for _ in range(2):  # the first may be another step: of other streams
        clean(project)
        traced(velo, project, str(log))

    points = points_of(log, after="Makefile", names={"write"})
    assert len(points) >= 5, "the answer was none"
    for name, count in points:
        clean(project)
        traced(velo, project, os.devnull, "-e", f"inject={name}:signal=KILL:when={count}")
        for each in build.rglob("*"):
            assert not each.is_file() or each.read_bytes() == bytes_of[each], (each, name, count)

        velo.exec(tool("make"), cwd=project)

        assert Snapshot.of(build).entries == whole, (name, count)
        run_native(tool("make"), "-q", cwd=project)


def test_a_build_tool_that_is_killed_in_a_freeze_leaves_no_entry(project, velo, tmp_path):
    build, log = project / "build", tmp_path / "log"
    whole = Snapshot.of(build).entries
    velo.run("replay", "clear", cwd=project)
    clean(project)
    traced(velo, project, str(log))

    points = points_of(log, after="wait4(", names=CHANGES)
    assert len(points) >= 5, "nothing was written down"
    for name, count in points:
        velo.run("replay", "clear", cwd=project)
        clean(project)
        traced(velo, project, os.devnull, "-e", f"inject={name}:signal=KILL:when={count}")
        for _ in range(2):  # by what was left of it, if anything was
            clean(project)

            velo.exec(tool("make"), cwd=project)

            assert Snapshot.of(build).entries == whole, (name, count)
        assert not list(velo.root.rglob("*.t")), "a copy that nobody needs"
