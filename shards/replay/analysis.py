"""From a unit's log to what it depended on and what it made, or to why it cannot be cached.

Records are taken in their order, since the first access decides: a path that the unit wrote first
is no input of it.
"""

from __future__ import annotations

import re
import stat
from typing import NamedTuple

from . import programs
from . import unit_log as log
from .unit_log import Hosted, UnitLog

# As enum velo_fact_kind
CONTENT, F_ABSENT, LABSENT, F_STAT, F_LSTAT, TIMES, LTIMES, F_LINK, F_NO_LINK, F_NAMES = range(
    1, 11
)
RESOLVED = 100  # realpath: a fact for each component (facts.Looker.steps_of)
# As enum velo_output_kind
FILE, DIRECTORY, SYMLINK, GONE = range(1, 5)

# What libc reads for itself: the same until the machine's packages change: ld.so.cache tells.
LIBC_READS = re.compile(
    r"/etc/ld\.so\.(cache|preload)|/usr/lib/locale/.*|/usr/share/locale/.*|/usr/lib/[^/]+/gconv/.*|/etc/nsswitch\.conf|"
    r"/etc/passwd|/etc/group|/etc/localtime|/usr/share/zoneinfo/.*"
)
TEXT_MAX = 32 << 10


class NotCached(Exception):
    """Why; `process` is the pid that did it, if one did."""

    def __init__(self, reason: str, process: int = 0) -> None:
        super().__init__(reason)
        self.process = process


class Fact(NamedTuple):
    kind: int
    path: str
    link: str = ""  # of F_LINK


class Output(NamedTuple):
    kind: int
    path: str
    hosted: Hosted | None


class Analysed(NamedTuple):
    facts: list[Fact]
    before: list[Fact]  # absent when the unit began, and not at its end
    outputs: list[Output]
    hosted: dict[tuple[str, int], Hosted]  # inputs
    text: bytes
    errors: bytes
    needs_rest: bool
    provisional: bool  # randomness was asked for: two runs must agree


class _Asked(NamedTuple):
    """One observation as a fact: of a program that makes nothing of times, and of any other."""

    path: str
    fact: Fact | None  # None: libc's own reading
    strict: Fact | None
    droppable: bool  # it only made way for an output, when a compiler asked


class _Habits(NamedTuple):
    unasked: bool  # what it asks of its own outputs changes nothing
    strict: bool
    times: bool  # it fstats what it opens


STRANGE = _Habits(unasked=False, strict=True, times=True)
_ASKED: dict[tuple[int, int, bytes], _Asked] = {}  # thousands of units ask the same


def _ask(record: log.Record) -> _Asked:
    kind, path = record.kind, normal(record.path)
    if LIBC_READS.fullmatch(path):
        return _Asked(path, None, None, False)
    if kind in (log.READ, log.PROGRAM, log.OBJECT):
        fact = strict = Fact(CONTENT, path)
    elif kind == log.ABSENT:
        fact = strict = Fact(LABSENT if record.flags == log.ITSELF else F_ABSENT, path)
    elif kind == log.ACCESS:
        fact = strict = Fact(F_STAT, path)
    elif kind == log.STAT:
        fact, strict = Fact(F_STAT, path), Fact(TIMES, path)
    elif kind == log.LSTAT:
        fact, strict = Fact(F_LSTAT, path), Fact(LTIMES, path)
    elif kind == log.LINK:
        fact = strict = Fact(F_LINK, path, record.paths[1])
    elif kind == log.NO_LINK:
        fact = strict = Fact(F_NO_LINK, path)
    else:
        fact = strict = Fact(RESOLVED, path, record.paths[1])
    droppable = fact.kind not in (CONTENT, F_LINK) and record.flags != log.OPENED
    return _Asked(path, fact, strict, droppable)


