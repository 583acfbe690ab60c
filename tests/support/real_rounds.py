"""Random edits of real projects, replayed builds, and native clean builds at the same path.

    cd tests; python -m support.real_rounds --project zlib --seed 1 --rounds 20 --velo V

rounds.py knows a project's every file, and these are not made for it. A round makes one to three
edits, and takes the build away or not. Then four things must not differ between velo and a native
build from nothing: bytes, modes, types and link targets of the tree; what the native tool does when
it is asked again; what one more edit makes it run, and what that leaves. An edit that does not
compile fails in both, and is taken back. At the end it is built twice from nothing: the second time
no step that can be cached is run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import rounds, sources

NINJA = ("ninja", "-C", "build")
CMAKE = ("cmake", "-G", "Ninja", "-B", "build", "-S", "source", "-DCMAKE_C_FLAGS=-O1 -I../near")
BUSYBOX = r"""
mkdir build && make -C source O=$PWD/build allnoconfig && cd build || exit
sed -i 's/^# \(CONFIG_\(CAT\|ECHO\|LS\|SED\|ASH\)\) is not set/\1=y/' .config
yes '' | make oldconfig
"""
# What the tools write of a run, which has its times, or names of cmake's trial programs
LOGS = (".ninja_log", ".ninja_deps", ".ninja_lock", "meson-log.txt", "CMakeOutput.log")
UNSEEN = rounds.UNSEEN | {"system header", "no system header"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a project is built in `build`, of what is in `source`."""

    package: str
    configure: tuple[str, ...]
    build: tuple[str, ...]
    edited: tuple[str, ...]  # patterns of sources and headers that the build reads


RECIPES = {
    "zlib": Recipe(
        "zlib",
        ("sh", "-c", "mkdir build && cd build && CFLAGS='-O1 -I../near' ../source/configure"),
        ("make", "-C", "build", "-j2"),
        ("*.c", "*.h"),
    ),
    # cmake copies jansson.h when it configures, and ninja does not notice that it changed.
    "jansson": Recipe("jansson", CMAKE, NINJA, ("src/*.c", "src/[!j]*.h", "src/jansson_private.h")),
    "libarchive": Recipe(
        "libarchive", (*CMAKE, "-DENABLE_TEST=OFF"), (*NINJA, "bsdcat"), ("libarchive/*.[ch]",)
    ),
    "dav1d": Recipe(
        "dav1d",
        ("meson", "setup", "-Dc_args=-O0 -I../near", "-Dbitdepths=8", "build", "source"),
        NINJA,
        ("src/*.[ch]", "tools/*.c"),
    ),
    "busybox": Recipe(
        "busybox",
        ("sh", "-c", BUSYBOX),
        ("make", "-C", "build", "-j2"),
        ("libbb/*.c", "include/libbb.h", "coreutils/*.c", "shell/*.[ch]"),
    ),
}


def programs_of(project: str) -> tuple[str, ...]:
    """What there must be to build it."""
    words = (*RECIPES[project].configure[:1], *RECIPES[project].build[:1])
    return ("gcc", *(word for word in words if word != "sh"))


