"""Two clones of a project, one store: what one has built the other need not, where it is the same.

In: a project of five C files, copied to two places. Out: which steps of the second were replayed,
and its tree against a native build's at the same place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.harness import Velo, run_native, tool
from support.replayed import TOML, until_old
from support.snapshot import Snapshot

UNITS = ("a", "b", "c", "main")
STEPS = len(UNITS) + 2  # and the archive, and the link
NINJA = """\
builddir = build
rule cc
  command = gcc {flags} -MD -MF $out.d -Iinc -c {source} -o $out
  depfile = $out.d
  deps = gcc
rule ar
  command = rm -f $out && ar rcs $out $in
rule link
  command = gcc $in -o $out
{objects}
build build/lib.a: ar build/a.o build/b.o build/c.o
build build/app: link build/main.o build/lib.a
"""
MAKE = """\
build/app: build/main.o build/lib.a
\tgcc $^ -o $@
build/lib.a: build/a.o build/b.o build/c.o
\trm -f $@ && ar rcs $@ $^
build/%.o: src/%.c
\tgcc {flags} -MMD -Iinc -c {source} -o $@
-include $(wildcard build/*.d)
"""
COMMANDS = {"ninja": ["ninja"], "make": ["make", "-j2"]}
BUILDERS = pytest.mark.parametrize("builder", COMMANDS)


class Clone:
    """One of them."""

    def __init__(self, root: Path, velo: Velo, builder: str) -> None:
        self.root, self.build, self._velo = root, root / "build", velo
        self._command = [tool(COMMANDS[builder][0]), *COMMANDS[builder][1:]]

    def edit(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, **env: str) -> tuple[int, int, int]:
        """A build: steps that were replayed, run, not cached."""
        until_old(self.root.rglob("*"))
        self._velo.exec(*self._command, cwd=self.root, env=env)
        last = json.loads(self._velo.run("stats", "--json", cwd=self.root).stdout)["last"]
        return last["replayed"], last["run"], last["not_cached"]

    def reasons(self) -> dict[str, str]:
        """Why steps ran, by the last file that they made."""
        said = self._velo.run("explain", "--json", cwd=self.root).stdout
        steps = [each for each in json.loads(said)["steps"] if each["outcome"] == "run"]
        return {each["makes"][-1].rpartition("/")[2]: each["reason"] for each in steps}

    def tree(self) -> Any:
        found = Snapshot.of(self.build).entries
        return {name: each for name, each in found.items() if "ninja" not in name}

    def assert_as_native(self) -> None:
        """The native tool has nothing to do, and makes the same when it begins from nothing."""
        done, replayed = run_native(*self._command, cwd=self.root).stdout, self.tree()
        assert "no work to do" in done or "is up to date" in done
        shutil.rmtree(self.build)
        self.build.mkdir()
        run_native(*self._command, cwd=self.root)
        assert replayed == self.tree()


Clones = Callable[..., tuple[Clone, Clone]]


@pytest.fixture
def clones(workspace: Callable[..., Path], velo: Velo) -> Clones:
    """A project and its copy; `flags` are gcc's, and `source` is how it names its source."""

    def make(builder: str, *, flags: str = "", source: str = "") -> tuple[Clone, Clone]:
        tool("gcc")
        one = Clone(workspace("first", toml=TOML), velo, builder)
        for name in UNITS[:-1]:
            one.edit(f"src/{name}.c", f'#include "n.h"\nint {name}(void) {{ return N; }}\n')
        one.edit("src/main.c", "int a(void), b(void), c(void);\nint main(void) { return a(); }\n")
        one.edit("inc/n.h", "#define N 1\n")
        source = source or ("$in" if builder == "ninja" else "$<")
        rules = "".join(f"build build/{each}.o: cc src/{each}.c\n" for each in UNITS)
        one.edit("build.ninja", NINJA.format(flags=flags, source=source, objects=rules))
        one.edit("Makefile", MAKE.format(flags=flags, source=source))
        one.build.mkdir()
        two = Clone(one.root.parent / "elsewhere" / "second", velo, builder)
        shutil.copytree(one.root, two.root)
        return one, two

    return make


@BUILDERS
def test_a_second_clone_runs_nothing_and_is_as_native(clones, builder):
    one, two = clones(builder)
    assert one.run() == (0, STEPS, 0)

    assert two.run() == (STEPS, 0, 0)

    two.assert_as_native()


@BUILDERS
def test_an_edit_in_a_clone_runs_what_it_concerns_and_changes_no_other_clone(clones, builder):
    one, two = clones(builder)
    one.run()
    before = one.tree()
    two.edit("inc/n.h", "#define N 2\n")

    assert two.run() == (1, STEPS - 1, 0)

    two.assert_as_native()
    assert one.tree() == before and one.run() == (0, 0, 0)
    one.edit("inc/n.h", "#define N 2\n")
    replayed, run, _ = one.run()  # it learns from the other in turn
    assert (replayed, run) == (STEPS - 1, 0)
    one.assert_as_native()


def test_what_holds_the_path_of_its_workspace_is_made_anew_and_that_is_said(clones):
    one, two = clones("ninja", flags="-g")
    one.run()

    assert two.run() == (0, STEPS, 0)

    assert two.reasons()["a.o"].endswith("its output build/a.o holds the path of its workspace")
    two.assert_as_native()


def test_debug_information_with_a_prefix_map_is_taken(clones, workspace):
    one, two = clones("make", flags="-g -ffile-prefix-map=$(CURDIR)=.")
    one.run()

    assert two.run() == (STEPS, 0, 0)

    two.assert_as_native()


def test_arguments_with_the_path_of_the_workspace_are_run_and_that_is_said(clones):
    one, two = clones("make", source="$(CURDIR)/$<")
    one.run()

    assert two.run()[1] >= len(UNITS)

    assert two.reasons()["a.o"].endswith("its arguments hold the path of its workspace")
    two.assert_as_native()


@pytest.mark.parametrize(
    "command",
    [
        'echo "int n = $${#PWD};" > $@',
        'echo "int n = `pwd | wc -c`;" > $@',
        'basename "$(CURDIR)" | wc -c > $@',
        "set | sed -n 's/PWD=.*clones.*/PWD/p' | head -n 1 > $@",
        "python3 -c 'import os; print(len(os.getcwd()))' > $@",
        "gcc -g -gz -c src/a.c -Iinc -o $@",
        "gcc -flto -frandom-seed=1 -c src/a.c -Iinc -o $@",
        "gcc --coverage -frandom-seed=1 -fprofile-dir=data -c src/a.c -Iinc -o $@",
    ],
    ids=["length", "pwd", "name", "set", "python", "compressed", "lto", "mangled"],
)
def test_what_is_made_of_the_path_otherwise_than_as_text_is_made_anew(clones, command):
    one, two = clones("make")
    for each in (one, two):
        each.edit("Makefile", f"build/odd.o: src/a.c\n\t{command}\n")
    one.run()

    assert two.run()[0] == 0

    two.assert_as_native()


