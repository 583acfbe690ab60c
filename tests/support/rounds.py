"""Random edits, replayed builds, and native clean builds at the same path: they must not differ.

    cd tests; python -m support.rounds --seed 1 --rounds 20 --chain gcc-ninja --velo V

A round edits a small project in one of some twenty ways, builds it through velo with replay on,
and then natively from nothing. Compared are bytes, modes, types and link targets of the tree, and
that the native tool finds nothing to do after the replayed build; and, where both began from
nothing, the lines that they said. At the end it is built twice from nothing: the second time no
step that can be cached is run. It fails, too, when fewer steps were replayed than unchanged inputs
promise: a cache that never answers is never wrong. With `--clones` the project is elsewhere in each
round, with the same store, and begins from nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCES = {
    "src/a.c": '#include "one.h"\n#include "gen.h"\nint a(void) { return ONE + GEN; }\n',
    "src/b.c": '#include <stdio.h>\n#include "one.h"\nint b(void) { puts("b"); return ONE; }\n',
    "src/c.c": '#include "two.h"\n#include "deep/three.h"\nint c(void) { return TWO + THREE; }\n',
    "src/main.c": '#include "two.h"\nint a(void), b(void), c(void);\n'
    "int main(void) { return a() + b() + c() + TWO; }\n",
    "inc/one.h": "#define ONE 1\n",
    "inc/two.h": '#ifdef __has_include\n#if __has_include("extra.h")\n#include "extra.h"\n#endif\n'
    "#endif\n#ifndef TWO\n#define TWO 2\n#endif\n",
    "inc/deep/three.h": "#define THREE 3\n",
    "near/.keep": "",
    "gen.sh": '#!/bin/sh\nsed s/@V@/$(cat version.txt)/ template.h > "$1"\n',
    "template.h": "#define GEN @V@\n",
    "version.txt": "3\n",
    "data.txt": "data\n",
}
NINJA = """\
rule cc
  command = {cc} $$EXTRA -MD -MF $out.d -Inear -Iinc -Ibuild -c $in -o $out
  depfile = $out.d
  deps = gcc
rule gen
  command = mkdir -p build && sh gen.sh $out
rule ar
  command = rm -f $out && ar rcs $out $in
rule link
  command = {cc} $in -o $out
rule copy
  command = cp $in $out && chmod 640 $out
rule alias
  command = ln -sf $$(basename $in) $out
