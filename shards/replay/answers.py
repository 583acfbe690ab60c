"""Which steps were answered, and the report of a command that did nothing else.

What sealing needs takes longer to import than hundreds of steps to answer. A command that answered
all of its steps has nothing to seal.

In: what the library wrote down, the index. Out: outcomes, a report. Never: an import of what
analyses units. [touches disk]
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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


def taken(directory: str) -> list[Answer]:
    """The answers since the last report; they are told once. The lock is held."""
    path = os.path.join(directory, spool.ANSWERS)
    try:
        os.rename(path, path + ".taken")
        found = _read(path + ".taken")
        os.unlink(path + ".taken")
    except OSError:
        return []
    return found


def outcome_of(index: Reader, entry: Entry, micros: int) -> Outcome:
    """The report of a step that this entry answered."""
    makes = [each.path for each in index.outputs_of(entry) if each.kind != GONE]
    return Outcome(
        index.label_of(entry), REPLAYED, Reason(""), micros / 1000,
        saved_ms=entry.cost_ms, makes=makes,
    )  # fmt: skip


def tell(
    directory: str, ledger: Ledger, command: Sequence[str], mode: str
) -> dict[str, Any] | None:
    """Report and keep a command whose steps were all answered.

    Returns:
        The report; or None, and nothing has changed: the sealer is to do it, since a unit waits,
        the index is another one, or a use of an entry is to be kept.

    Raises:
        OSError: there is no such directory.
    """
    with spool.locked(directory), _mapped(os.path.join(directory, "index")) as index:
        if index is None or not spool.has_answers_alone(directory):
            return None
        now = int(time.time())
        asked = _read(os.path.join(directory, spool.ANSWERS))
        known = {(each.number, each.offset): _entry_of(index, each) for each in asked}
        if any(entry is None or now - entry.used_at >= USED_S for entry in known.values()):
            return None
        found = []
        for answer in taken(directory):  # some more than were asked about, perhaps
            entry = known.get((answer.number, answer.offset)) or _entry_of(index, answer)
            if entry is not None:
                NEXT.pack_into(index.writable, answer.offset * 8 + USED_ENTRY_AT, now)
                found.append(outcome_of(index, entry, answer.micros))
        report = reports.report_of(found) | reports.head(command, mode)
        report |= {"index_bytes": index.used, "entries": index.head.entries}
        with suppress(OSError):  # the disk is full: the command has its answers all the same
            ledger.add(report)
    return report


class _Mapped(Reader):
    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data)
        self.writable = data


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
        yield _Mapped(data)


def _entry_of(index: Reader, answer: Answer) -> Entry | None:
    """None: it is not there any more, since the index was made anew meanwhile."""
    if not 0 < answer.offset * 8 <= index.used - ENTRY.size:
        return None
    entry = index.entry_at(answer.offset)
    return entry if entry.number == answer.number else None


def _read(path: str) -> list[Answer]:
    lines = [line.split() for line in plain.read(path).splitlines()]
    sound = [line for line in lines if len(line) in (2, 3) and b"".join(line).isdigit()]
    return [Answer(*map(int, line)) for line in sound]