def test_a_source_that_names_the_first_clone_goes_on_to_mean_that_one(clones):
    one, two = clones("ninja")
    header = one.root / "inc/more.h"
    for each in (one, two):
        each.edit("src/a.c", f'#include "{header}"\nint a(void) {{ return MORE; }}\n')
        each.edit("inc/more.h", "#define MORE 1\n")
    one.run()

    assert two.run()[1] >= 1

    assert "it named inc/more.h" in two.reasons()["a.o"]
    header.write_text("#define MORE 2\n")
    two.run()
    two.assert_as_native()


def test_a_clone_that_is_gone_has_left_its_steps(clones, velo):
    one, two = clones("ninja")
    one.run()
    velo.run("stop", cwd=one.root)
    velo.workspaces.discard(one.root)
    shutil.rmtree(one.root)

    assert two.run() == (STEPS, 0, 0)

    velo.run("gc", "--max-size", "1GB", cwd=two.root)
    velo.run("stop", cwd=two.root)
    shutil.rmtree(two.build)
    two.build.mkdir()
    assert two.run() == (STEPS, 0, 0)
    two.assert_as_native()


def test_forgetting_the_steps_of_a_clone_stays_forgotten(clones, velo):
    one, two = clones("ninja")
    one.run()
    two.run()

    velo.run("replay", "clear", cwd=two.root)
    shutil.rmtree(two.build)
    two.build.mkdir()

    assert two.run() == (0, STEPS, 0)
    two.assert_as_native()


def test_another_project_with_the_same_names_is_not_asked(clones, velo):
    one, two = clones("ninja")
    one.run()
    for name in UNITS:
        two.edit(f"src/{name}.c", (two.root / f"src/{name}.c").read_text() + "/* another */\n")

    assert two.run()[0] == 0
    two.assert_as_native()
