"""What a step asked, as facts: the same for all steps that ask the same.

In: keys of records. Out: facts. Never: the order in which they were asked; analysis.py has that.
[pure]
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar

from . import programs
from . import unit_log as log
from .programs import Habits

# As enum velo_fact_kind
CONTENT, F_ABSENT, LABSENT, F_STAT, F_LSTAT, TIMES, LTIMES, F_LINK, F_NO_LINK, F_NAMES = range(
    1, 11
)
# The link of a fact of times: not times and owner alone count, but all of stat. The link of one of
# bytes: the same if it is a directory.
WHOLE = "whole"
RESOLVED = 100  # realpath: a fact for each component (facts.Looker.steps_of)

# Files that libc reads for itself: the same until packages change, which ld.so.cache tells.
LIBC_READS = re.compile(
    r"/etc/ld\.so\.(cache|preload)|/usr/lib/locale/.*|/usr/share/locale/.*|/usr/lib/[^/]+/gconv/.*"
)


class Fact:
    """A fact: one object for each kind, path and link, so that sets of thousands cost little."""

    __slots__ = ("kind", "link", "path")
    kind: int
    path: str
    link: str  # of F_LINK and RESOLVED; or WHOLE
    _all: ClassVar[dict[tuple[int, str, str], Fact]] = {}
    resolved: ClassVar[set[Fact]] = set()  # all of the kind RESOLVED

    def __new__(cls, kind: int, path: str, link: str = "") -> Fact:
        made = cls._all.get((kind, path, link))
        if made is None:
            made = super().__new__(cls)
            made.kind, made.path, made.link = kind, path, link
            made = cls._all.setdefault((kind, path, link), made)
            if kind == RESOLVED:
                cls.resolved.add(made)
        return made

    def __repr__(self) -> str:
        return f"Fact({self.kind}, {self.path!r}, {self.link!r})"


class Asked:
    """One question as two facts: for a program that does not use times, and for any other."""

    __slots__ = (
        "above", "content", "droppable", "fact", "opens", "path", "reads", "strict", "whole",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        fact: Fact | None,
        strict: Fact | None,
        *,
        droppable: bool = False,
        reads: bool = False,
        opens: bool = False,
    ) -> None:
        self.path, self.above = path, os.path.dirname(path)
        self.fact, self.strict = fact, strict  # None: libc's own reading
        timed = strict is not None and strict.kind in (TIMES, LTIMES)
        self.whole = Fact(strict.kind, path, WHOLE) if strict and timed else strict
        self.content = Fact(CONTENT, path, WHOLE) if fact and fact.kind == F_STAT else fact
        self.reads = reads  # it opened a file itself
        self.opens = opens  # the same, or perhaps: and may have asked for its times
        self.droppable = droppable  # it only made way for an output, when a compiler asked

    def by(self, habits: Habits) -> Fact | None:
        """The fact when a program with such habits asks; None: libc's own reading."""
        if habits.whole:
            return self.whole
        return self.strict if habits.strict else self.content if habits.skips_same else self.fact


ABSENCES = {F_ABSENT, LABSENT}
# Kinds of facts about regular files. If a unit changed a file itself, its state before is unknown.
REGULAR = {CONTENT, F_STAT, F_LSTAT, TIMES, LTIMES}
_ASKED: dict[bytes, Asked] = {}  # by key: thousands of units ask the same
_FACTS: dict[bytes, Fact | None] = {}  # the same, what most programs ask that use no times
_STRICT: dict[bytes, Fact | None] = {}  # and what others do
_WHOLE: dict[bytes, Fact | None] = {}  # and those that tell inodes
_OF_KIND: dict[int, set[bytes]] = {}
_OF_PATH: dict[str, list[bytes]] = {}  # keys, by what they are about
_BELOW: dict[str, list[bytes]] = {}  # the same, by its directory


def learn(keys: list[bytes]) -> None:
    """These may be asked for from here on."""
    if not all(map(_ASKED.__contains__, keys)):
        for key in keys:
            if key not in _ASKED:
                record = log.record_of(key, 0)
                asked = _ASKED[key] = _ask(record)
                _OF_KIND.setdefault(record.kind, set()).add(key)
                _FACTS[key], _STRICT[key], _WHOLE[key] = asked.fact, asked.strict, asked.whole
                _OF_PATH.setdefault(asked.path, []).append(key)
                _BELOW.setdefault(asked.above, []).append(key)


def facts_of(keys: Iterable[bytes], habits: Habits) -> Iterator[Fact | None]:
    """As Asked.by, of many keys."""
    if habits.skips_same:
        return (_ASKED[key].by(habits) for key in keys)
    known = _WHOLE if habits.whole else _STRICT if habits.strict else _FACTS
    return map(known.__getitem__, keys)


def about(paths: Collection[str], directories: Collection[str]) -> set[bytes]:
    """The learned keys that are about one of `paths`, or about a name in one of `directories`."""
    found: set[bytes] = set()
    found.update(*(_OF_PATH.get(path, ()) for path in paths))
    found.update(*(_BELOW.get(path, ()) for path in directories))
    return found


def of_kind(kind: int) -> set[bytes]:
    """The learned keys of this kind; not to be changed."""
    return _OF_KIND.get(kind, set())


def asked(keys: list[bytes]) -> Iterator[Asked]:
    """Their questions."""
    learn(keys)
    return map(asked_by, keys)


def asked_by(key: bytes) -> Asked:
    """The question of a learned key."""
    return _ASKED[key]


def _ask(record: log.Record) -> Asked:
    kind, path = record.kind, normal(record.path)
    if kind == log.VARIABLE or LIBC_READS.fullmatch(path):
        return Asked(path, None, None)
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
    reads = kind == log.READ and record.flags != log.TO_RUN
    # Node opens its own program, or does not, as its address space happens to be laid out.
    itself = kind == log.PROGRAM and programs.runs_in_runtime(programs.name_of(*record.texts))
    return Asked(path, fact, strict, droppable=droppable, reads=reads, opens=reads or itself)


def normal(path: str) -> str:
    """Without `//` and `/./`; `..` stays, since only the kernel knows where it leads."""
    if "//" not in path and "/./" not in path and not path.endswith(("/", "/.")):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts)


def names_of(path: str) -> tuple[str, ...]:
    """As `normal`; and the name without `..` that realpath(3) tells, where no symlink is."""
    path = normal(path)
    above, plain = os.path.dirname(path), os.path.normpath(path)
    if plain == path or os.path.realpath(above) != os.path.normpath(above):
        return (path,)
    return (path, plain)
