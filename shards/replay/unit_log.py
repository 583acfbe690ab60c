"""The log of one unit, as the preload library wrote it (interpose/preload/replay/log.h)."""

from __future__ import annotations

import struct
from typing import NamedTuple

MAGIC = 0x31474C56
HEAD = struct.Struct("<II Q IIIII I II I I I i qqqq 32s 32s II 24x 32x")
RECORD = struct.Struct("<IHHII")
HOSTED = struct.Struct("<QQqqII32s")
assert HEAD.size == 224

(
    KEY, ENVIRONMENT, WHY, PROGRAM, OBJECT, FORKED, READ, ABSENT, STAT, LSTAT, ACCESS, LINK,
    NO_LINK, REAL, ERROR, WRITE, GONE, RENAME, MKDIR, SYMLINK, CHMOD, FSTAT,
    TEXT, HOSTED_PATH, LIST, ASKED,
) = range(1, 27)  # fmt: skip

TRUNCATED, NEW, MAYBE_NEW, APPENDS = 1, 2, 4, 8
ITSELF, OPENED = 1, 2  # of ABSENT
STREAM_NULL, STREAM_PIPE, STREAM_FILE, STREAM_OTHER = range(4)

TAINTS = (
    "",
    "it names too many files",
    "a program that cannot be entered ran",
    "it used a socket",
    "it made a date of the time",
    "it read the names in a directory",
    "it changed a file that was there before",
    "it wrote outside of the hosted directories",
    "it made a link, a FIFO, a temporary directory or changed an owner",
    "it used a path that has no text",
    "a build tool ran inside: its own steps are cached instead",
    "it opened a device or something below /proc or /sys",
    "it sent a signal",
    "it set explicit times",
    "it used shared memory",
    "it changed its root, namespace or user",
    "its standard input is something to read",
)
CLOCK, RANDOM, MACHINE = 64, 65, 66


class Torn(Exception):
    """A record was begun and not ended: its process was killed."""


class Hosted(NamedTuple):
    """What a hosted path was when the unit ended."""

    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    mode: int  # 0: nothing was there
    kept: bool  # the digest is known
    digest: bytes
    link: str


class Record(NamedTuple):
    kind: int
    flags: int
    process: int
    payload: bytes

    @property
    def path(self) -> str:
        return decode(self.payload)

    @property
    def paths(self) -> tuple[str, str]:
        first, _, second = self.payload.partition(b"\0")
        return first.decode(errors="surrogateescape"), decode(second)


class UnitLog(NamedTuple):
    """Everything that is known of a unit."""

    path: str
    started: int
    enlisted: int
    failed: int
    forked: int
    vouched: int
    spoke: bool
    taint: int
    taint_process: int
    streams: int
    captured: bool
    status: int
    began_ns: int
    took_ns: int
    key: bytes
    rest: bytes
    alive: int
    expected: int  # number of the entry that would have answered, or -1
    records: list[Record]

    @property
    def words(self) -> tuple[str, str, list[str]]:
        """Program, working directory, arguments."""
        for record in self.records:
            if record.kind == KEY:
                texts = record.payload.split(b"\0")[:-1]
                program, cwd, *arguments = (text.decode(errors="surrogateescape") for text in texts)
                return program, cwd, arguments
        return "", "", []


def decode(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="surrogateescape")


def read(path: str) -> UnitLog:
    """The log in the file `path`.

    Raises:
        Torn: a record has no size; the unit is not to be used.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(HEAD.size)
        if len(data) != HEAD.size:
            raise Torn
        fields = HEAD.unpack(data)
        if fields[0] != MAGIC:
            raise Torn
        data += file.read(max(0, fields[2] - HEAD.size))
    records = []
    at = HEAD.size
    while at < fields[2]:
        if at + RECORD.size > len(data):
            raise Torn
        size, kind, flags, process, length = RECORD.unpack_from(data, at)
        start = at + RECORD.size
        if size < RECORD.size + length or start + length > len(data):
            raise Torn
        records.append(Record(kind, flags, process, data[start : start + length]))
        at += size
    (_, _, _, started, enlisted, failed, forked, vouched, spoke, taint, taint_process, streams,
     captured, _root, status, began_ns, _ended_ns, began_at, ended_at, key, rest, alive, expected,
    ) = fields  # fmt: skip
    return UnitLog(
        path, started, enlisted, failed, forked, vouched, bool(spoke), taint, taint_process,
        streams, bool(captured), status, began_ns, ended_at - began_at, key, rest, alive,
        expected - 1, records,
    )  # fmt: skip


INPUT, OUTPUT, LISTED = 0, 1, 2  # why it was asked for


def hosted_of(record: Record) -> tuple[str, int, Hosted]:
    """Path, why it was asked for, and what it was."""
    size, inode, mtime, ctime, mode, kept, digest = HOSTED.unpack_from(record.payload)
    path, link = record._replace(payload=record.payload[HOSTED.size :]).paths
    return path, record.flags, Hosted(size, inode, mtime, ctime, mode, bool(kept), digest, link)
