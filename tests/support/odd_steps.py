"""Steps that a cache of steps gets wrong, built natively and through replay from the same state.

    cd tests; python -m support.odd_steps --seed 1 --rounds 20 --tool make --velo V

They append, ask what is there before they write, list directories, read the environment, compare
times, die half-way. rounds.py compares with a clean build; here a build that is not clean must end
as the native one does and say the same, whatever stood in `build/` before, also what a user wrote
there.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import rounds

STATE = ("build", ".ninja_log", ".ninja_deps")
# Output, inputs that ninja knows, command.
STEPS = (
    ("t", "in1", "mkdir -p build; test -f build/t || cat in1 > build/t"),
    ("log", "in2", "cat in2 >> build/log"),
    ("new", "in1", "cat in1 > build/n; cmp -s build/n build/new && rm build/n"
                   " || mv build/n build/new"),
    ("both", "in1 in2", "cat in1 in2 > build/both"),
    ("env", "in1", "echo $$MYVAR > build/env"),
    ("arithmetic", "in1", "echo $$((MYVAR + 1)) $${#MYVAR} > build/arithmetic"),
    ("eval", "in2", "n=MYVAR; eval echo \\$$$$n > build/eval"),
    ("isset", "in1", "bash -c 'if [ -v OTHER ]; then echo y; else echo n; fi' > build/isset"),
    ("exported", "in1", "OTHER=x; sh -c 'echo $$OTHER' > build/exported"),
    ("awk", "in2", "awk 'BEGIN { print ENVIRON[\"OTHER\"] }' > build/awk"),
    ("sourced", "in1", "(. ./say.sh; sh say.sh; python3 say.py) > build/sourced"),
    ("update", "in1", "cp -u in1 build/update"),
    ("list", "in1 in2 | dir", "ls dir > build/list"),
    ("x/y/stamp", "in2", "mkdir -p build/x/y && touch build/x/y/stamp"),
    ("self", "in1", "cat in1 > build/s; sed s/a/b/ build/s > build/self; rm build/s"),
    ("open/file", "in1", "mkdir -p build && mkdir -m 777 -p build/open"
                         " && cat in1 > build/open/file"),
    ("link", "in2", "ln -sf ../in2 build/link"),
    ("glob", "in1", "cat dir/* > build/glob"),
    ("if", "in1", "if [ -e opt ]; then cat opt; else echo none; fi > build/if"),
    ("newer", "in1", "if [ in1 -nt in2 ]; then echo y; else echo n; fi > build/newer"),
    ("loop", "in2", "for f in dir/*; do wc -c < $$f; done > build/loop"),
    ("size", "in1", "wc -c in1 > build/size"),
    ("killed", "in1", "(sh -c 'echo half > build/killed; exec ./crash'; cat in1 >> build/killed)"
                      " || true"),
    ("moved", "in1", "cat in1 > build/m.tmp && mv -f build/m.tmp build/moved"),
    ("tree", "in2", "rm -rf build/a build/b; mkdir build/a && cat in2 > build/a/f"
                    " && mv build/a build/b && cat build/b/f > build/tree"),
    ("mode", "in1", "stat -c %a in1 > build/mode"),
    ("script", "in1 | gen.py", "python3 gen.py in1 build/script"),
    ("two", "in1", "cat in1 > build/shared; cat build/shared > build/two"),
    ("echo", "in1", 'echo "  made of $$(cat in1)"; cp in1 build/echo'),
    ("complaint", "in2", "cp in2 build/complaint; cat in2 missing || cp in2 build/complaint"),
    # These fail where they find what they made before.
    ("dir", "in1", "mkdir build/dir.d && cp in1 build/dir.d/x && cp in1 build/dir"),
    ("linked", "in2", "ln -s in2 build/linked.l && cp in2 build/linked"),
    ("names", "in1", "mkdir -p build/names.d && ls build/names.d > build/names.n"
                     " && cp in1 build/names.d/$$(cat in1) && mv -f build/names.n build/names"),
    ("inside", "in1", "mkdir -p build/in.d && ln -sf in.d build/in.l && cp in1 build/inside"),
    ("third", "in1", "exec 3>&1; cat in1 >&3; cat in1 > build/third"),
)  # fmt: skip
# Of what steps that nobody has thought of are put together: {i} an input, {f}, {g} files, {d}, {e}
# directories in `build/`. Some belong to other steps, too.
WORDS = (
    "mkdir {d}", "mkdir -p {d}", "mkdir -p {d}/s", "rmdir {d}", "rm {f}", "rm -f {f}", "rm -rf {d}",
    "cp {i} {f}", "cp {f} {g}", "cp {i} {d}/x", "cp -r {d} {e}", "mv {f} {g}", "mv -f {f} {g}",
    "mv {d} {e}", "ln -s {i} {f}", "ln -sf {f} {g}", "ln -sfn {d} {e}", "cat {i} > {f}",
    "cat {f} >> {g}", "cat {f} {g}", "cat {d}/x > {f}", "test -e {f}", "test -d {d}", "test -s {f}",
    "test {f} -nt {g}", "ls {d}", "ls {d} > {f}", "find {d} -type f | sort > {f}", "touch {f}",
    "touch {d}/y", "sed s/a/c/ {f} > {g}", "sed -i s/a/c/ {f}", "chmod 600 {f}",
    "wc -c < {f} > {g}",
    "(cat {f} || echo none) > {g}", "cmp -s {f} {g}", "grep -q a {f}", "install -m 640 {i} {f}",
    "install -D {i} {d}/t/z", "tee {f} < {i}", "readlink {f}", "stat -c %s {f} > {g}", "echo said",
    "(cd {d} && echo w > v)", "echo $$(cat {f}) > {g}", "head -c 1 {f}", "cp {f} {d}/",
    "mv {f} {d}",
    "echo $$MYVAR > {f}", "if [ -L {f} ]; then rm {f}; fi",
    "for n in {d}/*; do echo $$n; done > {f}",
)  # fmt: skip
BETWEEN = (" && ", " && ", "; ", " || ")


def unthought(number: int, chance: random.Random) -> tuple[str, str, str]:
    """A step of two to four of these."""
    command = ""
    own = number if chance.random() < 0.8 else 0
    for _ in range(chance.choice((2, 3, 4))):
        files = chance.sample((f"build/{own}f", f"build/{own}g"), 2)
        directories = chance.sample((f"build/{own}d", f"build/{own}e"), 2)
        given = chance.choice(("in1", "in2"))
        word = chance.choice(WORDS).format(
            i=given, f=files[0], g=files[1], d=directories[0], e=directories[1]
        )
        command += (chance.choice(BETWEEN) if command else "") + word
    return f"o{number}", chance.choice(("in1", "in2")), f"{command}; cp in1 build/o{number}"


OPENING = [
    (["in1", "in2"], True), (["targets less"], False), (["in1", "in2"], True),
    (["in1", "in2"], False),
]  # fmt: skip
SCRIPT = """\
import os, sys
names = sorted(os.listdir("dir"))
with open(sys.argv[1]) as given, open(sys.argv[2], "w") as made:
    made.write(given.read() + repr(names))
