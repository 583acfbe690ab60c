"""What other workspaces of the store know that are clones of this one: their entries, taken over.

An entry is taken over when it is portable (portable.py), with the paths below the other workspace
as paths below this one; its key is the same, since keys leave the workspace out. It answers only
where all of its facts are true here, so it costs time alone when the other is no clone at all.

In: images of others, as their last command left them. Out: entries of ours. Never: an entry of
another user, machine or version of velo, or one that other rules made.
[touches disk]
"""

from __future__ import annotations

import os
from contextlib import suppress

from . import analysis, commons
from .analysis import NotCached
from .entries import FACT, SIGNED, Entry, Reader
from .index import Index, Owner, image_of
from .kinship import Kin
from .ledger import Ledger
from .portable import Place
from .rules import Rules

SOURCES = 16  # of a workspace, by which a clone knows it
TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp", "/dev/shm")  # asked for because of their names


class Clones:
    """One session's view of the others."""

    def __init__(self, ledger: Ledger, workspace: str, owner: Owner, rules: Rules) -> None:
        self._ledger, self._workspace, self._owner = ledger, workspace, owner
        self._kin = Kin(ledger, workspace, rules)
        self._readers: list[Reader] | None = None

    def take(self, index: Index) -> int:
        """Take over what is new: the number of entries.

        Raises:
            OSError: the directory of the store, or ours, refused.
        """
        count, news = 0, self._kin.news()
        for relative in news:
            data = image_of(relative.ledger.image, self._owner)
            if data is None:
                self._kin.note(relative, 0)
                continue
            reader = Reader(data)
            last = reader.head.entries
            first = relative.entries if relative.entries <= last else 0  # it was cleared
            with commons.naming(self._ledger.directory), suppress(NotCached):
                count += _Move(reader, relative.workspace, index, self._workspace).all_from(first)
            self._kin.note(relative, last)
            if self._ledger.sources() is None:
                self._ledger.keep_sources(relative.ledger.sources() or {})
        if news:
            self._kin.keep()
        return count

    def bound(self, key: bytes) -> str:
        """Why the entry that a clone has of this key is not taken over; "" when none has one."""
        if self._readers is None:
            images = (image_of(str(each.image), self._owner) for each in self._kin.noted())
            self._readers = [Reader(each) for each in images if each is not None]
        for reader in self._readers:
            for entry in reader.of_key(key):
                if entry.bound:
                    return reader.bound_of(entry)
        return ""

    def keep_sources(self, index: Index) -> None:
        """Let others know us by sources that steps read.

        Raises:
            OSError: the disk refused.
        """
        ours = (self._ledger.sources() or {}) | sources_of(index, self._workspace)
        self._ledger.keep_sources(dict(list(ours.items())[-2 * SOURCES :]))


def sources_of(index: Index, workspace: str) -> dict[str, int]:
    """Some sources that steps read, and their sizes."""
    inside = workspace + "/"
    sizes = {
        path.removeprefix(inside): identity[2]
        for path, (identity, _) in index.digests().items()
        if path.startswith(inside)
    }
    names = sorted(sizes)
    step = max(1, len(names) // SOURCES)
    return {name: sizes[name] for name in names[::step][:SOURCES]}


class _Refused(Exception):
    """The entry cannot be said of another workspace."""


class _Move:
    """From one workspace's index into another's."""

    def __init__(self, reader: Reader, there: str, index: Index, here: str) -> None:
        self._reader, self._index = reader, index
        self._there, self._here = Place(there), Place(here)
        self._facts: dict[int, int] = {}  # offset there: here; 0: it need not be asked here
        self._meanings: dict[int, int] = {}  # of ours, by offset
        self._numbers: dict[tuple[object, ...], int] = {}  # of what they ask, where and of what

    def all_from(self, number: int) -> int:
        """Take over the entries from this number on.

        Raises:
            NotCached: the index is full.
        """
        if not self._here.is_plain:
            return 0
        chosen = [each for each in self._reader.live() if each.number >= number and not each.bound]
        return sum(self._one(each) for each in sorted(chosen, key=lambda each: each.number))

    def _one(self, entry: Entry) -> bool:
        try:
            offsets = self._reader.facts_of(entry)
            for each in offsets:
                if each not in self._facts:
                    self._facts[each] = self._fact(each)
            facts = [here for here in map(self._facts.__getitem__, offsets) if here]
            outputs = b"".join(
                self._index.pack_output(kind, self._path(path), mode, size, digest, held)
                for kind, path, mode, size, digest, held in self._reader.whole_outputs(entry)
            )
        except _Refused:
            return False
        if self._is_known(entry, facts):
            return False
        label = self._reader.label_of(entry).replace(self._there.path, self._here.path)
        names = self._index.add_names(self._reader.variables_of(entry))
        moved = entry._replace(bound=0, label=self._index.add_text(label), variables=names)
        self._index.link_entry(moved, facts, outputs, self._reader.said_by(entry))
        return True

    def _is_known(self, entry: Entry, facts: list[int]) -> bool:
        """One of our entries says the same of the same inputs."""
        ours = self._index.of_key(entry.key)
        if not ours:
            return False
        made = [each._replace(path="") for each in self._reader.outputs_of(entry)]
        asked = self._meaning(facts)
        return any(
            self._meaning(self._index.facts_of(each)) == asked
            and each.environment == entry.environment
            and self._index.variables_of(each) == self._reader.variables_of(entry)
            and [one._replace(path="") for one in self._index.outputs_of(each)] == made
            and self._index.said_by(each) == self._reader.said_by(entry)
            for each in ours
        )

    def _meaning(self, facts: list[int]) -> set[int]:
        """The same for facts that differ in nothing but in which file they were true of."""
        for offset in facts:
            if offset not in self._meanings:
                fields = FACT.unpack(self._index.raw(offset, FACT.size))
                asked = (fields[0], fields[3], fields[4], fields[7], fields[10], fields[-1])
                self._meanings[offset] = self._numbers.setdefault(asked, len(self._numbers))
        return set(map(self._meanings.__getitem__, facts))

    def _fact(self, offset: int) -> int:
        body, path, link = self._reader.whole_fact(offset)
        kind, flags = body[:2]
        if link and self._there.is_in_text(link):
            raise _Refused
        if self._there.has(path):
            path = self._path(path)
            if flags & SIGNED:  # which file it is there says nothing of the one here
                body = (kind, flags & ~SIGNED, 0, 0, body[4], 0, 0, *body[7:])
        elif not self._is_common(path):
            if kind == analysis.F_NO_LINK and self._there.is_below(path):
                return 0  # the path of a workspace has no symlink in it
            raise _Refused
        return self._index.add_fact(body, path, link)

    def _path(self, path: str) -> str:
        rest = path.removeprefix(self._there.path)
        if not path.startswith(self._there.path) or self._there.is_in_text(rest):
            raise _Refused
        return self._here.path + rest

    def _is_common(self, path: str) -> bool:
        """Does a path outside mean here what it means there?"""
        if self._there.is_in_text(path):
            return os.path.dirname(self._there.path) == os.path.dirname(self._here.path)
        return not self._there.is_below(path) or self._here.is_below(path) or path in TEMPORARY
