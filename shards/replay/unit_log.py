"""The log of one unit, as the preload library wrote it (interpose/preload/replay/log.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from velo.interpose import core

MAGIC = 0x31474C56
HEAD = struct.Struct("<II Q IIIII I II I I I i qqqq 32s 32s II 24x 32x 4x I 512x 32s")
RECORD = struct.Struct("<IHHII")
END_MAX = 1 << 40  # no log is longer
NOTHING = bytes(4)  # the key of a record that is to be passed over
HOSTED = struct.Struct("<QQqqII32s")
assert HEAD.size == 776

(
    KEY, ENVIRONMENT, WHY, PROGRAM, OBJECT, FORKED, READ, ABSENT, STAT, LSTAT, ACCESS, LINK,
    NO_LINK, REAL, ERROR, WRITE, GONE, RENAME, MKDIR, SYMLINK, CHMOD, FSTAT,
    TEXT, HOSTED_PATH, LIST, ASKED, SECOND_NAME, NAMED, SAID, WORDS, VARIABLE,
) = range(1, 32)  # fmt: skip

# Questions: each is the same whatever program asked it, and when, as long as nothing is changed.
QUESTIONS = {PROGRAM, OBJECT, READ, ABSENT, STAT, ACCESS, LSTAT, LINK, NO_LINK, REAL, VARIABLE}
CHANGES = {WRITE, RENAME, GONE, MKDIR, SYMLINK, SECOND_NAME}
NAMES_TWO = {RENAME, SECOND_NAME}
NAMES_A_PATH = QUESTIONS - {PROGRAM, OBJECT, VARIABLE} | CHANGES | {CHMOD, LIST, ERROR}
_KNOWN: dict[bytes, bytes] = {}  # one object for equal keys
_QUESTION_BITS = sum(1 << kind for kind in QUESTIONS)

TRUNCATED, NEW, MAYBE_NEW, APPENDS = 1, 2, 4, 8
ITSELF, OPENED = 1, 2  # of ABSENT
# Of ASKED: code that was loaded after the program's start; the time, once more with no file read
BY_PLUGIN, AGAIN = 128, 256
TO_RUN = 1  # of READ: by the kernel
VARIABLES_IGNORED, VARIABLES_CUT = 1, 2  # of ENVIRONMENT
GIVEN_TEXT, MODULE = 1, 2  # of PROGRAM: `python -c`, `python -m`
CUT, HAS_INPUT = 1, 2  # of WORDS
STREAM_NULL, STREAM_PIPE, STREAM_FILE, STREAM_OTHER = range(4)

TAINTS = (
    "",
    "it names too many files",
    "a program that cannot be entered ran",
    "it used a socket",
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
    "it used a descriptor that its build tool had open",
    "libc read or wrote files for it by calls of its own (a locale, a table of users, a profile)",
)
LINKED = TAINTS[7]
# Of ASKED
CLOCK, RANDOM, MACHINE, CALENDAR, SEEDS, NO_INPUT, NO_TERMINAL = range(64, 71)
RESOURCES, INTERVAL, LOAD, LIMITS = range(71, 75)
ASKED_FOR = {
    CLOCK: "it asked what time it is",
    LOAD: "it asked how busy or how full the machine is",
}


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
    def texts(self) -> tuple[str, str, str]:
        """A PROGRAM's path, the name that it was called by, its script or first argument."""
        return _texts_in(self.payload)

    @property
    def paths(self) -> tuple[str, str]:
        first, _, second = self.payload.partition(b"\0")
        return first.decode(errors="surrogateescape"), decode(second)


class Told(NamedTuple):
    """The arguments of a program whose arguments count."""

    process: int
    program: Record
    cwd: str
    words: tuple[str, ...]
    whole: bool  # there was no more
    has_input: bool  # its standard input is not /dev/null


class Life(NamedTuple):
    """The questions of a process, from its beginning or from its last program on."""

    process: int
    questions: list[bytes]  # keys; the first is that of its program, if it began with one
    program: Record | None

    @classmethod
    def of(cls, process: int, questions: list[bytes]) -> Life:
        first = record_of(questions[0], process) if questions else None
        return cls(process, questions, first if first and first.kind == PROGRAM else None)


def record_of(key: bytes, process: int) -> Record:
    """A key has kind, flags and payload of a record."""
    return Record(key[0] | key[1] << 8, key[2] | key[3] << 8, process, key[4:])


@lru_cache(maxsize=4096)
def _texts_in(payload: bytes) -> tuple[str, str, str]:
    path, name, *rest = payload.split(b"\0")
    return decode(path), decode(name), decode(rest[0]) if rest else ""


@lru_cache(maxsize=64)  # nearly all steps of a build have the same
def _variables_in(environment: bytes) -> tuple[tuple[str, str], ...]:
    texts = environment.decode(errors="surrogateescape").split("\0")
    return tuple((name, value) for name, _, value in (each.partition("=") for each in texts))


class _Fields(NamedTuple):
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
    clock_ns: int  # the wall clock then, less CLOCK_MONOTONIC
    took_ns: int
    key: bytes
    rest: bytes
    counted: bytes  # a digest of its environment
    alive: int
    expected: int  # number of the entry that would have answered, or -1
    terminal: int  # its columns plus 1, where a program measured it
    keys: list[bytes]  # of all records, in their order
    processes: list[int]  # of all records
    lives: list[Life]
    deeds: list[Record]  # all records that are no questions, and programs
    positions: list[int]  # of the deeds