build build/gen.h: gen template.h | gen.sh version.txt
build build/a.o: cc src/a.c || build/gen.h
build build/b.o: cc src/b.c
build build/c.o: cc src/c.c
build build/main.o: cc src/main.c
build build/libx.a: ar build/a.o build/b.o build/c.o
build build/app: link build/main.o build/libx.a
build build/data.txt: copy data.txt
build build/latest: alias build/app
"""
MAKE = """\
all: build/app build/data.txt build/latest
O = build/a.o build/b.o build/c.o
build/%.o: src/%.c
\t@mkdir -p build
\t@echo "  CC  $@"; {cc} $$EXTRA -MD -MF build/$*.d -Inear -Iinc -Ibuild -c $< -o $@
-include $(wildcard build/*.d)
build/a.o: build/gen.h
build/gen.h: template.h gen.sh version.txt
\t@mkdir -p build && sh gen.sh $@
build/libx.a: $(O)
\t@rm -f $@
\tar rcs $@ $(O)
build/app: build/main.o build/libx.a
\t{cc} build/main.o build/libx.a -o $@
build/data.txt: data.txt
\t@mkdir -p build
\tcp $< $@ && chmod 640 $@
build/latest: build/app
\tln -sf app $@
"""
# What the build tools do not notice by themselves: a user knows that, and cleans.
UNSEEN = {
    *("environment", "locale", "umask", "mode", "shadow header", "no shadow header", "has include"),
    *("has no include", "output changed", "shadow directory", "no shadow directory"),
}
COUNTER = re.compile(r"^\[\d+/\d+\] ")
# Where clones are, at different depths and lengths, and what gcc is told there
PLACES = ("a", "b", "some-what.longer")
FLAGS = (
    "", "", "", "", "-O1", "-g", "-g -gz", "-g -ffile-prefix-map={root}=.", "-flto -frandom-seed=1",
    '-DROOT=\\"{root}\\"', "-I{root}/near",
)  # fmt: skip


class Workspace:
    """A directory with sources, and what may be done to any of them. Which, a project says."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, random.Random(seed)
        root.mkdir(parents=True, exist_ok=True)
        (root / "velo.toml").write_text('[live]\naggressive_paths = ["build/"]\n')
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("VELO_")
        }
        self.environment["VELO_SHARDS"] = "2"  # a server in each round, with its eight interpreters
        self.umask = 0o022
        self.count = 0

    def header(self) -> str:
        return "inc/one.h"

    def source(self) -> str:
        return "src/c.c"

    def text(self, name: str) -> str:
        """What it says at first."""
        return SOURCES[name]

    def changed(self, name: str, value: int) -> str:
        """What it may say instead, which gives other objects."""
        if name == "src/c.c":
            return self.text(name).replace("THREE;", f"THREE + {value};")
        return f"#define ONE {value}\n"

    # ---- edits; each says whether a native clean build could make something else ----------------

    def edits(self) -> dict[str, Callable[[], None]]:
        """Those that any project knows."""
        return {
            "nothing": lambda: None,
            "content": lambda: self._change(self.header(), self._next()),
            "same size": lambda: self._change(self.header(), self._next() % 10),
            "touch": lambda: os.utime(self.root / self.source()),
            "time put back": self._edit_time_back,
            "source": lambda: self._change(self.source(), self._next()),
            "source warns": self._warn,
            "reverted": self._revert,
            "session": lambda: self.environment.update(BUILD_NUMBER=str(self._next())),
            "locale": lambda: self.environment.update(LC_ALL=self.random.choice(["C", "C.UTF-8"])),
            "umask": lambda: setattr(self, "umask", self.random.choice([0o022, 0o027, 0o002])),
            "header a symlink": self._link_header,
            "header moved": self._replace_header,
        }

    def _next(self) -> int:
        self.count += 1
        return self.count

    def _rewrite(self, name: str, text: str) -> None:
        path = self.root / name
        if path.is_symlink():
            path.unlink()
        path.write_text(text)

    def _append(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(path.read_text() + text)

    def _change(self, name: str, value: int) -> None:
        self._rewrite(name, self.changed(name, value))

    def _warn(self) -> None:
        name = self.source()
        self._rewrite(name, f"#warning {self._next()}\n{self.text(name)}")

    def _revert(self) -> None:
        name = self.source()
        self._rewrite(name, self.text(name))

    def _edit_time_back(self) -> None:
        name = self.header()
        before = (self.root / name).stat()
        self._change(name, self._next() % 10)
        # Tools that go by time must be told, as a user would: by another file that is newer.
        os.utime(self.root / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.clean()

    def _link_header(self) -> None:
        name = self.header()
        path = self.root / name
        target = path.with_name(f"other-{path.name}")
        target.write_text(self.changed(name, self._next()))
        path.unlink()
        path.symlink_to(target.name)

    def _replace_header(self) -> None:
        name = self.header()
        new = (self.root / name).with_name("new.h")
        new.write_text(self.changed(name, self._next()))
        os.replace(new, self.root / name)

    def _remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    # ---- builds --------------------------------------------------------------------------------

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.root, env=self.environment | more, umask=self.umask,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def clean(self) -> None:
        for name in ("build", ".ninja_log", ".ninja_deps"):
            path = self.root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted((self.root / "build").rglob("*")):
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            inside: object = b""
            if stat.S_ISLNK(status.st_mode):
                inside = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                inside = path.read_bytes()
            found[str(path.relative_to(self.root))] = (kind, stat.S_IMODE(status.st_mode), inside)
        return found


class Project(Workspace):
    """A small one, of which each kind of edit is known."""

    def __init__(self, root: Path, chain: str, seed: int, *, is_cloned: bool = False) -> None:
        super().__init__(root, seed)
        self.is_cloned = is_cloned
        compiler, _, self.tool = chain.partition("-")
        for name, text in SOURCES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        name, text = ("build.ninja", NINJA) if self.tool == "ninja" else ("Makefile", MAKE)
        self._rules, self._text = name, text.format(cc=compiler)
        if is_cloned:  # what a shell expands may be anything, so it is not shared
            self._text = self._text.replace(" $$EXTRA", "")
        (root / name).write_text(self._text)
        self.environment["EXTRA"] = ""

    def move(self) -> None:
        """The same sources, with nothing built, at another place."""
        self.clean()
        places = {self.root.parent.parent / place for place in PLACES} - {self.root.parent}
        place = self.random.choice(sorted(places))
        place.mkdir(parents=True, exist_ok=True)
        self.root = self.root.rename(place / self.root.name)
        flags = self.random.choice(FLAGS).format(root=self.root)
        text = self._text.replace("-MD ", f"-MD {flags} ".replace("  ", " "))
        if (self.root / self._rules).read_text() != text:
            (self.root / self._rules).write_text(text)

    def edits(self) -> dict[str, Callable[[], None]]:
        return super().edits() | {
            "comment": lambda: self._append("inc/two.h", f"/* {self._next()} */\n"),
            "touch": lambda: os.utime(self.root / "src/b.c"),
            "shadow header": lambda: self._rewrite("near/one.h", f"#define ONE {self._next()}\n"),
            "no shadow header": lambda: (self.root / "near/one.h").unlink(missing_ok=True),
            "shadow directory": self._shadow_directory,
            "no shadow directory": lambda: shutil.rmtree(
                self.root / "near/deep", ignore_errors=True
            ),
            "has include": lambda: self._rewrite("inc/extra.h", f"#define TWO {self._next()}\n"),
            "has no include": lambda: (self.root / "inc/extra.h").unlink(missing_ok=True),
            "version": lambda: self._rewrite("version.txt", f"{self._next()}\n"),
            "script": lambda: self._append("gen.sh", f"# {self._next()}\n"),
            "script says more": lambda: self._append(
                "gen.sh", f'echo "/* {self._next()} */" >> "$1"\n'
            ),
            "environment": lambda: self.environment.update(
                EXTRA=self.random.choice(["", "-O1", "-DX=1"])
            ),
            "mode": lambda: os.chmod(
                self.root / "data.txt", self.random.choice([0o644, 0o600, 0o755])
            ),
            "data": lambda: self._rewrite("data.txt", f"{self._next()}\n"),
            "output removed": lambda: self._remove("build/a.o"),
            "output changed": lambda: self._spoil("build/data.txt"),
        }

    def _shadow_directory(self) -> None:
        (self.root / "near/deep").mkdir(exist_ok=True)
        if self.random.random() < 0.8:  # else it is there, and the header is not
            self._rewrite("near/deep/three.h", f"#define THREE {self._next()}\n")

    def _spoil(self, name: str) -> None:
        if (self.root / name).exists():  # another edit of the round may have removed it
            with open(self.root / name, "a") as file:
                file.write("spoiled\n")
        os.utime(self.root / "data.txt")


