"""A project of ten C files that ninja or make builds, or another, and what velo tells of its steps.

In: a workspace. Out: builds through velo, and which of their steps were replayed, run, or not
cached. Never: a build whose sources are so young that a step could have seen another one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from .harness import Velo, run_native, tool
from .snapshot import Snapshot

UNITS = 10
STEPS = UNITS + 1  # and the link
EVEN, ODD = "even.h", "odd.h"
RACY_S = 0.05  # an input changed within 20 ms before a step makes it uncached
HOSTING = '[live]\nmax_memory = "256MB"\naggressive_paths = ["{}/"]\n[replay]\nmode = "on"\n'
TOML = HOSTING.format("build")
NINJA = """\
builddir = build
rule cc
  command = gcc -MD -MF $out.d -Iinc -c $in -o $out
  depfile = $out.d
  deps = gcc
rule link
  command = gcc $in -o $out
"""
MAKE = """\
units := {units}
build/app: $(units:%=build/%.o)
\tgcc $^ -o $@
build/%.o: src/%.c
\t@mkdir -p build
\tgcc -MMD -Iinc -c $< -o $@
-include $(units:%=build/%.d)
"""
COMMANDS = {"ninja": ["ninja"], "make": ["make", "-j2"]}
PROJECTS = pytest.mark.parametrize("builder", COMMANDS)


def until_old(paths: Iterable[Path]) -> None:
    """Wait until none of them is so young that a step could have seen another one."""
    newest = max((each.lstat().st_ctime for each in paths), default=0.0)
    while time.time() < newest + RACY_S:
        time.sleep(RACY_S / 10)


class Project:
    """The workspace, and what one does there."""

    def __init__(self, root: Path, velo: Velo, builder: str) -> None:
        self.root, self.build = root, root / "build"
        self._velo, self._builder = velo, builder
        self._command = [tool(COMMANDS[builder][0]), *COMMANDS[builder][1:]]
        tool("gcc")
        self.build.mkdir()
        names = [f"u{number}" for number in range(UNITS)]
        for number, name in enumerate(names):
            header = ODD if number % 2 else EVEN
            self.edit(f"src/{name}.c", f'#include "{header}"\nint {name}(void) {{ return N; }}\n')
        calls = " + ".join(f"{name}()" for name in names[1:])
        declared = "".join(f"int {name}(void);\n" for name in names[1:])
        main = f'#include "{EVEN}"\n{declared}int main(void) {{ return {calls} - N; }}\n'
        self.edit("src/u0.c", main)
        for header in (EVEN, ODD):
            self.edit(f"inc/{header}", "#define N 1\n")
        objects = [f"build/{name}.o" for name in names]
        rules = "".join(f"build build/{name}.o: cc src/{name}.c\n" for name in names)
        self.edit("build.ninja", f"{NINJA}{rules}build build/app: link {' '.join(objects)}\n")
        self.edit("Makefile", MAKE.format(units=" ".join(names)))

    def edit(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(
        self, *, check: bool = True, before: tuple[str, ...] = (), **env: str
    ) -> subprocess.CompletedProcess[str]:
        """A build, when no source is so young that a step could have seen another one."""
        until_old(each for each in self.root.rglob("*") if each.is_file())
        return self._velo.exec(*before, *self._command, cwd=self.root, check=check, env=env)

    def counts(self) -> tuple[int, int, int]:
        """Of the last build: replayed, run, not cached."""
        last = json.loads(self._say("stats", "--json"))["last"]
        return last["replayed"], last["run"], last["not_cached"]

    def steps(self, *what: str) -> list[dict[str, Any]]:
        """What `velo explain` tells of the last build's steps."""
        steps: list[dict[str, Any]] = json.loads(self._say("explain", "--json", *what))["steps"]
        return steps

    def reasons(self, outcome: str = "run") -> dict[str, str]:
        """Of the steps with this outcome: file name of what they make: why."""
        found = [each for each in self.steps() if each["outcome"] == outcome]
        return {os.path.basename(each["makes"][-1]): each["reason"] for each in found}

    def explain(self, *arguments: str) -> str:
        return self._say("explain", *arguments)

    def replay(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._velo.run("replay", *arguments, cwd=self.root, check=check)

    def clean(self) -> None:
        shutil.rmtree(self.build)
        self.build.mkdir()

    def tree(self) -> Any:
        return Snapshot.of(self.build).entries

    def assert_up_to_date(self) -> None:
        done = run_native(*self._command, cwd=self.root)
        words = "no work to do" if self._builder == "ninja" else "is up to date"
        assert words in done.stdout

    def _say(self, *arguments: str) -> str:
        return self._velo.run(*arguments, cwd=self.root).stdout


class Workspace:
    """A workspace with one hosted directory."""

    def __init__(self, root: Path, velo: Velo, hosted: str) -> None:
        self.root, self.hosted = root, root / hosted
        self._velo = velo

    def edit(self, name: str, text: str, *, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def settle(self) -> None:
        until_old(each for each in self.root.rglob("*") if self.hosted not in each.parents)

    def run(self, *command: object, **env: str) -> str:
        self.settle()
        done = self._velo.exec(*map(str, command), cwd=self.root, env=env)
        return done.stdout

    def counts(self) -> tuple[int, int, int]:
        """Of the last command: replayed, run, not cached."""
        last = json.loads(self._velo.run("stats", "--json", cwd=self.root).stdout)["last"]
        return last["replayed"], last["run"], last["not_cached"]

    def steps(self) -> list[dict[str, Any]]:
        found = self._velo.run("explain", "--json", cwd=self.root).stdout
        steps: list[dict[str, Any]] = json.loads(found)["steps"]
        return steps

    def clean(self) -> None:
        shutil.rmtree(self.hosted)
        self.hosted.mkdir()
