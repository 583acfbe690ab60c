"""The file that programs look entries up in, written: interpose/preload/replay/index.h, entries.py.

It only grows. A record is written whole before anything names it, so that a program that reads
meanwhile finds the old state or the new one. A copy of its bytes (the image) outlives the arena.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from velo.shards import plain

from . import analysis, entries, variables
from . import unit_log as log
from .analysis import Analysed, NotCached, Output
from .entries import (
    BEFORE_AT,
    BUCKETS,
    ENTRY,
    FACT,
    GROUP,
    HEAD,
    MAX_BYTES,
    NAMES_END,
    NEXT,
    OUTPUT,
    SIGNED,
    USED,
    USED_AT,
    USED_ENTRY_AT,
    Body,
    Entry,
    Head,
    Reader,
    grouped,
)  # fmt: skip

MAGIC = 0x35584956
FULL_BYTES = 64 << 20  # above it, what was not used for longest leaves
FACTS_AT, ENTRIES_AT, LAST_FACT_AT, LAST_GROUP_AT, GROUPS_AT = 16, 20, 64, 68, 72  # within the head
NUMBER_AT = 4  # within a fact
TRAILER = struct.Struct("<II")


class Owner(NamedTuple):
    """Whose entries count: those with the same salt that keep their blobs in the same store."""

    salt: bytes
    store: str  # the directory of the blobs


class Writer(Reader):
    """Adds to an index whose bytes are `data`: the map of its file, or an array, which grows."""

    def __init__(self, data: mmap.mmap | bytearray, view: memoryview | None = None) -> None:
        super().__init__(data if view is None else view)
        self._writable = data
        self._facts: dict[bytes, int] = {}  # a fact without its number: offset
        self._by_number: dict[int, int] = {}
        self._groups: dict[bytes, int] = {}  # offsets of facts, packed: offset
        self._digests: dict[str, tuple[tuple[int, ...], bytes]] = {}
        self._texts: dict[bytes, int] = {}
        self._names: dict[bytes, int] = {}  # lists of variables: offset
        self._is_learned = False

    def digests(self) -> dict[str, tuple[tuple[int, ...], bytes]]:
        """By path of a file outside of hosted directories: its identity (device, inode, size, mtime
        and ctime), and its digest."""
        self._learn()
        return self._digests

    def fact_numbered(self, number: int) -> tuple[int, str] | None:
        """Kind and path."""
        self._learn()
        offset = self._by_number.get(number)
        return None if offset is None else self.fact_at(offset)

    def add_fact(self, body: Body, path: str, link: str) -> int:
        """The offset of a fact; `body` is all of it but number and texts."""
        self._learn()
        kind, flags, *rest, digest = body
        packed = FACT.pack(
            kind, flags, 0, self.add_text(path), self.add_text(link), *rest, 0, digest
        )
        known = self._facts.get(packed)
        if known is None:
            number = self.head.facts
            made = bytearray(packed)
            NEXT.pack_into(made, NUMBER_AT, number)
            NEXT.pack_into(made, BEFORE_AT, self.head.last_fact)
            known = self._append(bytes(made))
            # The number is taken before a program can find the fact: no two have the same.
            NEXT.pack_into(self._writable, FACTS_AT, number + 1)
            NEXT.pack_into(self._writable, LAST_FACT_AT, known)
            self._facts[packed] = known
            self._by_number[number] = known
            if kind == analysis.CONTENT and flags & SIGNED:
                self._digests[path] = body[2:7], digest
        return known

    def add_entry(
        self, *, key: bytes, environment: bytes, rest: bytes, facts: list[int], analysed: Analysed,
        label: str, cost_ms: int, inline: dict[bytes, bytes], bound: str = "", outlets: int = 0,
    ) -> int:  # fmt: skip
        """Publish an entry; its number.

        Args:
            environment: the digest of the variables that count.
            inline: the bytes of short outputs, by digest.
            bound: why it is true of this workspace alone.
            outlets: what its output led to.

        Raises:
            NotCached: the index is full; nothing names what was written of it.
        """
        made = Entry(
            0, 0, 0, 0, len(analysed.outputs), 0, 0, 0, 0, 0, flags_of(analysed), cost_ms,
            self.add_text(bound), outlets, self.add_text(label), int(time.time()),
            self.add_names(variables.packed(analysed.variables)), 0, environment,
            key, rest,
        )  # fmt: skip
        outputs = b"".join(self._packed(each, inline) for each in analysed.outputs)
        return self.link_entry(made, facts, outputs, (analysed.text, analysed.errors))

    def link_entry(
        self, made: Entry, facts: Sequence[int], outputs: bytes, said: tuple[bytes, bytes],
        *, number: int | None = None,
    ) -> int:  # fmt: skip
        """Publish an entry whose lists and texts are these; its number: the next one, if it has
        none. As `add_entry`."""
        groups = [self._group(each) for each in grouped(facts)]
        group_list = self._append(struct.pack(f"<{len(groups)}I", *groups) or b"\0")
        output_list = self._append(outputs or b"\0")
        text, errors = (self._append(each or b"\0") for each in said)
        (hash_,) = NEXT.unpack_from(made.key)
        head = self.head
        number = head.entries if number is None else number
        bucket = head.table * 8 + 4 * (hash_ % BUCKETS)
        (first,) = NEXT.unpack_from(self._map, bucket)
        whole = made._replace(
            next=first, number=number, group_count=len(groups), groups=group_list,
            outputs=output_list, text=text, text_size=len(said[0]), errors=errors,
            errors_size=len(said[1]),
        )  # fmt: skip
        entry = self._append(ENTRY.pack(*whole))
        NEXT.pack_into(self._writable, ENTRIES_AT, max(head.entries, number + 1))
        NEXT.pack_into(self._writable, bucket, entry)
        return number

    def pack_output(
        self, kind: int, path: str, mode: int, size: int, digest: bytes, held: bytes | None
    ) -> bytes:
        """An output as `link_entry` takes it; `held`: its bytes or text, if not in the store."""
        where, at = self.add_text(path), 0
        if held is not None:
            is_link = kind == analysis.SYMLINK
            at = self._raw_text(held) if is_link else self._append(held or b"\0")
        return OUTPUT.pack(kind, 0, mode, where, at, size, digest)

    def add_names(self, packed: bytes | None) -> int:
        """The offset of a list of variables, as `link_entry` takes it; None: all that may count."""
        if packed is None:
            return 0
        self._learn()
        known = self._names.get(packed)
        if known is None:
            known = self._names[packed] = self._append(packed + NAMES_END)
        return known

    def add_text(self, text: str) -> int:
        """Its offset, as `link_entry` takes it; 0 of an empty one."""
        return self._raw_text(text.encode(errors="surrogateescape")) if text else 0

    def _group(self, facts: bytes) -> int:
        self._learn()
        known = self._groups.get(facts)
        if known is None:
            head = self.head
            count = len(facts) // NEXT.size
            known = self._append(GROUP.pack(count, head.groups, head.last_group) + facts)
            # As with facts: a kill here only wastes a number, and no two groups share one.
            NEXT.pack_into(self._writable, GROUPS_AT, head.groups + 1)
            NEXT.pack_into(self._writable, LAST_GROUP_AT, known)
            self._groups[facts] = known
        return known

    def _packed(self, output: Output, inline: dict[bytes, bytes]) -> bytes:
        what = output.hosted
        assert what is not None
        held = None
        if output.kind == analysis.SYMLINK:
            held = what.link.encode(errors="surrogateescape")
        elif output.kind == analysis.FILE:
            held = inline.get(what.digest)
        return self.pack_output(output.kind, output.path, what.mode, what.size, what.digest, held)

    def _learn(self) -> None:
        """Facts and texts that are there, so that each is there once."""
        if self._is_learned:
            return
        self._is_learned = True
        self._groups = {facts: offset for offset, facts in self.each_group()}
        for _, entry in self.walk():
            names = self.variables_of(entry)
            if names is not None:
                self._names[names] = entry.variables
        for offset, packed in self.each_fact():
            fields = FACT.unpack(packed)
            before = packed[:NUMBER_AT], packed[NUMBER_AT + 4 : BEFORE_AT], packed[BEFORE_AT + 4 :]
            self._facts[bytes(4).join(before)] = offset
            self._by_number[fields[2]] = offset
            path = self.bytes_at(fields[3])
            self._texts[path] = fields[3]
            if fields[4]:
                self._texts[self.bytes_at(fields[4])] = fields[4]
            if fields[0] == analysis.CONTENT and fields[1] & SIGNED:
                self._digests[path.decode(errors="surrogateescape")] = fields[5:10], fields[-1]

    def _raw_text(self, raw: bytes) -> int:
        known = self._texts.get(raw)
        if known is None:
            known = self._texts[raw] = self._append(raw + b"\0")
        return known

    def _append(self, data: bytes) -> int:
        at = self.used
        end = (at + len(data) + 7) & ~7
        if end > MAX_BYTES:
            raise NotCached("the index is full; room is made when 'velo exec' ends")
        self._writable[at:end] = data.ljust(end - at, b"\0")
        USED.pack_into(self._writable, USED_AT, end)
        return at // 8


class Index(Writer):
    """One arena's index, mapped. The process that holds the sealer's lock may write it."""

    def __init__(self, path: str, *, owner: Owner, image: str) -> None:
        """Map the index at `path`; a new one starts from the image, if that is whole and ours.

        Raises:
            OSError: it can be neither made nor mapped, or another user owns it.
        """
        self.path, self.image = path, image
        if _is_of_others(path, owner):
            os.unlink(path)  # another version made it, while the server went on
        if not os.path.exists(path):
            _make(path, image_of(image, owner) or empty(owner))
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = os.fstat(fd)
            if found.st_uid != os.geteuid() or found.st_size != MAX_BYTES:
                raise OSError(errno.EPERM, "is no index of ours", path)
            self._identity = (found.st_dev, found.st_ino)
            self._mapped = mmap.mmap(fd, MAX_BYTES)
        finally:
            os.close(fd)
        super().__init__(self._mapped, memoryview(self._mapped))

    def close(self) -> None:
        assert isinstance(self._map, memoryview)
        self._map.release()
        self._mapped.close()

    def is_current(self) -> bool:
        """Is it the one that programs find? `velo replay clear` removes it under our feet."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def drop(self, number: int) -> None:
        """An entry that is not to answer any more gets a key that no step has."""
        for offset, entry in self.walk():
            if entry.number == number:
                at = offset * 8 + entries.KEY_AT
                self._mapped[at : at + len(entries.NO_KEY)] = entries.NO_KEY

    def use(self, entry: Entry, at: float) -> None:
        """Note that the entry was of use at that time (seconds of the epoch)."""
        for offset, each in self._chain(self.first_of(entry.key)):
            if each.number == entry.number:
                NEXT.pack_into(self._mapped, offset * 8 + USED_ENTRY_AT, int(at))

    def replace(self, data: bytes) -> None:
        """Programs find an index with these bytes from now on; a program keeps one that it mapped.

        Raises:
            OSError: nothing has changed, or only the image has.
        """
        if self.is_current():
            write_image(self.image, data)
            _make(self.path, data)

    def save(self) -> None:
        """Write the image: whole or not at all; not that of an index that was cleared."""
        if self.is_current():
            write_image(self.image, self.data)