def settle() -> None:
    """Past the tick of the edits: what is as young as a step cannot be trusted as its input."""
    edge = time.time_ns() + 25_000_000
    while time.time_ns() < edge:
        time.sleep(0.005)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Its lines; with several jobs they come in any order."""
    lines = (done.stdout + done.stderr).splitlines()
    return sorted(COUNTER.sub("", line) for line in lines)


def differences(
    ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]
) -> list[str]:
    return [
        name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)
    ]


def last_report(cache: Path) -> dict[str, Any]:
    """Of the last command, which may have had no steps: then the one before it counts no more."""
    found = [
        *cache.glob("cas/replay/*.report.json"),
        *cache.glob("cas/replay/*.last.json"),
    ]
    report: dict[str, Any] = json.loads(
        max(found, key=lambda path: path.stat().st_mtime_ns).read_text()
    )
    return report


def assert_all_is_replayed(
    project: Workspace, velo: str, build: list[str], settings: dict[str, str]
) -> None:
    """Built twice from nothing, no step is run the second time that can be cached."""
    for again in range(2):
        project.clean()
        project.environment["TMUX"] = f"another, {again}"  # no step asks for it
        settle()
        project.run(velo, "exec", "--quiet", "--", *build, **settings)
        report = last_report(Path(settings["VELO_CACHE_DIR"]))
        steps = [each["step"] for each in report["steps"] if each["outcome"] == "run"]
        assert not again or not steps, f"{project.root}: nothing was changed, and {steps} ran"


def play(
    velo: str, chain: str, seed: int, rounds: int, root: Path, *, loud: bool, clones: bool = False
) -> tuple[int, int]:
    """Steps that were replayed, and that were run; AssertionError names the round."""
    first = root / (PLACES[0] if clones else "") / "project"
    project = Project(first, chain, seed, is_cloned=clones)
    settings = {
        "VELO_RUNTIME_DIR": str(root / "run"),
        "VELO_CACHE_DIR": str(root / "cache"),
        "VELO_REPLAY": "on",
    }
    build = [project.tool] if project.tool == "ninja" else ["make", "-j2"]
    idle = ["ninja", "-n"] if project.tool == "ninja" else ["make", "-q"]
    replayed = run = 0
    try:
        for number in range(rounds):
            names = project.random.sample(
                sorted(project.edits()), project.random.choice([0, 1, 1, 1, 2, 3])
            )
            for name in names:
                project.edits()[name]()
            if clones and number:
                project.run(velo, "stop", **settings)
                project.move()
            cleaned = clones or project.random.random() < 0.6 or bool(UNSEEN & set(names))
            if cleaned:
                project.clean()
            settle()
            names += ["cleaned"] if cleaned else []
            where = f"{chain}, seed {seed}, round {number}: {', '.join(names) or 'no edit'}"
            ours = project.run(velo, "exec", "--quiet", "--", *build, **settings)
            mine = project.snapshot()
            noop = project.run(*idle)
            report = last_report(root / "cache")
            replayed += report["replayed"]
            run += report["run"] + report["not_cached"]
            if loud:
                print(
                    where,
                    {key: report[key] for key in ("replayed", "run", "not_cached")},
                    flush=True,
                )
                for step in report["steps"]:
                    if step["outcome"] != "replayed":
                        print("    ", step["outcome"], "|", step["reason"], "|", step["step"][:70])
            project.clean()
            theirs = project.run(*build)
            native = project.snapshot()
            assert ours.returncode == theirs.returncode, (
                f"{where}: {ours.returncode}, {ours.stdout}{ours.stderr}"
            )
            assert mine == native, f"{where}: {differences(mine, native)} differ\n{ours.stdout}"
            # Two jobs of make may write into one line.
            mixes = project.tool == "make" and bool(theirs.stderr)
            assert not cleaned or mixes or said(ours) == said(theirs), (
                f"{where}: {said(ours)} and natively {said(theirs)}"
            )
            idle_words = noop.stdout
            done = noop.returncode == 0 and (
                project.tool == "make" or "no work to do" in idle_words
            )
            assert done or theirs.returncode != 0, (
                f"{where}: the native tool would build again: {idle_words}"
            )
            if project.random.random() < 0.3:  # nobody has built since the clean
                project.clean()
        assert_all_is_replayed(project, velo, build, settings)
    finally:
        project.run(velo, "stop", **settings)
    return replayed, run


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--chain", default="gcc-ninja")
    arguments.add_argument("--velo", default="velo")
    arguments.add_argument("--clones", action="store_true")
    arguments.add_argument("--loud", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="velo-rounds-") as directory:
        replayed, run = play(
            shutil.which(chosen.velo) or chosen.velo, chosen.chain, chosen.seed, chosen.rounds,
            Path(directory), loud=chosen.loud, clones=chosen.clones,
        )  # fmt: skip
    print(f"{chosen.rounds} rounds equal; {replayed} steps replayed, {run} run")
    return 0 if replayed > run / (10 if chosen.clones else 4) else 1


if __name__ == "__main__":
    sys.exit(main())
