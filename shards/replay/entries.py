"""Entries as programs find them: the structures of interpose/preload/replay/index.h, read.

In: the bytes of an index or of its image, whole. Out: entries, their facts, outputs and texts.
Never: a change; index.py alone makes those. [pure]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from mmap import mmap
from typing import Any, NamedTuple

from velo.interpose import core

BUCKETS = 16384
MAX_BYTES = 256 << 20  # of an index, whose file is as long from the start
HEAD = struct.Struct("<II Q II II 32s II II")
FACT = struct.Struct("<HHI II QQQ qq IIII 32s")
OUTPUT = struct.Struct("<HHI II Q 32s")
ENTRY = struct.Struct("<II II II IIII II II II II 32s 32s 32s")
NEXT = struct.Struct("<I")
GROUP = struct.Struct("<III")  # and offsets of facts
USED, USED_AT = struct.Struct("<Q"), 8  # within the head
assert (HEAD.size, FACT.size, OUTPUT.size, ENTRY.size) == (80, 104, 56, 168)
BEFORE_AT = FACT.size - 36  # within a fact
KEY_AT = ENTRY.size - 64  # within an entry
ENTRY_NUMBER_AT = NEXT.size
USED_ENTRY_AT = KEY_AT - 44
NAMES_END = b"\0\0"  # of a list of variables
NO_DIGEST = bytes(32)
NO_KEY = bytes(32)  # of an entry that was dropped
IN_WORKSPACE, SIGNED, OWNED, WHOLE = 1, 2, 4, 8  # flags of facts
NEEDS_REST, NEEDS_NULL, NEEDS_NO_TERMINAL, NEEDS_OUTLETS = 1, 2, 4, 8  # flags of entries
FILE, DIRECTORY, SYMLINK, GONE = range(1, 5)  # kinds of outputs, as enum velo_output_kind
GROUP_MASK = 31 << 20  # a group has some 32 facts
# Of a fact: kind, flags, device, inode, size, mtime, ctime, mode, uid, gid, digest
Body = tuple[int, int, int, int, int, int, int, int, int, int, bytes]
MIX = 0x9E3779B1  # offsets are regular where paths are equally long (Knuth, 6.4)


class Head(NamedTuple):
    magic: int
    buckets: int
    used: int  # bytes
    facts: int
    entries: int
    store: int  # text: the directory of the blobs
    table: int  # offset of the buckets
    salt: bytes
    last_fact: int
    last_group: int
    groups: int
    reserved: int


class Entry(NamedTuple):
    """A step that was seen; offsets count words of 8 bytes."""

    next: int
    number: int
    group_count: int
    groups: int
    output_count: int
    outputs: int
    text: int
    text_size: int
    errors: int
    errors_size: int
    flags: int
    cost_ms: int
    bound: int  # text: why it is true of its workspace alone; 0: of a clone, too
    outlets: int  # what its output led to
    label: int
    used_at: int  # seconds of the epoch
    variables: int  # names, as variables.packed has them; 0: all that may count
    reserved: int
    environment: bytes  # digest of these
    key: bytes
    rest: bytes

    def suits(self, outlets: int) -> bool:
        """May it answer a step whose output leads there?"""
        return not self.flags & NEEDS_OUTLETS or self.outlets == outlets


class Made(NamedTuple):
    """An output of an entry."""

    kind: int
    path: str
    mode: int
    digest: bytes


class Reader:
    """An index whose bytes are `data`; they may grow meanwhile, and are whole at each moment."""

    def __init__(self, data: bytes | bytearray | memoryview | mmap) -> None:
        self._map = data

    @property
    def data(self) -> bytes:
        """All that is used."""
        return bytes(self._map[: self.used])

    @property
    def head(self) -> Head:
        return Head._make(HEAD.unpack_from(self._map))

    @property
    def used(self) -> int:
        (used,) = USED.unpack_from(self._map, USED_AT)
        return int(used)

    def entry_at(self, offset: int) -> Entry:
        return Entry._make(ENTRY.unpack_from(self._map, offset * 8))

    def number_at(self, offset: int) -> int:
        """Of the entry there."""
        (number,) = NEXT.unpack_from(self._map, offset * 8 + ENTRY_NUMBER_AT)
        return int(number)

    def walk(self) -> Iterator[tuple[int, Entry]]:
        """All entries with their offsets, those that were dropped too."""
        for first in struct.unpack_from(f"<{BUCKETS}I", self._map, self.head.table * 8):
            if first:
                yield from self._chain(first)

    @property
    def count(self) -> int:
        """Entries that are there, those that were dropped too."""
        return sum(1 for _ in self.walk())

    def live(self) -> list[Entry]:
        """The entries that may answer."""
        return [entry for _, entry in self.walk() if entry.key != NO_KEY]

    def numbered(self, number: int) -> Entry | None:
        return next((entry for _, entry in self.walk() if entry.number == number), None)

    def of_key(self, key: bytes) -> list[Entry]:
        """The entries of a step, the newest first."""
        return [entry for _, entry in self._chain(self.first_of(key)) if entry.key == key]

    def first_of(self, key: bytes) -> int:
        """The offset of the newest entry in the bucket of this key, or 0."""
        (hash_,) = NEXT.unpack_from(key)
        (first,) = NEXT.unpack_from(self._map, self.head.table * 8 + 4 * (hash_ % BUCKETS))
        return int(first)

    def label_of(self, entry: Entry) -> str:
        return self.text_at(entry.label) if entry.label else ""

    def bound_of(self, entry: Entry) -> str:
        """Why it is true of its workspace alone; "" of one that clones may take."""
        return self.text_at(entry.bound) if entry.bound else ""

    def variables_of(self, entry: Entry) -> bytes | None:
        """The names that count, as they stand there; None: all that may."""
        return self.bytes_at(entry.variables, end=NAMES_END) if entry.variables else None

    def packed_outputs(self, entry: Entry) -> Iterator[tuple[Any, ...]]:
        """As OUTPUT has them."""
        return OUTPUT.iter_unpack(self.raw(entry.outputs, entry.output_count * OUTPUT.size))

    def outputs_of(self, entry: Entry) -> list[Made]:
        return [
            Made(kind, self.text_at(path), mode, digest)
            for kind, _, mode, path, _, _, digest in self.packed_outputs(entry)
        ]

    def whole_outputs(
        self, entry: Entry
    ) -> Iterator[tuple[int, str, int, int, bytes, bytes | None]]:
        """Kind, path, mode, size, digest, and the bytes or the text that the index has itself."""
        for kind, _, mode, path, held, size, digest in self.packed_outputs(entry):
            data = None
            if held:
                data = self.raw(held, size) if kind == FILE else self.bytes_at(held)
            yield kind, self.text_at(path), mode, size, digest, data

    def blobs_of(self, entry: Entry) -> set[bytes]:
        """Digests of the outputs whose bytes are in the store."""
        return set(self.sizes_of(entry))

    def sizes_of(self, entry: Entry) -> dict[bytes, int]:
        """The same, with the bytes that each has."""
        outputs = self.packed_outputs(entry)
        return {
            digest: size for kind, *_, held, size, digest in outputs if kind == FILE and not held
        }

    def facts_of(self, entry: Entry) -> list[int]:
        """The offsets of an entry's facts."""
        found: list[int] = []
        for offset in self.groups_of(entry):
            found += self.group_at(offset)
        return found

    def groups_of(self, entry: Entry) -> tuple[int, ...]:
        """The offsets of the groups in which they stand."""
        return struct.unpack_from(f"<{entry.group_count}I", self._map, entry.groups * 8)

    def group_at(self, offset: int) -> tuple[int, ...]:
        """The offsets of a group's facts."""
        count, _, _ = GROUP.unpack_from(self._map, offset * 8)
        return struct.unpack_from(f"<{count}I", self._map, offset * 8 + GROUP.size)

    def each_group(self) -> Iterator[tuple[int, bytes]]:
        """Offset and facts, packed, of all groups, the newest first."""
        offset = self.head.last_group
        for _ in range(self.head.groups):
            if offset == 0:
                return
            count, _, before = GROUP.unpack_from(self._map, offset * 8)
            at = offset * 8 + GROUP.size
            yield offset, bytes(self._map[at : at + NEXT.size * count])
            offset = before

    def each_fact(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of all facts, the newest first."""
        offset = self.head.last_fact
        for _ in range(self.head.facts):
            if offset == 0:
                return
            packed = bytes(self._map[offset * 8 : offset * 8 + FACT.size])
            yield offset, packed
            (offset,) = NEXT.unpack_from(packed, BEFORE_AT)

    def fact_at(self, offset: int) -> tuple[int, str]:
        """Kind and path."""
        fields = FACT.unpack_from(self._map, offset * 8)
        return fields[0], self.text_at(fields[3])

    def whole_fact(self, offset: int) -> tuple[Body, str, str]:
        """All of it but its number, its path, and its link."""
        fields = FACT.unpack_from(self._map, offset * 8)
        link = self.text_at(fields[4]) if fields[4] else ""
        return (fields[0], fields[1], *fields[5:13], fields[-1]), self.text_at(fields[3]), link

    def said_by(self, entry: Entry) -> tuple[bytes, bytes]:
        """What the step said, on standard output and on standard error."""
        first, second = entry.text * 8, entry.errors * 8
        return (
            bytes(self._map[first : first + entry.text_size]),
            bytes(self._map[second : second + entry.errors_size]),
        )

    def raw(self, offset: int, size: int) -> bytes:
        start = offset * 8
        return bytes(self._map[start : start + size])

    def text_at(self, offset: int) -> str:
        return self.bytes_at(offset).decode(errors="surrogateescape")

    def bytes_at(self, offset: int, *, end: bytes = b"\0") -> bytes:
        start, size = offset * 8, 256
        while True:
            piece = bytes(self._map[start : start + size])
            if end in piece or len(piece) < size:
                return piece.partition(end)[0]
            size *= 8

    def _chain(self, offset: int) -> Iterator[tuple[int, Entry]]:
        while offset:
            entry = self.entry_at(offset)
            yield offset, entry
            offset = entry.next


def grouped(facts: Sequence[int]) -> list[bytes]:
    """A list of facts, packed, in parts that other lists have, too.

    A part ends at a fact with certain bits, not after a fixed number. So one fact more in one list
    changes one part: content-defined chunking (Muthitacharoen, LBFS, 2001).
    """
    return core.grouped(facts, mix=MIX, mask=GROUP_MASK)