def flags_of(analysed: Analysed) -> int:
    flags = {
        entries.NEEDS_REST: analysed.needs_rest,
        entries.NEEDS_OUTLETS: analysed.needs_outlets,
        entries.NEEDS_NULL: log.NO_INPUT in analysed.found_none,
        entries.NEEDS_NO_TERMINAL: log.NO_TERMINAL in analysed.found_none,
    }
    return sum(flag for flag, is_set in flags.items() if is_set) | analysed.terminal << 16


def empty(owner: Owner) -> bytes:
    """The bytes of an index without entries."""
    start = HEAD.size + 4 * BUCKETS
    text = owner.store.encode(errors="surrogateescape") + b"\0"
    used = (start + len(text) + 7) & ~7
    head = Head(MAGIC, BUCKETS, used, 0, 0, start // 8, HEAD.size // 8, owner.salt, 0, 0, 0, 0)
    return (HEAD.pack(*head).ljust(start, b"\0") + text).ljust(used, b"\0")


def _is_of_others(path: str, owner: Owner) -> bool:
    try:
        with plain.opened(path) as file:
            data = file.read(HEAD.size)
    except OSError:
        return False
    if len(data) < HEAD.size:
        return True
    head = Reader(data).head
    return (head.magic, head.salt) != (MAGIC, owner.salt)


def _make(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, MAX_BYTES)
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)
    os.rename(temporary, path)


