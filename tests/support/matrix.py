"""One row of the matrix: a real tool at work, natively and hosted, at the same path.

In: rows: tools, sources, shell commands. Out: a failed test that names the first differences in
status, output or tree, or a line for the table of what was shown, with the tools' versions. Never:
a row that is left out silently, or a difference explained away without its reason in the row.

    prepare -> steps natively -> snapshot -> idle natively    the oracle
    prepare -> steps hosted   -> snapshot -> idle natively    must be equal, and idle change nothing

How to add a row: see test_c.py. What two native runs do not agree on is named in the row, each with
its reason: `volatile` for bytes, `unordered` for lines, `ignored` for names, `scrubbed` for output,
`parallel` for order.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from .harness import Velo
from .snapshot import Snapshot
from .tools import version_of

# Taken at import, before the fixture `isolated` takes every VELO_* variable away.
SKIPS_FAIL = os.environ.get("VELO_MATRIX") == "all"
STEP_TIMEOUT_S = 300
SHOWN_MAX = 25
LONG_AGO_NS = 1_600_000_000_000_000_000
COARSE_NS = 10_000_000  # the kernel stamps files with a clock that ticks every 4 ms
# How ninja and CMake's makefiles count steps: with several jobs, who is the third changes.
COUNTER = re.compile(r"^\[ *\d+(/\d+|%)\] *")
DIFFERS = re.compile(r"^velo: made something else than its entry says.*\n?", re.MULTILINE)
# Every side of every row: one language, one zone, and nothing that depends on a terminal.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is run, and what two native runs of it do not agree on."""

    name: str
    tools: tuple[str, ...]  # keys of tools.TOOLS; one that is missing skips the row by name
    prepare: Callable[[Path], None]  # writes the sources into a fresh workspace
    steps: tuple[str, ...]  # shell lines, each a `velo exec` of its own
    idle: str = ""  # a shell line, always run natively, that must find nothing to do
    idle_says: str = ""  # pattern in its output that proves so
    hosted: tuple[str, ...] = ("build/",)
    toml: str = ""  # further lines of velo.toml
    environment: Mapping[str, str] = field(default_factory=dict)
    status: int = 0  # of every step
    # Several jobs at once: lines of output and times of files come in no fixed order.
    parallel: bool = False
    # Patterns of paths below the workspace, each with the reason.
    volatile: Mapping[str, str] = field(default_factory=dict)
    unordered: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    # Patterns of output that differ between two native runs, and what to show instead.
    scrubbed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one side showed."""

    said: list[tuple[int, list[str]]]  # status and lines of each step
    tree: Snapshot
    idle: tuple[int, list[str]]
    started_ns: int
    seconds: float

    def set_times(self) -> dict[str, int]:
        """Times from before the run: sources, and what tools copied or set."""
        times = self.tree.mtimes_ns.items()
        return {name: at_ns for name, at_ns in times if at_ns < self.started_ns}

    def moments(self) -> Snapshot:
        """The tree with the times only that say when something was written. Tools that copy times
        with whole seconds (CMake's install) make an order that is a matter of chance."""
        times = self.tree.mtimes_ns.items()
        kept = {
            name: at_ns
            for name, at_ns in times
            if at_ns >= self.started_ns and at_ns % 1_000_000_000
        }
        return Snapshot(self.tree.entries, kept)


@dataclass(slots=True)
class Bench:
    """Where rows run: a workspace, a velo, and where the line for the table goes."""

    velo: Velo
    place: Path
    record: Callable[[str, object], None]
    again: tuple[str, ...] = ()  # modes of replay in which the row is run once more

    def check(self, row: Row) -> None:
        """Run `row` on both sides; the test fails on the first kind of difference."""
        versions = versions_or_skip(row.tools)
        native = self.run(row, hosted=False)
        hosted = self.run(row, hosted=True)
        self.record("matrix", json.dumps([row.name, versions, native.seconds, hosted.seconds]))
        compare(row, native, hosted)
        for mode in self.again:
            if mode == "on" and "VELO_REPLAY" in row.environment:
                continue  # the row says why it is verified
            compare(row, native, self.run(row, hosted=True, mode=mode))

    def run(self, row: Row, *, hosted: bool, mode: str = "") -> Outcome:
        """One side: the row from its sources on, and the idle command on what it left."""
        fresh(row, self.place)
        started_ns, started = time.time_ns() - COARSE_NS, time.monotonic()
        said = [self._step(row, line, hosted=hosted, mode=mode) for line in row.steps]
        seconds = round(time.monotonic() - started, 1)
        tree = tree_of(row, self.place)
        idle = (0, [""])
        if row.idle:
            idle = self._step(row, row.idle, hosted=False)
            changed = touched(tree, tree_of(row, self.place))
            assert not changed, shown(f"{row.name}: idle was not ({row.idle})", changed + idle[1])
            assert re.search(row.idle_says, "\n".join(idle[1]), re.MULTILINE), shown(
                f"{row.idle}", idle[1]
            )
        return Outcome(said, tree, idle, started_ns, seconds)

    def _step(self, row: Row, line: str, *, hosted: bool, mode: str = "") -> tuple[int, list[str]]:
        environment = {**ENVIRONMENT, **row.environment}
        if mode:
            environment["VELO_REPLAY"] = mode
        command = ("sh", "-c", line)
        if hosted:
            done = self.velo.exec(
                *command, cwd=self.place, env=environment, check=False, timeout_s=STEP_TIMEOUT_S
            )
        else:
            done = subprocess.run(
                command,
                cwd=self.place,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=STEP_TIMEOUT_S,
            )
        if hosted and mode == "verify":
            self._refuse_differing(row, line)
            done.stderr = DIFFERS.sub("", done.stderr)
        lines = scrub(row, done.stdout, done.stderr)
        side = "hosted" if hosted else "native"
        assert done.returncode == row.status, shown(f"{side} {line}: {done.returncode}", lines)
        return done.returncode, lines

    def _refuse_differing(self, row: Row, line: str) -> None:
        """Fail where a step made something else than its entry says, and two native runs do not."""
        report = json.loads(self.velo.run("explain", "--json", cwd=self.place).stdout)
        by_itself = {**row.volatile, **row.ignored}
        differing = [
            step["step"]
            for step in (report["steps"] if report else ())
            if step["verify"] is False
            and not any(_any(by_itself, self._below(each)) for each in step["makes"])
        ]
        assert not differing, shown(f"{line}: not what the entry says", differing)

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self.place.resolve())