class Project(rounds.Workspace):
    """A real project, configured once."""

    def __init__(self, root: Path, recipe: Recipe, seed: int) -> None:
        super().__init__(root, seed)
        self._pristine = sources.fetch(recipe.package)
        shutil.copytree(self._pristine, root / "source", symlinks=True)
        (root / "near").mkdir()
        found = [path for pattern in recipe.edited for path in (root / "source").glob(pattern)]
        names = sorted(str(path.relative_to(root)) for path in found)
        self._sources = [name for name in names if name.endswith(".c")]
        self._headers = [name for name in names if name.endswith(".h")]
        self.environment["KCONFIG_NOTIMESTAMP"] = "1"
        done = self.run(*recipe.configure)
        assert done.returncode == 0, done.stdout + done.stderr
        (root / "build").rename(root.parent / "configured")
        self._configured = root.parent / "configured"
        self.clean()

    def clean(self) -> None:
        """As it was configured, with times of then."""
        super().clean()
        subprocess.run(["cp", "-a", str(self._configured), str(self.root / "build")], check=True)

    def header(self) -> str:
        return self.random.choice(self._headers)

    def source(self) -> str:
        return self.random.choice(self._sources)

    def text(self, name: str) -> str:
        within = Path(name).relative_to("source")
        return (self._pristine / within).read_text(errors="surrogateescape")

    def changed(self, name: str, value: int) -> str:
        """A header may be read twice, or in the middle of a function."""
        return f"{self.text(name)}\n{define(value)}"

    def restore(self, *, is_all: bool = True) -> None:
        """As `git switch` does: what differs is written anew."""
        for name in [*self._sources, *self._headers]:
            path = self.root / name
            if path.is_symlink() or path.read_text(errors="surrogateescape") != self.text(name):
                if is_all or self.random.random() < 0.5:
                    self._rewrite(name, self.text(name))

    def _rewrite(self, name: str, text: str) -> None:
        path = self.root / name
        if path.is_symlink():
            path.unlink()
        path.write_text(text, errors="surrogateescape")

    def edits(self) -> dict[str, Callable[[], None]]:
        return super().edits() | {
            "comment": lambda: self._comment(self.header()),
            "switched back": self.restore,
            "partly switched back": lambda: self.restore(is_all=False),
            "copied anew": self._copy_anew,
            "system header": self._shadow,
            "no system header": lambda: self._remove("near/string.h"),
            "environment": lambda: self.environment.update(
                CPATH=self.random.choice(["", str(self.root / "near")])
            ),
            "mode": lambda: os.chmod(self.root / self.source(), 0o644 ^ self._next() % 2 * 0o111),
            "output removed": lambda: self._lose(self.random.choice([1, 1, 3])),
        }

    def one_more_edit(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """It, to be made twice, and what takes it back, times as well."""
        path = self.root / self.random.choice([self.header(), self.source(), self.source()])
        before, text = path.stat(), path.read_text(errors="surrogateescape")
        more = self.random.choice(["", define(self._next())])

        def undo() -> None:
            path.write_text(text, errors="surrogateescape")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        return lambda: void(path.write_text(f"{text}{more}", errors="surrogateescape")), undo

    def _comment(self, name: str) -> None:
        with open(self.root / name, "a") as file:
            file.write(f"/* {self._next()} */\n")

    def _copy_anew(self) -> None:
        """Other inodes and times, and no other bytes."""
        subprocess.run(["cp", "-r", "source", "copied"], cwd=self.root, check=True)
        shutil.rmtree(self.root / "source")
        (self.root / "copied").rename(self.root / "source")

    def _shadow(self) -> None:
        text = f"#include_next <string.h>\n{define(self._next())}"
        (self.root / "near/string.h").write_text(text)

    def _lose(self, count: int) -> None:
        """Objects, which any build tool makes again."""
        found = sorted((self.root / "build").rglob("*.o"))
        for path in self.random.sample(found, min(count, len(found))):
            path.unlink()

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        found = super().snapshot()
        return {name: what for name, what in found.items() if Path(name).name not in LOGS}


def define(value: int) -> str:
    """What changes an object, and may stand in it twice."""
    return f"\n#ifndef __ASSEMBLER__\n__attribute__((used)) static int velo_{value};\n#endif\n"


def void(_: object) -> None:
    """An edit has no result."""


class Round:
    """What is done to both sides, and compared."""

    def __init__(self, project: Project, recipe: Recipe, velo: str, settings: dict[str, str]):
        self._project, self._build = project, list(recipe.build)
        self._hosted = [velo, "exec", "--quiet", "--", *self._build]
        self._settings = settings
        self.replayed = self.run = 0

    def _host(self) -> subprocess.CompletedProcess[str]:
        rounds.settle()
        done = self._project.run(*self._hosted, **self._settings)
        report = rounds.last_report(Path(self._settings["VELO_CACHE_DIR"]))
        self.replayed += report["replayed"]
        self.run += report["run"] + report["not_cached"]
        return done

    def play(self, where: str, *, is_clean: bool) -> bool:
        """False: it does not compile, neither here nor there."""
        project = self._project
        ours = self._host()
        mine = project.snapshot()
        idle = project.run(*self._build)
        edit, undo = project.one_more_edit()
        if ours.returncode == 0:
            edit()
            more = self._host()
            made = project.snapshot()
            undo()
        project.clean()
        theirs = project.run(*self._build)
        assert ours.returncode == theirs.returncode, f"{where}: {ours}, and natively {theirs}"
        if theirs.returncode != 0:
            return False
        self._compare(f"{where}, tree", mine, project.snapshot())
        if is_clean:
            self._compare_said(f"{where}, said", ours, theirs)
        self._compare_said(f"{where}, asked again", idle, project.run(*self._build))
        edit()
        rounds.settle()
        native = project.run(*self._build)
        assert more.returncode == native.returncode, f"{where}: {more}, and natively {native}"
        self._compare_said(f"{where}, one more edit", more, native)
        if native.returncode == 0:
            self._compare(f"{where}, tree after one more edit", made, project.snapshot())
        else:
            undo()
        return native.returncode == 0

    def _compare(
        self, where: str, ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]
    ) -> None:
        differ = rounds.differences(ours, theirs)
        assert not differ, f"{where}: {differ} differ"

    def _compare_said(
        self,
        where: str,
        ours: subprocess.CompletedProcess[str],
        theirs: subprocess.CompletedProcess[str],
    ) -> None:
        # Two jobs of make may write into one line.
        if self._build[0] == "ninja" or not theirs.stderr:
            said, expected = rounds.said(ours), rounds.said(theirs)
            assert said == expected, f"{where}: {said} and natively {expected}"


