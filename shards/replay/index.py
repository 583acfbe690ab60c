"""The file that programs look entries up in, written: interpose/preload/replay/index.h, entries.py.

It only grows. A record is written whole before anything names it, so that whoever reads meanwhile
finds the old state or the new one. A copy of its bytes (the image) outlives the arena.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

from . import analysis, entries
from .analysis import Analysed, NotCached, Output
from .entries import BUCKETS, ENTRY, FACT, HEAD, NEXT, OUTPUT, Head, Reader

MAGIC = 0x31584956
MAX_BYTES = 256 << 20
FULL_BYTES = 64 << 20  # from here on it is begun anew
FACTS_AT, ENTRIES_AT, USED_AT = 16, 20, 8  # within the head
NUMBER_AT = 4  # within a fact
TRAILER = struct.Struct("<II")

Body = tuple[int, int, int, int, int, int, int, int, int, int, bytes]


class Owner(NamedTuple):
    """Whose entries count: those with the same salt that keep their blobs in the same store."""

    salt: bytes
    store: str  # the directory of the blobs


class Index(Reader):
    """One arena's index, mapped. Whoever holds the sealer's lock may write it."""

    def __init__(self, path: str, *, owner: Owner, image: str) -> None:
        """Map the index at `path`; a new one starts from the image, if that is whole and ours.

        Raises:
            OSError: it can be neither made nor mapped, or somebody else owns it.
        """
        self.path, self.image = path, image
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
        super().__init__(memoryview(self._mapped))
        self._facts: dict[bytes, int] = {}  # a fact without its number: offset
        self._by_number: dict[int, int] = {}
        self._texts: dict[bytes, int] = {}
        self._is_learned = False

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

    def fact_numbered(self, number: int) -> tuple[int, str] | None:
        """Kind and path."""
        self._learn()
        offset = self._by_number.get(number)
        return None if offset is None else self.fact_at(offset)

    def add_fact(self, body: Body, path: str, link: str) -> int:
        """The offset of a fact; `body` is all of it but number and texts."""
        self._learn()
        kind, flags, device, inode, size, mtime, ctime, mode, uid, gid, digest = body
        where, text = self._text(path), self._text(link) if link else 0
        packed = FACT.pack(
            kind,
            flags,
            0,
            where,
            text,
            device,
            inode,
            size,
            mtime,
            ctime,
            mode,
            uid,
            gid,
            0,
            digest,
        )
        known = self._facts.get(packed)
        if known is None:
            number = self.head.facts
            after = NUMBER_AT + NEXT.size
            known = self._append(packed[:NUMBER_AT] + NEXT.pack(number) + packed[after:])
            NEXT.pack_into(self._mapped, FACTS_AT, number + 1)
            self._facts[packed] = known
            self._by_number[number] = known
        return known

    def add_entry(
        self, *, key: bytes, rest: bytes, facts: list[int], analysed: Analysed, label: str,
        cost_ms: int, inline: dict[bytes, bytes],
    ) -> int:  # fmt: skip
        """Publish an entry; its number. `inline` has the bytes of short outputs, by digest.

        Raises:
            NotCached: the index is full; nothing names what was written of it.
        """
        outputs = b"".join(self._packed(each, inline) for each in analysed.outputs)
        fact_list = self._append(b"".join(map(NEXT.pack, facts)) or b"\0")
        output_list = self._append(outputs or b"\0")
        said = self._append(analysed.text or b"\0"), self._append(analysed.errors or b"\0")
        (hash_,) = NEXT.unpack_from(key)
        head = self.head
        bucket = head.table * 8 + 4 * (hash_ % BUCKETS)
        (first,) = NEXT.unpack_from(self._map, bucket)
        entry = self._append(
            ENTRY.pack(
                first, head.entries, len(facts), fact_list, len(analysed.outputs), output_list,
                said[0], len(analysed.text), said[1], len(analysed.errors),
                entries.NEEDS_REST if analysed.needs_rest else 0, cost_ms, self._text(label), 0,
                key, rest,
            )
        )  # fmt: skip
        NEXT.pack_into(self._mapped, ENTRIES_AT, head.entries + 1)
        NEXT.pack_into(self._mapped, bucket, entry)
        return head.entries

    def drop(self, number: int) -> None:
        """An entry that is not to answer any more gets a key that nobody has."""
        for offset, entry in self.walk():
            if entry.number == number:
                at = offset * 8 + entries.KEY_AT
                self._mapped[at : at + len(entries.NO_KEY)] = entries.NO_KEY

    def save(self) -> None:
        """Write the image: whole or not at all; not that of an index that was cleared."""
        if self.is_current():
            write_image(self.image, self.data)

    def _packed(self, output: Output, inline: dict[bytes, bytes]) -> bytes:
        what = output.hosted
        assert what is not None
        held = 0
        if output.kind == analysis.SYMLINK:
            held = self._text(what.link)
        elif output.kind == analysis.FILE and what.digest in inline:
            held = self._append(inline[what.digest] or b"\0")
        path = self._text(output.path)
        return OUTPUT.pack(output.kind, 0, what.mode, path, held, what.size, what.digest)

    def _learn(self) -> None:
        """Facts and texts that are there, so that each is there once."""
        if self._is_learned:
            return
        self._is_learned = True
        for offset in {fact for _, entry in self.walk() for fact in self.facts_of(entry)}:
            packed = bytes(self._map[offset * 8 : offset * 8 + FACT.size])
            fields = FACT.unpack(packed)
            after = NUMBER_AT + NEXT.size
            self._facts[packed[:NUMBER_AT] + bytes(NEXT.size) + packed[after:]] = offset
            self._by_number[fields[2]] = offset
            for text in filter(None, fields[3:5]):  # its path and its link
                self._texts[self.bytes_at(text)] = text

    def _text(self, text: str) -> int:
        raw = text.encode(errors="surrogateescape")
        known = self._texts.get(raw)
        if known is None:
            known = self._texts[raw] = self._append(raw + b"\0")
        return known

    def _append(self, data: bytes) -> int:
        at = self.used
        end = (at + len(data) + 7) & ~7
        if end > MAX_BYTES:
            raise NotCached("the index is full; it is begun anew when 'velo exec' begins")
        self._mapped[at : at + len(data)] = data
        struct.pack_into("<Q", self._mapped, USED_AT, end)
        return at // 8


def empty(owner: Owner) -> bytes:
    """The bytes of an index without entries."""
    start = HEAD.size + 4 * BUCKETS
    text = owner.store.encode(errors="surrogateescape") + b"\0"
    used = (start + len(text) + 7) & ~7
    head = Head(MAGIC, BUCKETS, used, 0, 0, start // 8, HEAD.size // 8, owner.salt)
    return (HEAD.pack(*head).ljust(start, b"\0") + text).ljust(used, b"\0")


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
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.write(TRAILER.pack(MAGIC, zlib.crc32(data)))
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


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
