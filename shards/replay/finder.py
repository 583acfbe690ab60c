"""The facts of a step as an index has them, each found once for all steps of a pass.

In: what steps depended on. Out: facts with their places in the index. Never: what was found before
a step ended, of a file of the workspace.
"""

from __future__ import annotations

import os
import re
import stat
import time
from itertools import groupby
from typing import Final

from velo.interpose import core

from . import analysis, entries, unit_log
from .analysis import Analysed, Fact
from .entries import Body
from .facts import RACY_NS, WINDOW_S, Identity, Looker, newest_of
from .index import Index
from .unit_log import Hosted, UnitLog

ORDER = {  # of facts: what an edit changes first
    (True, analysis.CONTENT): 0,
    (True, analysis.F_ABSENT): 1,
    (False, analysis.CONTENT): 3,
}
HEADER = re.compile(r"\.(?:h\w*|inc|inl|ipp|tcc|def)$")
OFFSET_BITS = 32
MTIME: Final = 5  # within a body
MODE: Final = 7


class Found:
    """A fact as it was found."""

    __slots__ = ("body", "fact", "identity", "newest_ns", "rank")

    def __init__(self, fact: Fact, body: Body, identity: Identity, rank: int) -> None:
        self.fact, self.body, self.identity = fact, body, identity
        self.newest_ns = newest_of(identity)  # when what it is about was changed last
        self.rank = rank  # where it stands in an entry's list, and where in the index