def play(velo: str, name: str, seed: int, count: int, root: Path, *, loud: bool) -> tuple[int, int]:
    """Steps that were replayed, and that were run; AssertionError names the round."""
    recipe = RECIPES[name]
    project = Project(root / "project", recipe, seed)
    settings = {
        "VELO_RUNTIME_DIR": str(root / "run"),
        "VELO_CACHE_DIR": str(root / "cache"),
        "VELO_REPLAY": "on",
    }
    one = Round(project, recipe, velo, settings)
    try:
        for number in range(count):
            chance = project.random
            names = chance.sample(sorted(project.edits()), chance.choice([0, 1, 1, 2, 3]))
            for each in names:
                project.edits()[each]()
            is_clean = number == 0 or chance.random() < 0.5 or bool(UNSEEN & set(names))
            if is_clean:
                project.clean()
            if chance.random() < 0.15:
                names += ["stopped"]
                project.run(velo, "stop", **settings)
            where = f"{name}, seed {seed}, round {number}: {', '.join(names) or 'no edit'}"
            where += ", cleaned" if is_clean else ""
            if not one.play(where, is_clean=is_clean):
                where += ", does not compile"
                project.restore()
                project.clean()
            if loud:
                print(where, f"{one.replayed} replayed, {one.run} run so far", flush=True)
        rounds.assert_all_is_replayed(project, velo, list(recipe.build), settings)
    finally:
        project.run(velo, "stop", **settings)
    return one.replayed, one.run


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--project", choices=RECIPES, default="zlib")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--velo", default="velo")
    given = arguments.parse_args()
    velo = shutil.which(given.velo) or given.velo
    with tempfile.TemporaryDirectory(prefix="velo-rounds-") as directory:
        replayed, run = play(
            velo, given.project, given.seed, given.rounds, Path(directory), loud=True
        )
    print(f"{given.rounds} rounds equal; {replayed} steps replayed, {run} run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