class _Analysis:
    def __init__(self, unit: UnitLog) -> None:
        self.unit = unit
        self.facts: dict[Fact, bool] = {}  # True: compilers alone asked, to make way for an output
        self.made: dict[str, int] = {}  # path: FILE, ...; in the order of the last change
        self.touched: set[str] = set()  # written, made or removed by the unit: no input any more
        self.strict: set[int] = set()  # processes that look at times
        self.names: dict[int, str] = {}
        self.current: dict[int, _Habits] = {}
        self.invented: list[Fact] = []
        self.removed: set[str] = set()  # that others had made

    def run(self) -> Analysed:
        unit = self.unit
        self._refuse_early()
        hosted: dict[tuple[str, int], Hosted] = {}
        for record in unit.records:
            if record.kind == log.HOSTED_PATH:
                path, why, what = log.hosted_of(record)
                hosted[normal(path), why] = what
        self.hosted = hosted
        self._learn_programs()
        text, errors = b"", b""
        for record in unit.records:
            if record.kind == log.TEXT:
                if record.flags == 2:
                    errors += record.payload
                else:
                    text += record.payload
            else:
                self._take(record)
        outputs = self._outputs()
        if len(text) + len(errors) > TEXT_MAX:
            raise NotCached("it said more than 32 KB")
        inputs = {(path, why): what for (path, why), what in hosted.items() if why != log.OUTPUT}
        made = {output.path for output in outputs}
        blind = all(programs.is_blind(name) for name in self.names.values())
        facts = [
            fact for fact, unasked in self.facts.items() if not (unasked and fact.path in made)
        ]
        for fact in facts:
            if (
                fact.path in self.touched
                and fact.kind in REGULAR
                and self.made.get(fact.path) != DIRECTORY
            ):
                raise NotCached(f"it changed a file that was there before: {fact.path}")
        return Analysed(
            [
                fact
                for fact in facts + self.invented
                if fact.path not in self.touched or fact.kind not in ABSENCES
            ],
            [
                Fact(*fact)
                for fact in dict.fromkeys(facts + self.invented)
                if fact.path in self.touched and fact.kind in ABSENCES
            ],
            outputs,
            inputs,
            text,
            errors,
            needs_rest=not blind,
            provisional=self.asked_random,
        )

    def _refuse_early(self) -> None:
        unit = self.unit
        if unit.status != 0:
            raise NotCached("it failed")
        if unit.taint:
            raise NotCached(log.TAINTS[unit.taint], unit.taint_process)
        if unit.alive:
            raise NotCached("a process of it was still running at its end", unit.alive)
        if unit.started != unit.enlisted + unit.failed:
            raise NotCached("a program ran that was not observed")
        vouched = unit.vouched == unit.enlisted + unit.forked
        if unit.streams & 3 != log.STREAM_NULL and not vouched:
            raise NotCached("it may have read its standard input")
        if not unit.captured and (unit.spoke or not vouched):
            raise NotCached("it said something, or may have, where nobody could read it")

    def _learn_programs(self) -> None:
        self.asked_random = False
        self.forces_removal = (
            programs.FORCES_REMOVAL.search(" ".join(self.unit.words[2])) is not None
        )
        arguments = " ".join(self.unit.words[2])
        times = programs.ASKS_FOR_TIMES.search(arguments) is not None
        date = programs.ASKS_FOR_DATE.search(arguments) is not None
        for record in self.unit.records:
            if record.kind == log.PROGRAM:
                path, invoked = record.paths
                name = programs.name_of(path, invoked)
                if any((normal(path), why) in self.hosted for why in (log.INPUT, log.OUTPUT)):
                    name = path  # the build's own, whatever it is called
                if self.names.get(record.process, name) != name and not programs.is_blind(name):
                    self.names[-len(self.names) - 1] = self.names[record.process]
                self.names[record.process] = name
                if not programs.is_blind(name) or (times and not programs.is_compiler(name)):
                    self.strict.add(record.process)
            elif record.kind == log.ASKED and record.flags != log.MACHINE:
                name = self.names.get(record.process, "")
                if programs.is_compiler(name) or (programs.is_blind(name) and not date):
                    continue
                if record.flags == log.RANDOM:
                    self.asked_random = True
                else:
                    raise NotCached("it asked what time it is", record.process)

    def _take(self, record: log.Record) -> None:
        kind = record.kind
        if kind in INPUTS:
            self._input(record)
        elif kind == log.WRITE:
            self._write(record)
        elif kind == log.RENAME:
            self._rename(record)
        elif kind in (log.GONE, log.MKDIR, log.SYMLINK):
            self._name(kind, normal(record.path), record.flags)
        elif kind == log.CHMOD:
            if normal(record.path) not in self.touched:
                raise NotCached(
                    "it changed mode or times of a file that was there before", record.process
                )
        elif kind == log.ERROR:
            raise NotCached(f"a path could not be looked at: error {record.flags}", record.process)
        elif kind == log.LIST:
            if normal(record.path) in self.touched:
                raise NotCached("it read the names in a directory that it made", record.process)
            self._add(Fact(F_NAMES, normal(record.path)))

    def _input(self, record: log.Record) -> None:
        key = record.kind, record.flags, record.payload
        asked = _ASKED.get(key)
        if asked is None:
            asked = _ASKED[key] = _ask(record)
        if asked.path in self.touched:
            return
        kind, process = record.kind, record.process
        if kind == log.PROGRAM:
            self.current[process] = self._habits_of(record)
        habits = self.current.get(process, STRANGE)
        fact = asked.strict if habits.strict else asked.fact
        if fact is None:
            return
        unasked = habits.unasked and asked.droppable
        self.facts[fact] = unasked and self.facts.get(fact, True)
        if habits.strict and fact.kind == CONTENT and habits.times:
            self._add(Fact(TIMES, fact.path))

    def _habits_of(self, record: log.Record) -> _Habits:
        """Of the program that a process runs from here on."""
        path, invoked = record.paths
        name = programs.name_of(path, invoked)
        process = record.process
        return _Habits(
            unasked=programs.is_compiler(name) or (name == "rm" and self.forces_removal),
            strict=process in self.strict,
            times=process in self.strict and self._asks_for_times(process),
        )

    def _asks_for_times(self, process: int) -> bool:
        """It fstats files, and is no runtime that does so with whatever it opens."""
        if programs.is_runtime(self.names.get(process, "")):
            return False
        return any(each.kind == log.FSTAT and each.process == process for each in self.unit.records)

    def _add(self, fact: Fact) -> None:
        self.facts[fact] = False

    def _write(self, record: log.Record) -> None:
        path, how = normal(record.path), record.flags
        if path.startswith("/dev/"):
            return
        known = (
            path in self.touched
            or Fact(F_ABSENT, path) in self.facts
            or Fact(LABSENT, path) in self.facts
        )
        if not known and not how & (log.TRUNCATED | log.NEW):
            end = self.hosted.get((path, log.OUTPUT))
            if not how & log.MAYBE_NEW or end is None or end.size:
                raise NotCached("it changed a file that was there before", record.process)
            self.invented.append(Fact(F_ABSENT, path))  # touch: an empty file where none was
        if how & log.NEW and path not in self.touched:
            self.invented.append(Fact(F_ABSENT, path))
        self._made(path, FILE)

    def _made(self, path: str, kind: int) -> None:
        self.made.pop(path, None)
        self.made[path] = kind
        self.touched.add(path)

    def _rename(self, record: log.Record) -> None:
        old, new = map(normal, record.paths)
        if self.made.get(old) not in (FILE, SYMLINK):
            raise NotCached("it renamed what it had not made", record.process)
        self._made(new, self.made.pop(old))
        if self._was_there(old):
            self._made(old, GONE)

    def _was_there(self, path: str) -> bool:
        return any(
            Fact(kind, path) in self.facts for kind in (CONTENT, F_STAT, F_LSTAT, TIMES, LTIMES)
        )

    def _name(self, kind: int, path: str, nothing_changed: int) -> None:
        if kind == log.MKDIR and nothing_changed:
            if path not in self.touched:
                self._made(path, DIRECTORY)  # mkdir -p: it is there afterwards, whoever made it
        elif kind == log.GONE:
            if path not in self.touched and not nothing_changed:
                self.removed.add(path)
            if path in self.made and not self._was_there(path):
                del self.made[path]
            self.touched.add(path)
            if path not in self.made or self.made[path] != GONE:
                self.made.pop(path, None)
                self.made[path] = GONE
        else:
            self._made(path, DIRECTORY if kind == log.MKDIR else SYMLINK)

    def _outputs(self) -> list[Output]:
        """What is left at the end, in the order in which it came about."""
        outputs = []
        for path, kind in self.made.items():
            what = self.hosted.get((path, log.OUTPUT))
            if what is None:
                if kind == GONE and path not in self.removed:  # made and removed again: nothing
                    continue
                raise NotCached(f"it wrote outside of the hosted directories: {path}")
            if (what.mode == 0) != (kind == GONE):
                raise NotCached(f"somebody else changed {path} meanwhile")
            if kind == FILE and not (stat.S_ISREG(what.mode) and what.kept):
                raise NotCached(f"{path} could not be kept")
            outputs.append(Output(kind, path, what))
        return outputs


ABSENCES = {F_ABSENT, LABSENT}
REGULAR = {
    CONTENT,
    F_STAT,
    F_LSTAT,
    TIMES,
    LTIMES,
}  # of what the unit changed itself, nobody knows what it was
INPUTS = {
    log.READ, log.PROGRAM, log.OBJECT, log.ABSENT, log.STAT, log.ACCESS, log.LSTAT, log.LINK,
    log.NO_LINK, log.REAL,
}  # fmt: skip


def normal(path: str) -> str:
    """Without `//` and `/./`; `..` stays, since only the kernel knows where it leads."""
    if "//" not in path and "/./" not in path and not path.endswith(("/", "/.")):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts)


def analyse(unit: UnitLog) -> Analysed:
    """What the unit depended on and made.

    Raises:
        NotCached: says why it cannot be replayed.
    """
    return _Analysis(unit).run()