class Finder:
    """The finder of one sealer: it remembers facts, until another pass or another index begins."""

    def __init__(self, workspace: str) -> None:
        self._looker = Looker(workspace)
        self._index: Index | None = None
        self._found: dict[Fact, Found] = {}  # in the pass that is under way, of unhosted paths
        self._ranks: dict[Fact, int] = {}  # of the same
        self._outside: dict[Fact, Found] = {}  # the same of files outside of the workspace
        self._before: dict[Fact, Found] = {}  # ever: to be asked whether it is so still
        self._outside_at = 0.0  # since when
        self._newest_ns = 0  # of all that was found
        self._of_bytes: dict[bytes, Fact] = {}  # a header that had these, first of all
        self._equals: set[Fact] = set()  # headers that had the bytes of another
        self._links: dict[Fact, list[Fact]] = {}  # of directories, by which their paths lead there
        self._expanded: dict[Fact, list[Fact]] = {}
        self._offsets: dict[tuple[Fact, Body], int] = {}

    def begin_pass(self) -> None:
        """All units of a pass ended before it began, so what is found once serves them all."""
        now = time.monotonic()
        if now - self._outside_at > WINDOW_S:
            self._outside, self._outside_at = {}, now
        self._found = dict(self._outside)
        self._ranks = {fact: found.rank for fact, found in self._found.items()}
        self._newest_ns = max((each.newest_ns for each in self._found.values()), default=0)
        self._expanded.clear()

    def places(self, index: Index, unit: UnitLog, analysed: Analysed) -> list[int]:
        """The offsets of a step's facts, each once, those first that an edit changes first."""
        known, rest = self._find_all(index, unit, analysed)
        ranks = set(map(self._ranks.__getitem__, known))
        ranks.update(each.rank for each in rest)
        return core.sorted_low(ranks)

    def all_of(self, index: Index, unit: UnitLog, analysed: Analysed) -> list[Found]:
        """The facts themselves."""
        known, rest = self._find_all(index, unit, analysed)
        return [self._found[fact] for fact in known] + rest

    def _find_all(
        self, index: Index, unit: UnitLog, analysed: Analysed
    ) -> tuple[set[Fact], list[Found]]:
        """Facts that are among the found ones, and the others as they are found now."""
        self._learn(index)
        facts = self._spelled_out(analysed.facts)
        known = facts & self._found.keys()
        racy = unit.began_ns - RACY_NS
        if self._newest_ns > racy:  # some are too young for this step to have seen them so
            known = {fact for fact in known if self._found[fact].newest_ns <= racy}
        rest = [self._find(index, unit, analysed, fact) for fact in facts - known]
        more = self._times_of_equals(facts) + self._links_of(facts)
        rest += [self._find(index, unit, analysed, fact) for fact in more]
        before = [self._placed(index, fact, *self._looker.absent(fact)) for fact in analysed.before]
        return known, rest + before

    def _times_of_equals(self, facts: set[Fact]) -> list[Fact]:
        """`#pragma once` takes two headers for one: gcc when bytes and times are the same, clang
        when they are one file, which has one time."""
        equal = sorted(facts & self._equals & self._found.keys(), key=self._bytes_of)
        groups = [list(group) for _, group in groupby(equal, self._bytes_of)]
        return [
            Fact(analysis.TIMES, fact.path, "" if self._differ(group) else analysis.WHOLE)
            for group in groups
            if len(group) > 1
            for fact in group
        ]

    def _differ(self, group: list[Fact]) -> bool:
        return len({self._found[fact].body[MTIME] for fact in group}) == len(group)

    def _links_of(self, facts: set[Fact]) -> list[Fact]:
        """A compiler does not look into a directory that is another one by a symlink."""
        return [link for fact in facts & self._links.keys() for link in self._links[fact]]

    def _note_links(self, fact: Fact, body: Body) -> None:
        self._links.pop(fact, None)
        is_directory = body[0] == analysis.F_STAT and stat.S_ISDIR(body[MODE])
        if is_directory and not fact.path.startswith("/proc/"):  # where each process has its own
            steps = self._looker.steps_of(fact.path, os.path.realpath(fact.path))
            links = [each for each in steps if each.kind == analysis.F_LINK]
            if links:
                self._links[fact] = links

    def _bytes_of(self, fact: Fact) -> bytes:
        return self._found[fact].body[-1]

    def _note_equal(self, fact: Fact, body: Body) -> None:
        if fact.kind == analysis.CONTENT and HEADER.search(fact.path):
            other = self._of_bytes.setdefault(body[-1], fact)
            if other is not fact:
                self._equals.update((fact, other))

    def _find(self, index: Index, unit: UnitLog, analysed: Analysed, fact: Fact) -> Found:
        hosted = hosted_at(analysed, fact)
        found = self._before.get(fact) if hosted is None else None
        racy = unit.began_ns - RACY_NS
        if (
            found is None
            or found.newest_ns > racy
            or not self._looker.is_same(fact, found.identity)
        ):
            found = self._placed(index, fact, *self._looker.body(fact, hosted, unit.began_ns))
        if hosted is None:
            self._found[fact] = self._before[fact] = found
            self._ranks[fact] = found.rank
            self._note_equal(fact, found.body)
            self._note_links(fact, found.body)
            self._newest_ns = max(self._newest_ns, found.newest_ns)
            if not found.body[1] & entries.IN_WORKSPACE:
                self._outside[fact] = found
        return found

    def _placed(self, index: Index, fact: Fact, body: Body, identity: Identity) -> Found:
        """The facts that an edit changes first get the first places."""
        offset = self._offsets.get((fact, body))
        if offset is None:
            offset = self._offsets[fact, body] = index.add_fact(body, fact.path, fact.link)
        inside = body[1] & entries.IN_WORKSPACE != 0
        order = ORDER.get((inside, body[0]), 2 if inside else 4)
        return Found(fact, body, identity, order << OFFSET_BITS | offset)

    def _spelled_out(self, facts: list[Fact]) -> set[Fact]:
        every = set(facts)
        resolved = every & Fact.resolved
        every -= resolved
        for fact in resolved:
            if fact not in self._expanded:
                self._expanded[fact] = self._looker.steps_of(fact.path, fact.link)
        every.update(*map(self._expanded.__getitem__, resolved))
        return every

    def _learn(self, index: Index) -> None:
        if self._index is index:
            return
        self._index = index
        self._offsets.clear()
        self._found.clear()
        self._ranks.clear()
        self._outside.clear()
        self._before.clear()
        self._looker.learn(index.digests())


def hosted_at(analysed: Analysed, fact: Fact) -> Hosted | None:
    """What the library says of a hosted path; None of one outside."""
    why = unit_log.LISTED if fact.kind == analysis.F_NAMES else unit_log.INPUT
    return analysed.hosted.get((fact.path, why))
