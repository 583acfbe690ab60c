"""Which steps were answered, and the report of a command that did nothing else.

What sealing needs takes longer to import than hundreds of steps to answer. A command that answered
all of its steps has nothing to seal.

In: what the library wrote down, the index. Out: outcomes, a report. Never: an import of what
analyses units. [touches disk]
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple

from velo.shards import plain

from . import reports, spool
from .entries import ENTRY, GONE, MAX_BYTES, NEXT, USED_ENTRY_AT, Entry, Reader
from .ledger import Ledger
from .reports import REPLAYED, Outcome, Reason

USED_S = 3600  # a use that is this much later than the last one is kept, too


class Answer(NamedTuple):
    """A step was answered."""

    number: int  # of the entry
    micros: int  # it took
    offset: int = 0  # of the entry, in words of 8 bytes; 0: the library of a server that is older


class Told(NamedTuple):
    """What is told of an answer."""

    offset: int  # of its entry
    entry: Entry
    outcome: Outcome


def taken(directory: str) -> list[Answer]:
    """The answers since the last report; they are told once. The lock is held."""
    found = map(_answer_of, _take(directory))
    return [each for each in found if each is not None]


def outcome_of(index: Reader, entry: Entry, micros: int) -> Outcome:
    """The report of a step that this entry answered."""
    makes = [each.path for each in index.outputs_of(entry) if each.kind != GONE]
    return Outcome(
        index.label_of(entry), REPLAYED, Reason(""), micros / 1000,
        saved_ms=entry.cost_ms, makes=makes,
    )  # fmt: skip


class Telling:
    """The report of a command whose steps were all answered.

    Entries are found while it runs, so that little is left to do at its end.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._found: dict[bytes, Told | None] = {}
        self._inode = 0  # of the index in which they were found

    def learn(self) -> None:
        """Find what was answered so far; of a damaged index nothing, which the end tells."""
        with suppress(OSError, ValueError, struct.error), self._mapped() as index:
            if index is not None:
                self._learn(index)

    def tell(self, ledger: Ledger, command: Sequence[str], mode: str) -> dict[str, Any] | None:
        """Report and keep the command.

        Returns:
            The report; or None, and nothing has changed: the sealer is to do it, since a unit
            waits, the index is another one, or a use of an entry is to be kept.

        Raises:
            OSError: there is no such directory.
        """
        with spool.locked(self._directory), self._mapped() as index:
            if index is None or not spool.has_answers_alone(self._directory):
                return None
            now = int(time.time())
            asked = self._learn(index)
            if any(each is None or now - each.entry.used_at >= USED_S for each in asked):
                return None
            outcomes = []
            for line in _take(self._directory):  # some more than were asked about, perhaps
                told = self._found.get(line) or _find(index, line)
                if told is not None and _number_at(index, told.offset) == told.entry.number:
                    NEXT.pack_into(index.writable, told.offset * 8 + USED_ENTRY_AT, now)
                    outcomes.append(told.outcome)
            report = reports.report_of(outcomes) | reports.head(command, mode)
            report |= {"index_bytes": index.used, "entries": index.head.entries}
            ledger.add_or_tell(report)
        return report

    def _mapped(self) -> AbstractContextManager[_Mapped | None]:
        return _mapped(os.path.join(self._directory, "index"))

    def _learn(self, index: _Mapped) -> list[Told | None]:
        if index.inode != self._inode:
            self._found.clear()
            self._inode = index.inode
        lines = _lines(os.path.join(self._directory, spool.ANSWERS))
        for line in lines:
            if line not in self._found:
                self._found[line] = _find(index, line)
        return [self._found[line] for line in lines]


class _Mapped(Reader):
    def __init__(self, data: mmap.mmap, inode: int) -> None:
        super().__init__(data)
        self.writable, self.inode = data, inode


@contextmanager
def _mapped(path: str) -> Iterator[_Mapped | None]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_size != MAX_BYTES:
            yield None
            return
        data = mmap.mmap(fd, found.st_size)
    finally:
        os.close(fd)
    with data:
        yield _Mapped(data, found.st_ino)


def _find(index: Reader, line: bytes) -> Told | None:
    """None: it is no answer, or not of this index, which was made anew meanwhile."""
    answer = _answer_of(line)
    if answer is None or _number_at(index, answer.offset) != answer.number:
        return None
    entry = index.entry_at(answer.offset)
    return Told(answer.offset, entry, outcome_of(index, entry, answer.micros))


def _number_at(index: Reader, offset: int) -> int | None:
    if not 0 < offset * 8 <= index.used - ENTRY.size:
        return None
    return index.number_at(offset)


def _take(directory: str) -> list[bytes]:
    path = os.path.join(directory, spool.ANSWERS)
    try:
        os.rename(path, path + ".taken")
        found = _lines(path + ".taken")
        os.unlink(path + ".taken")
    except OSError:
        return []
    return found


def _lines(path: str) -> list[bytes]:
    """Whole ones."""
    return plain.read(path).split(b"\n")[:-1]


def _answer_of(line: bytes) -> Answer | None:
    words = line.split()
    if len(words) not in (2, 3) or not b"".join(words).isdigit():
        return None
    return Answer(*map(int, words))