class UnitLog(_Fields):
    """Everything that is known of a unit."""

    @property
    def records(self) -> Sequence[Record]:
        """All of them: hundreds of questions among a dozen of deeds."""
        return list(map(record_of, self.keys, self.processes))

    @property
    def environment(self) -> bytes:
        """As its program was given it, each entry up to a zero byte; but for what is ignored."""
        return self._variables(0)

    @property
    def ignored(self) -> bytes:
        """The same of variables that count where a program asks for them alone."""
        return self._variables(VARIABLES_IGNORED)

    def _variables(self, which: int) -> bytes:
        found = (each for each in self.deeds if each.kind == ENVIRONMENT)
        return next((each.payload for each in found if each.flags & 1 == which), b"")

    @cached_property
    def is_cut(self) -> bool:
        """Its environment is longer than what is said of it."""
        return any(each.kind == ENVIRONMENT and each.flags & VARIABLES_CUT for each in self.deeds)

    @cached_property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """Of its environment, in their order."""
        return _variables_in(self.environment)

    @property
    def outlets(self) -> int:
        """What its output led to."""
        return self.streams & ~3

    @cached_property
    def said(self) -> tuple[bytes, bytes]:
        """On its output and on its error output: as its spawner read it, or it itself wrote."""
        kind = TEXT if self.captured else SAID
        said = [record for record in self.deeds if record.kind == kind]
        return (
            b"".join(each.payload for each in said if each.flags != 2),
            b"".join(each.payload for each in said if each.flags == 2),
        )

    @cached_property
    def told(self) -> Sequence[Told]:
        """What its programs were told, in the order in which they began."""
        programs: dict[int, Record] = {}
        told = []
        for record in self.deeds:
            if record.kind == PROGRAM:
                programs[record.process] = record
            elif record.kind == WORDS and record.process in programs:
                cwd, *words = record.payload.decode(errors="surrogateescape").split("\0")[:-1]
                flags = record.flags
                told.append(Told(
                    record.process, programs[record.process], cwd, tuple(words),
                    not flags & CUT, bool(flags & HAS_INPUT),
                ))  # fmt: skip
        return told

    @cached_property
    def words(self) -> tuple[str, str, list[str]]:
        """Program, working directory, arguments."""
        for record in self.deeds:
            if record.kind == KEY:
                texts = record.payload.split(b"\0")[:-1]
                program, cwd, *arguments = (text.decode(errors="surrogateescape") for text in texts)
                return program, cwd, arguments
        return "", "", []


def decode(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="surrogateescape")


def is_device(path: str) -> bool:
    """A device like /dev/null. In /dev/shm lie files, and some builds make outputs there."""
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")


def _forget_asked_again(
    keys: list[bytes], processes: list[int], lives: Sequence[tuple[int, list[bytes]]]
) -> None:
    """What a fork asks that its parent had asked before.

    The library writes most of that not down, as a fork has its parent's memory of questions; but
    there one question may displace another, by their hashes and so by the workspace's path. A fork
    counts as a program that is not known: what it asks counts for more.
    """
    asked: dict[int, set[bytes]] = {}  # by process, and by the forks that it is of
    forks: dict[int, set[bytes]] = {}  # what was asked before each, until it is another program
    again: dict[int, set[bytes]] = {}
    for at, (key, process) in enumerate(zip(keys, processes, strict=True)):
        if key[0] == PROGRAM:
            asked[process] = set()
            forks.pop(process, None)
        elif key[0] == FORKED:
            parent = int.from_bytes(key[4:], "little")
            forks[process] = asked.get(parent, set()).copy()
            asked[process] = forks[process].copy()
        elif key[0] in QUESTIONS:
            if key in forks.get(process, ()):
                again.setdefault(process, set()).add(key)
                keys[at] = NOTHING
            asked.setdefault(process, set()).add(key)
    for process, questions in lives:
        if process in again and not (questions and questions[0][0] == PROGRAM):
            questions[:] = [key for key in questions if key not in again[process]]


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
    end = max(HEAD.size, min(fields[2], END_MAX))
    try:
        keys, processes, lives, positions = core.records(
            data, HEAD.size, end, questions=_QUESTION_BITS, program=PROGRAM, known=_KNOWN
        )
    except ValueError:
        raise Torn from None
    forks = {processes[at] for at in positions if keys[at][0] == FORKED}
    if any(process in forks and asked and asked[0][0] != PROGRAM for process, asked in lives):
        _forget_asked_again(keys, processes, lives)
    (_, _, _, started, enlisted, failed, forked, vouched, spoke, taint, taint_process, streams,
     captured, _root, status, began_ns, _ended_ns, began_at, ended_at, key, rest, alive, expected,
     terminal, counted) = fields  # fmt: skip
    return UnitLog(
        path, started, enlisted, failed, forked, vouched, bool(spoke), taint, taint_process,
        streams, bool(captured), status, began_ns, began_ns - began_at, ended_at - began_at,
        key, rest, counted, alive, expected - 1, terminal, keys, processes,
        [Life.of(*life) for life in lives],
        [record_of(keys[at], processes[at]) for at in positions], positions,
    )  # fmt: skip


INPUT, OUTPUT, LISTED = 0, 1, 2  # why it was asked for


def hosted_of(record: Record) -> tuple[str, int, Hosted]:
    """Path, why it was asked for, and what it was."""
    size, inode, mtime, ctime, mode, kept, digest = HOSTED.unpack_from(record.payload)
    path, link = record._replace(payload=record.payload[HOSTED.size :]).paths
    return path, record.flags, Hosted(size, inode, mtime, ctime, mode, bool(kept), digest, link)