"""


SCRIPTS = {
    "gen.py": SCRIPT,
    "say.sh": 'echo "of $MYVAR, ${OTHER-none}"\n',
    "say.py": "import os\nprint(os.environ.get('OTHER'))\n",
}


class Project(rounds.Project):
    """The workspace, in which what is built natively can be taken back."""

    def __init__(self, root: Path, seed: int, tool: str, *, unknown: int) -> None:
        super().__init__(root, f"gcc-{tool}", seed)
        steps = [unthought(number, self.random) for number in range(unknown)] or STEPS
        self._targets = [out for out, _, _ in steps]
        lines = ["rule step\n  command = $cmd\n"]
        lines += [f"build build/{out}: step {of}\n  cmd = {cmd}\n" for out, of, cmd in steps]
        (root / "build.ninja").write_text("".join(lines))
        lines = [f"all: {' '.join(f'build/{out}' for out in self._targets)}\n"]
        lines += [f"build/{out}: {of}\n\t@mkdir -p build; {cmd}\n" for out, of, cmd in steps]
        (root / "Makefile").write_text("".join(lines))
        (root / "dir").mkdir()
        for name, text in {"in1": "a\n", "in2": "a\n", "dir/a": "a\n", **SCRIPTS}.items():
            (root / name).write_text(text)
        (root / "crash.c").write_text("int main(void) { __builtin_trap(); }\n")
        subprocess.run(["gcc", "crash.c", "-o", "crash"], cwd=root, check=True)
        self.environment["MYVAR"] = "0"

    def edits(self) -> dict[str, Callable[[], None]]:
        # Few texts, so that a build meets again what it was built from before.
        outputs = ["t", "new", "both", "update", "self", "shared", "log", "if", "glob"]
        return {
            "in1": lambda: self._turn("in1"),
            "in2": lambda: self._turn("in2"),
            "touch in1": lambda: os.utime(self.root / "in1"),
            "touch in2": lambda: os.utime(self.root / "in2"),
            "a name": lambda: self._rewrite(f"dir/n{self._next() % 2}", "x"),
            "a name less": self._remove_a_name,
            "opt": lambda: self._rewrite("opt", f"o{self._next() % 2}"),
            "no opt": lambda: self._remove("opt"),
            "variable": lambda: self.environment.update(MYVAR=str(self._next() % 2)),
            "other variable": lambda: self.environment.update(OTHER=str(self._next() % 2)),
            "no variable": lambda: self.environment.pop("OTHER", None),
            "session": lambda: self.environment.update(BUILD_NUMBER=str(self._next())),
            "mode": lambda: os.chmod(self.root / "in1", self.random.choice([0o644, 0o600])),
            "an output by hand": lambda: self._write_output(self.random.choice(outputs)),
            "an output less": lambda: self._remove(f"build/{self.random.choice(outputs)}"),
            "any by hand": self._spoil_any,
            "targets less": self._lose_targets,
            "any less": self._lose_any,
        }

    def _turn(self, name: str) -> None:
        old = (self.root / name).read_text()
        self._rewrite(name, "b\n" if old == "a\n" else "a\n")

    def _remove_a_name(self) -> None:
        for path in sorted((self.root / "dir").glob("n*"))[:1]:
            path.unlink()

    def _any_output(self) -> str:
        """Of those that are there, with more names than a step has thought of."""
        found = sorted(str(path.relative_to(self.root)) for path in self.root.glob("build/**/*"))
        return self.random.choice(found or ["build/none"])

    def _spoil_any(self) -> None:
        path = self.root / self._any_output()
        if path.is_dir():
            path /= self.random.choice("xyv")
        if not path.is_symlink() and not path.is_dir():
            path.write_text("user\n")

    def _lose_targets(self) -> None:
        for out in self._targets:
            self._remove(f"build/{out}")

    def _lose_any(self) -> None:
        path = self.root / self._any_output()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _write_output(self, name: str) -> None:
        if (self.root / "build").is_dir():
            self._rewrite(f"build/{name}", "user\n")

    def save(self, to: Path) -> None:
        """Keep what is built, with its times."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        self._copy(self.root, to)

    def load(self, kept: Path) -> None:
        self.clean()
        self._copy(kept, self.root)

    def _copy(self, source: Path, to: Path) -> None:
        there = [str(source / name) for name in STATE if (source / name).exists()]
        if there:
            subprocess.run(["cp", "-a", *there, str(to)], check=True)


