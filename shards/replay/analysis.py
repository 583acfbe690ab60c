"""From a unit's log to what it depended on and what it made, or to why it cannot be cached.

The first access decides: a path that the unit wrote first is no input of it. So records are taken
in their order, where they are about paths that the unit changes. All others, which are nearly all,
are taken at once, a life of a process at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import compress, count
from typing import NamedTuple

from . import caches, programs, questions, refusals, scripts, variables
from . import unit_log as log
from .entries import DIRECTORY, FILE, GONE, SYMLINK
from .programs import STRANGE, Habits
from .questions import (
    CONTENT,
    F_ABSENT,
    F_LINK,
    F_LSTAT,
    F_NAMES,
    F_NO_LINK,
    F_STAT,
    LABSENT,
    LTIMES,
    RESOLVED,
    TIMES,
    WHOLE,
    Asked,
    Fact,
    asked_by,
    normal,
)  # fmt: skip
from .refusals import NotCached
from .rules import NO_RULES, Rules
from .starts import Starts
from .unit_log import Hosted, UnitLog
from .untimed import Untimed

__all__ = [
    "CONTENT", "DIRECTORY", "F_ABSENT", "F_LINK", "F_LSTAT", "F_NAMES", "F_NO_LINK", "F_STAT",
    "FILE", "Fact", "GONE", "LABSENT", "LTIMES", "NotCached", "RESOLVED", "SYMLINK", "TIMES",
]  # fmt: skip


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
    temporary: set[str]  # what it made where nothing was, and removed
    needs_rest: bool
    needs_outlets: bool  # what it said, or made, may depend on where its output goes
    found_none: set[int]  # of NO_INPUT, NO_TERMINAL: it asked, and must find none again
    terminal: int  # columns plus 1 of the one that it measured
    provisional: bool  # randomness was asked for: two runs must agree
    variables: variables.Names | None  # that count; None: all that may


class _Analysis:
    def __init__(self, unit: UnitLog, rules: Rules) -> None:
        self.unit, self.rules = unit, rules
        self.plain: set[Fact | None] = set()  # of paths that the unit does not change
        # Of paths that it changes. True: compilers alone asked, to make way for an output
        self.facts: dict[Fact, bool] = {}
        self.made: dict[str, int] = {}  # path: FILE, ...; in the order of the last change
        self.touched: set[str] = set()  # written, made or removed by the unit: no input any more
        self.strict: set[log.Record] = set()  # programs of processes that look at times
        self.running: dict[int, log.Record] = {}  # as the records are gone through
        self.names: dict[int, str] = {}
        self.current: dict[int, Habits] = {}
        self.invented: list[Fact] = []
        self.removed: set[str] = set()  # that others had made
        self.own: set[str] = set()  # directories that were not there before
        self.fresh: set[str] = set()  # all that was not there before
        self.temporary: set[str] = set()  # of these, what is gone again
        self.of_machine: set[bytes] = set()  # its name, when others than shells asked for it
        self.chance: set[str] = set()  # of the fresh ones, what compilers made: /tmp/ccX.s
        self.searched = programs.crates_in(*unit.words[1:])
        self.second_names: dict[str, str] = {}  # new: old

    def run(self) -> Analysed:
        refusals.refuse_early(self.unit)
        self.caches = self.rules.caches + caches.of(self.unit)
        told = map(log.hosted_of, self._deeds(log.HOSTED_PATH))
        self.hosted = hosted = {(normal(path), why): what for path, why, what in told}
        self._learn_programs()
        text, errors = self.unit.said
        self._in_order(self._ask_all())
        outputs = self._outputs()
        refusals.refuse_text(self.unit, text, errors)
        if not outputs and "sleep" in self.names.values():
            raise NotCached("it waits for a time to pass, and makes nothing")
        # Whether a directory was there does matter: names in it stay.
        facts = self._changed_facts({each.path for each in outputs if each.kind != DIRECTORY})
        by_chance = self.temporary & self.chance
        needs_rest = programs.may_tell_variables({*self.names.values()}, self.arguments)
        needs_rest |= self.asked_limits or self.scripts.variables
        uses = self.scripts.uses
        named = None if needs_rest or uses is None else uses | self.of_machine
        return Analysed(
            list(self.plain - {None})  # type: ignore[arg-type]
            + [fact for fact in facts if not self._is_before(fact)],
            # Made by chance, it takes another name.
            [fact for fact in facts if self._is_before(fact) and fact.path not in by_chance],
            outputs,
            {(path, why): what for (path, why), what in hosted.items() if why != log.OUTPUT},
            text,
            errors,
            temporary=self.temporary,
            needs_rest=needs_rest,
            needs_outlets=needs_rest or bool(text or errors) or self.asks_for_terminal,
            found_none=self.found_none,
            terminal=self.unit.terminal,
            provisional=self.asked_random,
            variables=variables.used_by(self.unit, self.names.values(), named),
        )

    def _is_before(self, fact: Fact) -> bool:
        """Nothing was there, until the unit made it."""
        return fact.path in self.touched and fact.kind in questions.ABSENCES

    def _deeds(self, kind: int) -> Iterator[log.Record]:
        return (record for record in self.unit.deeds if record.kind == kind)

    def _changed_facts(self, made: set[str]) -> list[Fact]:
        """Facts of paths that the unit changed, and the invented ones, each once."""
        asked = [
            fact for fact, unasked in self.facts.items() if not unasked or fact.path not in made
        ]
        for fact in asked:
            if (
                fact.path in self.touched
                and fact.kind in questions.REGULAR
                and self.made.get(fact.path) != DIRECTORY
            ):
                raise NotCached(f"it changed a file that was there before: {fact.path}")
        return list(dict.fromkeys(asked + self.invented))

    def _ask_all(self) -> set[bytes]:
        """Take all questions but those about paths that the unit changes: their keys."""
        changed, made = set[str](), set[str]()
        for record in self.unit.deeds:
            if record.kind in log.CHANGES:
                for path in record.paths[: 1 + (record.kind in log.NAMES_TWO)]:
                    changed.update(questions.names_of(path))
            if record.kind == log.MKDIR:
                made.add(normal(record.path))
        lives = self.unit.lives
        for life in lives:
            questions.learn(life.questions)
        if self.caches:
            return {key for life in lives for key in life.questions}
        about, in_order = questions.about(changed, made), set[bytes]()
        for life in lives:
            keys, mine = life.questions, about.intersection(life.questions)
            if mine:
                in_order |= mine
                keys = [key for key in keys if key not in mine]
            habits = STRANGE if life.program is None else self._habits_of(life.program)
            self._ask_plainly(keys, habits)
        return in_order

    def _ask_plainly(self, keys: list[bytes], habits: Habits) -> None:
        if habits.untimed:
            about = questions.about({fact.path for fact in habits.untimed}, set())
            about.intersection_update(keys)
            own = {key for key in about if asked_by(key).strict in habits.untimed}
            self.plain.update(questions.facts_of(own, habits._replace(strict=False, whole=False)))
            keys = [key for key in keys if key not in own]
        self.plain.update(questions.facts_of(keys, habits))
        if habits.times:
            for each in map(asked_by, keys):
                if each.opens and each.strict is not None:
                    self.plain.add(Fact(TIMES, each.strict.path))

    def _in_order(self, keys: set[bytes]) -> None:
        """Take all deeds, and the questions with these keys."""
        unit, positions = self.unit, self.unit.positions
        if keys:
            asked = compress(count(), map(keys.__contains__, unit.keys))
            positions = sorted({*positions, *asked})
        for at in positions:
            record = log.record_of(unit.keys[at], unit.processes[at])
            if record.kind == log.PROGRAM:
                self.current[record.process] = self._habits_of(record)
            if record.kind not in log.QUESTIONS or unit.keys[at] in keys:
                self._take(record, unit.keys[at])

    def _learn_programs(self) -> None:
        self.asked_random = self.asked_limits = False
        self.found_none: set[int] = set()
        arguments = self.arguments = scripts.arguments(self.unit)
        epoch = "SOURCE_DATE_EPOCH"  # for all of its programs
        self.has_epoch = epoch in dict(self.unit.variables) and epoch not in arguments
        self.asks_for_terminal = programs.ASKS_FOR_TERMINAL.search(arguments) is not None
        self.scripts = scripts.probe(self.unit)
        self.starts = Starts(self.unit.words[1], scripts.filters(self.unit))
        self.untimed = Untimed(self.unit, self.scripts.names)
        # Its other reads tell whether a program still starts, which counts for runtimes alone.
        running = (programs.name_of(*each.paths) for each in self._deeds(log.PROGRAM))
        starts = any(map(programs.is_runtime, running))
        for record in self.unit.records if starts else self.unit.deeds:
            if record.kind == log.PROGRAM:
                script, name = record.texts[2], self._called(record)
                before = self.names.get(record.process, name)
                if before != name and not (self._is_blind(name) and self._is_blind(before)):
                    self.names[-len(self.names) - 1] = before
                self.names[record.process] = name
                times = self.scripts.tests if programs.tests(name) else self.scripts.compares
                strict = times and not programs.is_compiler(name)
                strict |= programs.uses_times(name, script, arguments)
                strict |= programs.is_archiver(name) and self.scripts.archives
                if strict or not self._is_blind(name):
                    self.strict.add(record)
                self.running[record.process] = record
                self.starts.runs(record, name)
            elif record.kind == log.READ and record.flags != log.TO_RUN:
                self.starts.reads(record.process, normal(record.path))
            elif record.kind == log.ASKED:
                self._asked(record)
        self.asking = set(filter(self._asks_for_times, self.strict))

    def _called(self, program: log.Record) -> str:
        """Its name; the path of one that is the build's own, whatever it is called."""
        path = program.texts[0]
        is_own = any((normal(path), why) in self.hosted for why in (log.INPUT, log.OUTPUT))
        return path if is_own else programs.name_of(*program.texts)

    def _is_blind(self, name: str) -> bool:
        return programs.is_blind(name) or self._is_called_blind(name)

    def _is_called_blind(self, name: str) -> bool:
        base = os.path.basename(name)  # the build's own programs are told by their paths
        return any(fnmatchcase(base, pattern) for pattern in self.rules.blind)

    @cached_property
    def _makes_dates(self) -> bool:
        return bool(programs.ASKS_FOR_DATE.search(self.arguments)) or self.scripts.tells

    def _asked(self, record: log.Record) -> None:
        """An answer that differs from run to run; asked at a program's start, it does not count."""
        name, what = self.names.get(record.process, ""), record.flags & ~(log.BY_PLUGIN | log.AGAIN)
        is_compiler = programs.is_compiler(name)
        # Macros of Rust are code of the project inside of the compiler.
        is_macro = programs.runs_plugins(name) and record.flags & log.BY_PLUGIN != 0
        # An archiver that is told to keep times dates its index.
        is_told = programs.is_archiver(name) and self.running[record.process] in self.strict
        is_tool = programs.is_tool(name, makes_date=what == log.CALENDAR)
        is_tool &= not (what == log.RESOURCES and programs.tells_what_it_reads(name))
        self.asked_limits |= what == log.LIMITS and programs.is_shell(name)
        if what in (log.NO_INPUT, log.NO_TERMINAL):
            self.found_none.add(what)
            return
        self.asked_random |= what == log.RANDOM and programs.passes_on(name)
        if what == log.RESOURCES or (what == log.MACHINE and not programs.is_shell(name)):
            self.of_machine = {variables.MACHINE}
        if what in (log.MACHINE, log.LIMITS) or self._is_called_blind(name):
            return
        if is_tool and not self._makes_dates:
            return
        starts = self.starts.asks(record, what)
        if what in (log.SEEDS, log.RESOURCES) and (is_compiler or programs.is_runtime(name)):
            return
        if what == log.RESOURCES:
            raise NotCached("it opened a device or something below /proc or /sys", record.process)
        if what in (log.RANDOM, log.SEEDS):
            self.asked_random |= not is_compiler or is_macro or programs.ASKS_UUID in self.arguments
        elif what == log.INTERVAL:
            self.asked_random |= is_macro or not (starts or is_compiler)
        elif what in log.ASKED_FOR and (is_macro or not (starts or (is_compiler and not is_told))):
            raise NotCached(log.ASKED_FOR[what], record.process)
        elif what == log.CALENDAR and not starts:
            if not (is_compiler and self.has_epoch and "env" not in self.names.values()):
                raise NotCached("it made a date of the time", record.process)
            # Perhaps a date of a file's time: __TIMESTAMP__.
            self.strict.add(self.running[record.process])

    def _is_in_cache(self, path: str) -> bool:
        return any(path == each or path.startswith(each + "/") for each in self.caches)

    def _take(self, record: log.Record, key: bytes) -> None:
        kind = record.kind
        if self.caches and kind in log.NAMES_A_PATH:
            named = record.paths[1] if kind in log.NAMES_TWO else record.path
            # A file that was renamed into a cache may have left a place that is no cache.
            left = record.path if kind == log.RENAME else named
            if self._is_in_cache(normal(named)) and self._is_in_cache(normal(left)):
                return
        if kind in log.QUESTIONS:
            self._input(record, asked_by(key))
        elif kind == log.WRITE:
            self._write(record)
        elif kind == log.RENAME:
            self._rename(record)
        elif kind == log.SECOND_NAME:
            self._second_name(record)
        elif kind in (log.GONE, log.MKDIR, log.SYMLINK):
            self._name(record)
        elif kind == log.CHMOD:
            if normal(record.path) not in self.touched:
                raise NotCached(
                    "it changed mode or times of a file that was there before", record.process
                )
        elif kind == log.ERROR:
            raise NotCached(f"a path could not be looked at: error {record.flags}", record.process)
        elif kind == log.LIST:
            self._list(normal(record.path), record.process)

    def _list(self, path: str, process: int) -> None:
        if self.names.get(process) == "make":
            return  # it works for a linker, and asks for each file by name
        if path in self.own:  # what is in there, the unit put there, as nothing was
            self.invented.append(Fact(LABSENT, path))
            return
        if path in self.touched:
            raise NotCached("it read the names in a directory that it made", process)
        if path in self.searched and programs.runs_plugins(self.names.get(process, "")):
            return  # crates have exact names, and those that it takes are read
        self._add(Fact(F_NAMES, path))

    def _input(self, record: log.Record, asked: Asked) -> None:
        if asked.path in self.touched:
            return
        habits = self._habits_now(record)
        if asked.strict in habits.untimed:
            habits = habits._replace(strict=False, whole=False)
        fact = asked.by(habits)
        if fact is None:
            return
        unasked = habits.unasked and asked.droppable
        self.facts[fact] = unasked and self.facts.get(fact, True)
        if asked.opens and habits.times:
            self._add(Fact(TIMES, fact.path))

    def _habits_now(self, record: log.Record) -> Habits:
        return self.current.get(record.process, STRANGE)

    def _habits_of(self, record: log.Record) -> Habits:
        """The habits of the program that a process runs from here on."""
        name, first = programs.name_of(*record.texts), record.texts[2]
        is_strict = record in self.strict
        return Habits(
            unasked=programs.replaces(name, first, self.arguments),
            keeps=programs.keeps(name, first, self.arguments),
            strict=is_strict,
            whole=is_strict and programs.tells_whole(name, is_same=self.scripts.same),
            times=bool(self.asking) if programs.hands_on(name) else record in self.asking,
            skips_same=programs.skips_same(name),
            untimed=self.untimed.of(record, name) if is_strict else frozenset(),
        )

    def _asks_for_times(self, program: log.Record) -> bool:
        """The program fstats files. A runtime does so with each file that it opens."""
        if programs.runs_in_runtime(self._called(program)):
            return scripts.asks_of_open(self.unit, program.process)
        return any(each.process == program.process for each in self._deeds(log.FSTAT))

    def _add(self, fact: Fact) -> None:
        self.facts[fact] = False

    def _write(self, record: log.Record) -> None:
        path, how = normal(record.path), record.flags
        if log.is_device(path):
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
            if self._habits_now(record).unasked:
                self.chance.add(path)
        if how & log.NEW or os.path.dirname(path) in self.own:
            self._begun(path)
        self._made(path, FILE)

    def _begun(self, path: str) -> None:
        """Nothing was there, unless the unit removed it before: then others had made it."""
        if path not in self.touched:
            self.fresh.add(path)

    def _made(self, path: str, kind: int) -> None:
        self.made.pop(path, None)
        self.made[path] = kind
        self.touched.update((path,) if kind == DIRECTORY else questions.names_of(path))
        self.temporary.discard(path)

    def _rename(self, record: log.Record) -> None:
        old, new = map(normal, record.paths)
        if self.made.get(old) not in (FILE, SYMLINK):
            raise NotCached("it renamed what it had not made", record.process)
        self._made(new, self.made.pop(old))
        if old in self.fresh:
            self.temporary.add(old)
        if self._was_there(old):
            self._made(old, GONE)

    def _second_name(self, record: log.Record) -> None:
        """A hard link. A name in a cache is no output; two names of one output are not replayed."""
        old, new = map(normal, record.paths)
        if not self._is_in_cache(old):
            if self.made.get(old) != FILE:
                raise NotCached(log.LINKED, record.process)
            self.second_names[new] = old
        if new not in self.touched:
            self.invented.append(Fact(F_ABSENT, new))
        self._begun(new)
        self._made(new, FILE)

    def _was_there(self, path: str) -> bool:
        found = (Fact(kind, path) in self.facts for kind in questions.REGULAR)
        return any(found) or any(Fact(kind, path, WHOLE) in self.facts for kind in (TIMES, LTIMES))

    def _name(self, record: log.Record) -> None:
        kind, path, nothing_changed = record.kind, normal(record.path), record.flags
        if kind == log.MKDIR and nothing_changed:
            if path not in self.touched and (path, log.OUTPUT) not in self.hosted:
                self._add(Fact(F_STAT, path))
            elif path not in self.touched:
                self._made(path, DIRECTORY)  # mkdir -p: it is there afterwards in any case
        elif kind == log.GONE:
            if path not in self.touched and not nothing_changed:
                self.removed.add(path)
            elif path not in self.touched and not (
                (path, log.OUTPUT) in self.hosted and self._habits_now(record).unasked
            ):  # a hosted file goes as outputs do, and `rm -f` does not tell that none was there
                self.invented.append(Fact(LABSENT, path))
            if path in self.made and not self._was_there(path):
                del self.made[path]
            self.touched.update(questions.names_of(path))
            if path in self.fresh:
                self.temporary.add(path)
                return
            if path not in self.made or self.made[path] != GONE:
                self.made.pop(path, None)
                self.made[path] = GONE
        else:
            keeps = kind == log.MKDIR and self._habits_now(record).keeps
            if path not in self.touched and not keeps:  # else it had failed
                self.invented.append(Fact(LABSENT, path))
            if kind == log.MKDIR:
                self.own.add(path)
                self._begun(path)
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
        left = {each.path for each in outputs if each.kind == FILE}
        if any(new in left and old in left for new, old in self.second_names.items()):
            raise NotCached(log.LINKED)
        return outputs


def analyse(unit: UnitLog, rules: Rules = NO_RULES) -> Analysed:
    """What the unit depended on and made.

    Raises:
        NotCached: says why it cannot be replayed.
    """
    return _Analysis(unit, rules).run()