# ---- the image -----------------------------------------------------------------------------------


def write_image(path: str, data: bytes) -> None:
    """Whole or not at all: a reader finds the old image or this one."""
    plain.write(path, data, TRAILER.pack(MAGIC, zlib.crc32(data)))


def image_of(path: str, owner: Owner | None) -> bytes | None:
    """The bytes of an image; None of one that is not to be used, or of none.

    That is one of another owner, version, machine or store, a full one, and one that was cut or
    changed, which is set aside. With `owner` None any machine's and store's counts.
    """
    data = _bytes_of_ours(path)
    if data is None:
        return None
    body, trailer = data[: -TRAILER.size], data[-TRAILER.size :]
    if len(body) < HEAD.size or TRAILER.unpack(trailer) != (MAGIC, zlib.crc32(body)):
        with suppress(OSError):
            os.replace(path, path + ".damaged")
        return None
    reader = Reader(body)
    head = reader.head
    if (head.magic, head.buckets, head.used) != (MAGIC, BUCKETS, len(body)) or len(
        body
    ) > FULL_BYTES:
        return None
    if owner is not None and (head.salt, reader.text_at(head.store)) != owner:
        return None
    return body


def _bytes_of_ours(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
                return None
            return file.read(MAX_BYTES)
    except OSError:
        return None