def chosen(project: Project, number: int) -> tuple[list[str], bool]:
    """The edits of a round and whether the build starts from nothing.

    The first rounds are fixed: a clean build; one for which all is there but what the build tool
    looks at; a clean one of other inputs; one over its outputs, of the first inputs. A key that
    forgets what a step found in `build/` fails there.
    """
    if number < len(OPENING):
        return OPENING[number]
    names = project.random.sample(sorted(project.edits()), project.random.choice([0, 2, 4, 6]))
    return names, project.random.random() < 0.5


def play(
    velo: str, seed: int, count: int, root: Path, *, loud: bool, tool: str = "ninja",
    unknown: int = 0,
) -> int:  # fmt: skip
    """How many steps were replayed; AssertionError names the round that differs."""
    project = Project(root / "project", seed, tool, unknown=unknown)
    build = {"ninja": ["ninja", "-k", "0", "-j1"], "make": ["make", "-k"]}[tool]
    settings = {
        "VELO_RUNTIME_DIR": str(root / "run"),
        "VELO_CACHE_DIR": str(root / "cache"),
        "VELO_REPLAY": "on",
    }
    replayed = 0
    try:
        for number in range(count):
            names, clean = chosen(project, number)
            for name in names:
                project.edits()[name]()
            if clean:
                project.clean()
            rounds.settle()
            project.save(root / "kept")
            native = project.run(*build)
            theirs = project.snapshot()
            project.load(root / "kept")
            rounds.settle()
            hosted = project.run(velo, "exec", "--quiet", "--", *build, **settings)
            ours = project.snapshot()
            where = f"seed {seed}, round {number}: {', '.join(names) or 'no edit'}"
            report = rounds.last_report(root / "cache")
            replayed += report["replayed"]
            if loud:
                print(where, report["replayed"], "replayed", flush=True)
            differ = rounds.differences(ours, theirs)
            assert not differ, f"{where}: {differ} differ\n{hosted.stdout}{hosted.stderr}"
            assert hosted.returncode == native.returncode, f"{where}: {hosted}"
            said, expected = rounds.said(hosted), rounds.said(native)
            assert said == expected, f"{where}: {said} and natively {expected}"
    finally:
        project.run(velo, "stop", **settings)
    return replayed


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--velo", default="velo")
    arguments.add_argument("--tool", default="ninja")
    arguments.add_argument("--unknown", type=int, default=0, help="so many steps by chance")
    given = arguments.parse_args()
    velo = shutil.which(given.velo) or given.velo
    with tempfile.TemporaryDirectory(prefix="velo-odd-") as directory:
        replayed = play(
            velo, given.seed, given.rounds, Path(directory), loud=True, tool=given.tool,
            unknown=given.unknown,
        )  # fmt: skip
    print(f"{given.rounds} rounds equal; {replayed} steps replayed")
    return 0 if replayed > given.rounds else 1


if __name__ == "__main__":
    sys.exit(main())
