"""Entries as programs find them: the structures of interpose/preload/replay/index.h, read.

In: the bytes of an index or of its image, whole. Out: entries, their facts, outputs and texts.
Never: a change; index.py alone makes those. [pure]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

BUCKETS = 16384
HEAD = struct.Struct("<II Q II II 32s")
FACT = struct.Struct("<HHI II QQQ qq IIII 32s")
OUTPUT = struct.Struct("<HHI II Q 32s")
ENTRY = struct.Struct("<II II II IIII II II 32s 32s")
NEXT = struct.Struct("<I")
assert (HEAD.size, FACT.size, OUTPUT.size, ENTRY.size) == (64, 104, 56, 120)
KEY_AT = ENTRY.size - 64  # within an entry
NO_KEY = bytes(32)  # of an entry that was dropped
IN_WORKSPACE, SIGNED = 1, 2  # flags of facts
NEEDS_REST = 1  # a flag of entries


class Head(NamedTuple):
    magic: int
    buckets: int
    used: int  # bytes
    facts: int
    entries: int
    store: int  # text: the directory of the blobs
    table: int  # offset of the buckets
    salt: bytes


class Entry(NamedTuple):
    """A step that was seen; offsets count words of 8 bytes."""

    next: int
    number: int
    fact_count: int
    facts: int
    output_count: int
    outputs: int
    text: int
    text_size: int
    errors: int
    errors_size: int
    flags: int
    cost_ms: int
    label: int
    reserved: int
    key: bytes
    rest: bytes


class Made(NamedTuple):
    """An output of an entry."""

    kind: int
    path: str
    mode: int
    digest: bytes


class Reader:
    """An index whose bytes are `data`; they may grow meanwhile, and are whole at each moment."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
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
        return self.head.used

    def entry_at(self, offset: int) -> Entry:
        return Entry._make(ENTRY.unpack_from(self._map, offset * 8))

    def walk(self) -> Iterator[tuple[int, Entry]]:
        """All entries with their offsets, those that were dropped too."""
        for bucket in range(BUCKETS):
            yield from self._chain(bucket)

    def live(self) -> list[Entry]:
        """The entries that may answer."""
        return [entry for _, entry in self.walk() if entry.key != NO_KEY]

    def numbered(self, number: int) -> Entry | None:
        return next((entry for _, entry in self.walk() if entry.number == number), None)

    def of_key(self, key: bytes) -> list[Entry]:
        """The entries of a step, the newest first."""
        (hash_,) = NEXT.unpack_from(key)
        return [entry for _, entry in self._chain(hash_ % BUCKETS) if entry.key == key]

    def label_of(self, entry: Entry) -> str:
        return self.text_at(entry.label) if entry.label else ""

    def outputs_of(self, entry: Entry) -> list[Made]:
        outputs = []
        for number in range(entry.output_count):
            at = entry.outputs * 8 + number * OUTPUT.size
            kind, _, mode, path, _, _, digest = OUTPUT.unpack_from(self._map, at)
            outputs.append(Made(kind, self.text_at(path), mode, digest))
        return outputs

    def blobs_of(self, entry: Entry) -> set[bytes]:
        """Digests of the outputs whose bytes are in the store."""
        found = set()
        for number in range(entry.output_count):
            at = entry.outputs * 8 + number * OUTPUT.size
            kind, _, _, _, held, _, digest = OUTPUT.unpack_from(self._map, at)
            if kind == 1 and held == 0:
                found.add(digest)
        return found

    def facts_of(self, entry: Entry) -> list[int]:
        """The offsets of an entry's facts."""
        start = entry.facts * 8
        return [
            NEXT.unpack_from(self._map, start + 4 * each)[0] for each in range(entry.fact_count)
        ]

    def fact_at(self, offset: int) -> tuple[int, str]:
        """Kind and path."""
        fields = FACT.unpack_from(self._map, offset * 8)
        return fields[0], self.text_at(fields[3])

    def said_by(self, entry: Entry) -> tuple[bytes, bytes]:
        """What the step said, on standard output and on standard error."""
        first, second = entry.text * 8, entry.errors * 8
        return (
            bytes(self._map[first : first + entry.text_size]),
            bytes(self._map[second : second + entry.errors_size]),
        )

    def text_at(self, offset: int) -> str:
        return self.bytes_at(offset).decode(errors="surrogateescape")

    def bytes_at(self, offset: int) -> bytes:
        start, size = offset * 8, 256
        while True:
            piece = bytes(self._map[start : start + size])
            if b"\0" in piece or len(piece) < size:
                return piece.partition(b"\0")[0]
            size *= 8

    def _chain(self, bucket: int) -> Iterator[tuple[int, Entry]]:
        (offset,) = NEXT.unpack_from(self._map, self.head.table * 8 + 4 * bucket)
        while offset:
            entry = self.entry_at(offset)
            yield offset, entry
            offset = entry.next
