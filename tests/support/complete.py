"""Is every path that a step asks the kernel for in its log? Two runs of the same command tell.

    cd tests; python -m support.complete --velo V

In: commands of compilers, linkers, archivers, shells, interpreters. Natively, strace lists the
paths of their calls; under velo, the logs of their units list what the library saw. Out: paths that
are in the first list alone, and have no reason to be.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from velo.shards.replay import unit_log
from velo.shards.replay.analysis import normal

TOML = '[live]\naggressive_paths = ["build/"]\n'
FILES = {
    "a.c": '#include <stdio.h>\n#include "a.h"\nint main(void) { return puts("a") < A; }\n',
    "b.cc": '#include <vector>\n#include "a.h"\nint b() { return std::vector<int>(A).size(); }\n',
    "inc/a.h": "#define A 0\n",
    "gen.py": "import json, os, sys\n"
    "with open(sys.argv[1], 'w') as made:\n    json.dump(sorted(os.listdir('inc')), made)\n",
    "gen.js": "const fs = require('fs');\n"
    "fs.writeFileSync(process.argv[2], fs.readdirSync('inc').join());\n",
    "a.rs": "pub fn a() -> u32 { 1 }\n",
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_executable(p a.c)\n",
}
# What it is called: the programs that it needs, and what is run, by a shell.
STEPS = {
    "gcc": (["gcc"], "gcc -MD -MF build/a.d -Iinc -Inone -c a.c -o build/a.o"),
    "gcc, and links": (["gcc"], "gcc -Iinc a.c -o build/a -lm"),
    "g++": (["g++"], "g++ -O1 -Iinc -c b.cc -o build/b.o"),
    "clang": (["clang"], "clang -MD -MF build/c.d -Iinc -c a.c -o build/c.o"),
    "clang, and links": (["clang"], "clang -Iinc a.c -o build/c"),
    "ar": (["gcc", "ar"], "gcc -Iinc -c a.c -o build/d.o && ar rcs build/d.a build/d.o"),
    "a shell": (
        [],
        "mkdir -p build/x/y && cp a.c build/x/a && mv build/x/a build/x/b && ln -sf b build/x/l"
        " && cat build/x/l inc/* > build/x/y/z && rm -f build/x/b && touch build/x/stamp"
        " && test ! -e build/none && ls inc > build/x/names && sed -i s/a/b/ build/x/names",
    ),
    "another directory": (
        ["gcc"],
        "mkdir -p build/e && cd build/e && gcc -I../../inc -c ../../a.c",
    ),
    "python": (["python3"], "python3 gen.py build/made.json"),
    "node": (["node"], "node gen.js build/made.txt"),
    "perl": (["perl"], "perl -e 'open F, q(a.c); print <F>' > build/copied"),
    "awk": (["awk"], "awk '{ print NR }' a.c > build/lines"),
    "cmake -E": (["cmake"], "cmake -E copy a.c build/copy && cmake -E touch build/stamp"),
    "cmake": (["cmake", "gcc", "make"], "cmake -S . -B build/cm > build/said"),
    "rustc": (["rustc"], "rustc --crate-type lib -o build/liba.rlib a.rs"),
}  # fmt: skip

# Without HOME, programs ask libc for the user's directory, and libc asks whether its root moved.
LEFT_OUT = ("LD_PRELOAD", "_", "HOME")

# Why a path need not be in a log. Where the reason is a rule of velo's, the rule has a test.
REASONS = {
    "the dynamic loader asks by itself; what it maps is listed when the program begins and ends": (
        r"/etc/ld\.so\.(?:cache|preload)|.*/glibc-hwcaps/.*|.*/tls/.*|"
        r".*/(?:x86_64|haswell|avx512_1|tls)(?:/.*)?|.*/\.\./lib"
    ),
    "libc reads it for itself, the same until the machine's packages change": (
        r"/usr/lib/locale/.*|/usr/share/locale.*|/usr/lib/[^/]+/gconv/.*|/etc/nsswitch\.conf|"
        r"/etc/passwd|/etc/group|/etc/localtime|/usr/share/zoneinfo/.*|/"
    ),
    "a library asks when it is loaded, before velo is": (
        r"/etc/selinux/config|/selinux|/etc/gnutls/config|/etc/malloc\.conf"
    ),
    "it says nothing of a file: devices and the process itself": r"/dev/.*|/proc/.*|/sys/.*",
    "a name of chance": (
        r"/tmp|/tmp/cc\w{6}\.[\w.]+|/tmp/[\w-]+-[0-9a-f]{6}\.[os]|/tmp/rustc\w{6}(?:/.*)?|"
        r".*/(?:tmp|sed|st|rmeta|rustc|\.tmp)\w{6}(?:\.temp-archive)?(?:/.*)?|"
        r".*\.tmp[0-9a-f]{5}|.*-[0-9a-f]{8}\.o\.tmp|.*/TryCompile-\w{6}(?:/.*)?"
    ),
}  # fmt: skip


class Call(NamedTuple):
    name: str
    path: str


AT = re.compile(r'(AT_FDCWD|\d+)<([^>]*)>, "((?:[^"\\]|\\.)*)"')
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
FCHDIR = re.compile(r"\d+<([^>]*)>")
TWO = ("rename", "link")  # both texts are paths


def paths_of(trace: str, cwd: str) -> set[Call]:
    """The paths that the calls in an output of `strace -f -y` name, from the root on."""
    found, standing = set(), {}
    for line in trace.splitlines():
        matched = LINE.match(line)
        if matched is None:
            continue
        pid, name, rest = matched.groups()
        stands = FCHDIR.match(rest) if name == "fchdir" else None
        if stands:
            standing[pid] = stands[1]
        pairs = AT.findall(rest)
        for number, base, path in pairs:
            if number == "AT_FDCWD":
                standing[pid] = base
            if path:
                found.add(Call(name, normal(os.path.join(base, path))))
        if not pairs and not rest.startswith("AT_FDCWD") and not rest[:1].isdigit():
            texts = TEXT.findall(rest)
            for path in texts[: 2 if name in TWO else 1]:
                found.add(Call(name, normal(os.path.join(standing.get(pid, cwd), path))))
                if name == "chdir":
                    standing[pid] = os.path.join(standing.get(pid, cwd), path)
    return found


def logged_in(path: Path) -> tuple[str, set[str]]:
    """The command of a unit and the paths in its log; with a slash behind, those below which
    there is nothing."""
    unit, found = unit_log.read(str(path)), set()
    for record in unit.records:
        if record.kind in (unit_log.KEY, unit_log.ENVIRONMENT, unit_log.TEXT, unit_log.HOSTED_PATH):
            continue
        texts = [text.decode(errors="replace") for text in record.payload.split(b"\0")]
        named = {normal(text) for text in texts if text.startswith("/")}
        found |= named.union(*map(way_to, named))
        if record.kind == unit_log.ABSENT:
            found.add(f"{normal(record.path)}/")
    return unit.words[2][-1], found


@functools.cache
def way_to(path: str) -> set[str]:
    """The directories and symlinks on the way: a fact of the path holds while they lead there."""
    found, rest, done = set(), path.split("/")[1:], ""
    while rest and len(found) < 100:
        name = rest.pop(0)
        if name in ("", ".", ".."):
            done = os.path.dirname(done) if name == ".." else done
            continue
        done = f"{done}/{name}".replace("//", "/")
        found.add(done)
        if os.path.islink(done):
            link = os.readlink(done)
            rest = link.split("/") + rest
            done = "/" if link.startswith("/") else os.path.dirname(done)
    return found


def reason_of(path: str) -> str | None:
    return next((why for why, pattern in REASONS.items() if re.fullmatch(pattern, path)), None)


class Workspace:
    """One place, in which each step is run natively first and then under velo."""

    def __init__(self, root: Path, velo: str) -> None:
        self.root, self._velo = root, velo
        self.environment = {
            name: value for name, value in os.environ.items() if name not in LEFT_OUT
        }
        self.steps = {name: text for name, (needs, text) in STEPS.items() if self._has(needs)}
        for name, text in (FILES | {"velo.toml": TOML}).items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)

    def _has(self, programs: list[str]) -> bool:
        return all(shutil.which(program) for program in programs)

    def _clean(self) -> None:
        shutil.rmtree(self.root / "build", ignore_errors=True)
        (self.root / "build").mkdir()

    def natively(self) -> dict[str, set[Call]]:
        """What strace saw of each step."""
        found = {}
        with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
            for name, text in self.steps.items():
                self._clean()
                watched = ["strace", "-f", "-y", "-s", "4096", "-e", "trace=%file,fchdir"]
                command = [*watched, "-o", trace.name, "/bin/sh", "-c", text]
                self._run(command, self.environment)
                calls = Path(trace.name).read_text(errors="replace")
                found[name] = paths_of(calls, str(self.root))
        self._clean()
        return found

    def hosted(self, mode: str = "record") -> dict[str, set[str]]:
        """What the logs of the steps say. No sealer takes them away: velo did not start ninja."""
        rules = [f"build {number}: run\n  cmd = {text.replace('$', '$$')}\n"
                 for number, text in enumerate(self.steps.values())]  # fmt: skip
        (self.root / "build.ninja").write_text(
            "pool one\n  depth = 1\nrule run\n  command = $cmd\n  pool = one\n" + "".join(rules)
        )
        self._run([self._velo, "exec", "--replay", "record", "--", "true"], self.environment)
        given = self._run([self._velo, "exec", "--", "env"], self.environment)
        inside = dict(line.split("=", 1) for line in given.splitlines() if "=" in line)
        names = ("LD_PRELOAD", "VELO_ARENA")
        inside = self.environment | {name: inside[name] for name in names}
        self._run(["ninja", "-j1"], inside | {"VELO_REPLAY": mode})
        logs = Path(inside["VELO_ARENA"], "r").glob("*.f")
        of_text = dict(logged_in(path) for path in logs)
        return {name: of_text.get(text, set()) for name, text in self.steps.items()}

    def _run(self, command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        subprocess.run([self._velo, "stop"], cwd=self.root, env=self.environment, check=False,
                       capture_output=True)  # fmt: skip


def missing(root: Path, velo: str) -> dict[str, list[Call]]:
    """By step: the calls whose path is in no log and has no reason. An empty log misses all."""
    workspace = Workspace(root, velo)
    natively = workspace.natively()
    try:
        hosted = workspace.hosted()
    finally:
        workspace.stop()
    return {
        name: sorted(each for each in calls
                     if hosted[name].isdisjoint({each.path, f"{os.path.dirname(each.path)}/"})
                     and reason_of(each.path) is None)
        for name, calls in natively.items()
    }  # fmt: skip


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--velo", default="velo")
    given = arguments.parse_args()
    velo = shutil.which(given.velo) or given.velo
    with tempfile.TemporaryDirectory(prefix="velo-c-", dir="/var/tmp") as directory:
        root = Path(directory).resolve()
        os.environ["VELO_RUNTIME_DIR"] = str(root / "run")
        os.environ["VELO_CACHE_DIR"] = str(root / "cache")
        (root / "w").mkdir()
        found = missing(root / "w", velo)
    for name, calls in found.items():
        print(f"{name}: {len(calls)} missing")
        for call in calls[:40]:
            print(f"    {call.name} {call.path}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
