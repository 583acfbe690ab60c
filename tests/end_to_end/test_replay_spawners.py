"""Build tools that start their steps by fork and exec, or by posix_spawn in ways of their own.

In: two small tools, called `ninja`. Out: what they see of steps that are answered, against the same
tool run natively at the same place; which steps were replayed, and what is there afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.harness import run_native, tool
from support.replayed import TOML, Workspace
from support.snapshot import Snapshot

SUPPORT = Path(__file__).parents[1] / "support"


def compiled(source: str, where: Path) -> Path:
    program = where / "bin" / "ninja"
    program.parent.mkdir()
    run_native(tool("gcc"), str(SUPPORT / source), "-o", str(program), cwd=where)
    return program


# ---- a tool that spawns what says nothing -------------------------------------------------------


def test_the_child_of_a_silent_step_that_was_answered_is_as_a_native_one(workspace, velo, tmp_path):
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("in", "one\n")
    made.hosted.mkdir(exist_ok=True)
    ninja = compiled("spawning_tool.c", tmp_path)
    native = run_native(str(ninja), "in", "build/out", cwd=made.root).stdout
    made.clean()

    first = made.run(ninja, "in", "build/out")
    made.clean()
    second = made.run(ninja, "in", "build/out")

    assert first == second == native
    replayed, run, not_cached = made.counts()
    assert replayed > 200 and run + not_cached == 0, made.steps()


# ---- a tool that forks --------------------------------------------------------------------------


@pytest.fixture
def forking(workspace, velo, tmp_path) -> tuple[Workspace, Path]:
    made = Workspace(workspace(toml=TOML), velo, "build")
    made.edit("in", "one\n")
    made.edit("copy", "#!/bin/sh\necho copying $1\ncat $1 > $2\n", mode=0o755)
    made.edit("plain", "cat in > build/plain\n", mode=0o755)  # no "#!": libc gives it to a shell
    made.hosted.mkdir(exist_ok=True)
    return made, compiled("forking_tool.c", tmp_path)


def test_a_step_that_is_forked_is_answered_with_what_it_said(forking):
    workspace, ninja = forking
    steps = ["./copy in build/out", "./copy in build/more"]

    first = workspace.run(ninja, *steps)
    assert workspace.counts() == (0, 2, 0), workspace.steps()
    tree = Snapshot.of(workspace.hosted).entries
    workspace.clean()
    second = workspace.run(ninja, *steps)

    assert second == first == "0 copying in\n\n0 copying in\n\n"
    assert workspace.counts() == (2, 0, 0), workspace.steps()
    assert Snapshot.of(workspace.hosted).entries == tree


def test_an_input_of_a_forked_step_that_changed_runs_it(forking):
    workspace, ninja = forking
    workspace.run(ninja, "./copy in build/out")
    workspace.edit("in", "two\n")

    workspace.run(ninja, "./copy in build/out")

    assert workspace.counts() == (0, 1, 0), workspace.steps()
    assert (workspace.hosted / "out").read_text() == "two\n"


def test_programs_that_cannot_be_started_are_tried_as_natively(forking, monkeypatch):
    """Along $PATH there is one that may not be run; one is no program, and so the shell's."""
    workspace, ninja = forking
    workspace.edit("first/copy", "no program")
    path = f"{workspace.root}/first:{workspace.root}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    steps = ["copy in build/out", "./plain", "./missing"]

    native = run_native(str(ninja), *steps, cwd=workspace.root).stdout
    workspace.clean()
    first = workspace.run(ninja, *steps)
    workspace.clean()
    second = workspace.run(ninja, *steps)

    assert native == first == second
    assert workspace.counts()[0] == 2, workspace.steps()
    assert sorted(os.listdir(workspace.hosted)) == ["out", "plain"]


def run_through(workspace: Workspace, ninja: Path, step: str, link: str, to: str) -> str:
    """A step that was replayed once, after the symlink `link` leads to another program."""
    workspace.run(ninja, step)
    workspace.run(ninja, step)
    assert workspace.counts() == (1, 0, 0), workspace.steps()
    (workspace.root / link).unlink()
    (workspace.root / link).symlink_to(to)
    return workspace.run(ninja, step)


def test_a_symlink_to_another_program_runs_the_step(forking):
    """As update-alternatives does: the name that is run is the same, and leads elsewhere."""
    workspace, ninja = forking
    (workspace.root / "tool").symlink_to(tool("echo"))

    said = run_through(workspace, ninja, "./tool a", "tool", tool("printf"))

    assert (said, workspace.counts()) == ("0 a\n", (0, 1, 0)), workspace.steps()


def test_an_interpreter_that_is_another_one_now_runs_the_step(forking):
    workspace, ninja = forking
    (workspace.root / "sh").symlink_to(tool("cat"))
    workspace.edit("script", f"#!{workspace.root}/sh\necho a\n", mode=0o755)

    said = run_through(workspace, ninja, "./script", "sh", tool("sh"))

    assert (said, workspace.counts()) == ("0 a\n\n", (0, 1, 0)), workspace.steps()


def test_a_step_whose_text_fits_no_pipe_runs_from_what_it_would_have_found(forking):
    """Nothing of its entry is put back before: it would find its own output there."""
    workspace, ninja = forking
    lines = ("#!/bin/sh", f"echo {'x' * 6000}", "[ -e build/out ] && mv build/out build/old")
    workspace.edit("long", "\n".join((*lines, "echo made > build/out\n")), mode=0o755)

    first = workspace.run(ninja, "./long")
    assert workspace.counts() == (0, 1, 0), workspace.steps()
    workspace.clean()
    second = workspace.run(ninja, "./long")

    assert second == first and len(first) > 6000
    assert workspace.counts()[0] == 0, workspace.steps()
    assert os.listdir(workspace.hosted) == ["out"]


def test_a_step_that_cannot_be_spawned_leaves_nothing_of_its_answer(forking):
    workspace, ninja = forking
    step = "<given ./copy in build/out"
    workspace.edit("given", "unread\n")
    workspace.run(ninja, step)
    workspace.clean()
    assert workspace.run(ninja, step) == "0 copying in\n\n"
    assert workspace.counts() == (1, 0, 0), workspace.steps()
    workspace.clean()
    (workspace.root / "given").unlink()

    assert workspace.run(ninja, step) == "not spawned: No such file or directory\n"
    assert os.listdir(workspace.hosted) == []


def test_steps_of_whose_end_nobody_hears_leave_room_for_others(forking):
    workspace, ninja = forking
    unheard = [f"& {tool('true')}"] * 260  # more than the table has places

    workspace.run(ninja, *unheard, "./copy in build/out")

    assert workspace.counts() == (0, 1, 0), workspace.steps()


def test_a_forked_step_that_fails_is_run_each_time(forking):
    workspace, ninja = forking
    for _ in range(2):
        assert workspace.run(ninja, "./copy missing build/out").startswith("1 copying missing")
        assert workspace.counts()[0] == 0