def fresh(row: Row, place: Path) -> None:
    """Nothing but the row's sources and its velo.toml in `place`, with times that are the same on
    both sides: as in the archive they came from, or LONG_AGO."""
    started_ns = time.time_ns()
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    paths = ", ".join(f'"{path}"' for path in row.hosted)
    text = f'[live]\nmax_memory = "512MB"\naggressive_paths = [{paths}]\n{row.toml}'
    (place / "velo.toml").write_text(text)
    row.prepare(place)
    for path in place.rglob("*"):
        if os.lstat(path).st_mtime_ns >= started_ns - COARSE_NS:
            os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS), follow_symlinks=False)


def scrub(row: Row, out: str, err: str) -> list[str]:
    """What a run said, as lines that two native runs agree on."""
    text = out + err
    for pattern, instead in row.scrubbed.items():
        text = re.sub(pattern, instead, text)
    lines = text.splitlines()
    return sorted(COUNTER.sub("", line) for line in lines) if row.parallel else lines


def tree_of(row: Row, place: Path) -> Snapshot:
    """All of the workspace, without what the row names as different each time."""
    found = Snapshot.of(place)
    kept = {name: entry for name, entry in found.entries.items() if not _any(row.ignored, name)}
    for name, entry in kept.items():
        if _any(row.volatile, name):
            kept[name] = replace(entry, content="")
        elif _any(row.unordered, name):
            lines = sorted((place / name).read_bytes().splitlines())
            kept[name] = replace(entry, content=hashlib.sha256(b"\n".join(lines)).hexdigest())
    return Snapshot(kept, {name: at for name, at in found.mtimes_ns.items() if name in kept})


def compare(row: Row, native: Outcome, hosted: Outcome) -> None:
    """Fail unless both sides showed the same."""
    for line, expected, said in zip(row.steps, native.said, hosted.said, strict=True):
        assert said == expected, shown(f"hosted output of {line}", _changed(expected[1], said[1]))
    differences = native.tree.differences(hosted.tree)
    assert not differences, shown(f"{row.name}: the hosted tree", differences)
    assert hosted.idle == native.idle, shown(row.idle, _changed(native.idle[1], hosted.idle[1]))
    times, hosted_times = native.set_times(), hosted.set_times()
    changed = [name for name in times if times[name] != hosted_times.get(name)]
    assert not changed, shown(f"{row.name}: times that were set", changed)
    inversions = [] if row.parallel else native.moments().inversions(hosted.moments())
    assert not inversions, shown(f"{row.name}: the order in time", inversions)


def touched(before: Snapshot, after: Snapshot) -> list[str]:
    """What happened to a tree that nothing should have happened to."""
    newer = [
        f"{name} was written"
        for name, at_ns in after.mtimes_ns.items()
        if before.mtimes_ns.get(name, at_ns) != at_ns and before.entries[name].content
    ]
    return before.differences(after) or newer


def versions_or_skip(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of all tools a row needs; without one of them the row is skipped, by name."""
    found = {name: version_of(name) for name in names}
    missing = [name for name, version in found.items() if version.startswith("missing")]
    if missing:
        reason = ", ".join(f"{name}: {found[name]}" for name in missing)
        pytest.fail(reason) if SKIPS_FAIL else pytest.skip(reason)
    return found


def shown(what: str, lines: list[str]) -> str:
    """A message for a person: the first lines, and how many more there are."""
    more = [f"... and {len(lines) - SHOWN_MAX} more"] if len(lines) > SHOWN_MAX else []
    return "\n".join([what, *lines[:SHOWN_MAX], *more])


def _changed(expected: list[str], said: list[str]) -> list[str]:
    missing = [f"- {line}" for line in expected if line not in said]
    return missing + [f"+ {line}" for line in said if line not in expected]


def _any(patterns: Mapping[str, str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
