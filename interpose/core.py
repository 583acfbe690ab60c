"""The Python door to the core: one class over an arena, one function over its router's socket.

In: a directory that holds an arena, node numbers, digests. Out: values that mirror velo.h, and
OSError with the core's errno. Never: policy; the shards decide what leaves memory and when.

Every method that may wait releases the GIL, and one Region may be shared by threads. What a
NodeInfo says was true when it was read; `version` tells `stored` whether it still is.
[touches shared memory]
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, NamedTuple

from . import _core

EVERY_HOME = 2**32 - 1
SHARDS_MAX: int = _core.SHARDS_MAX
PATTERNS_MAX: int = _core.PATTERNS_MAX

# enum velo_state
BACKED, DISK, COLD = 1, 2, 3
STATE_NAMES = ("none", "backed", "disk", "cold")
# enum velo_escape, in its order
ESCAPE_NAMES = (
    *("opaque", "direct", "across", "syscall", "attach"),
    *("unreachable", "peer", "mount", "sandbox", "libc"),
)

# enum velo_residency, in its order
RESIDENCY_NAMES = (
    *("in memory", "watched", "access control lists", "a lock", "an opaque program runs"),
    *("written unseen", "no space", "another user's", "open on disk"),
)

TRACE_TOPICS = ("opaque", "disk", "lock", "space", "sud")  # enum velo_topic, in its order


class Event(NamedTuple):
    """One thing that happened in an arena: what `text`'s placeholders mean is in events.def."""

    ns: int  # CLOCK_REALTIME
    pid: int
    topic: str
    text: str
    a: int
    b: int


class CorruptArena(Exception):
    """`check()` found a broken invariant; the message is the first one."""


class RequestFailed(Exception):
    """The server answered no: `code` as in the table of errors, `str()` what it said."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class NodeInfo(NamedTuple):
    """One regular file, copied without a lock: struct velo_node_info."""

    node: int
    generation: int
    home: int
    state: int
    links: int
    dirty_disk: bool
    dirty_store: bool
    mode: int
    version: int
    charged_bytes: int
    size_bytes: int
    mtime_ns: int
    access_tick: int
    digest: bytes | None


class Missing(IntEnum):
    """Where the bytes are of a file that was removed from memory (`velo_missing`)."""

    NO = 0  # it is there
    ON_DISK = 1
    STORED = 2
    LOST = 3


class FlushResult(NamedTuple):
    """What one `flush` did; `first_error` is a positive errno, or 0."""

    files: int
    directories: int
    bytes: int
    still_open: int
    failed: int
    first_error: int


class ReconcileResult(NamedTuple):
    """What one `reconcile` saw and took in."""

    seen: int
    ingested: int
    changed: int
    vanished: int
    conflicts: int


class Pulse(NamedTuple):
    """The few numbers that a tick looks at; no walk."""

    activity: int
    slice_used_bytes: int
    slice_limit_bytes: int
    used_bytes: int  # of the limit: all slices and the metadata
    limit_bytes: int  # max_memory, or less where others fill the file system
    paused: bool


class Region:
    """One arena, mapped. Use `create` once in its life and `attach` in every other process."""

    directory: str  # where it was attached: meta, i/

    def __init__(self, mapped: _core.Region) -> None:
        self._mapped = mapped
        workspace, socket, shards, max_memory, patterns = mapped.options()
        self.workspace: str = os.fsdecode(workspace)
        self.socket: str = os.fsdecode(socket)
        self.shards: int = shards
        self.max_memory: int = max_memory
        self.patterns: tuple[str, ...] = tuple(patterns)

    @classmethod
    def create(
        cls,
        directory: str,
        *,
        workspace: str,
        alias: str | None = None,
        socket: str,
        patterns: Sequence[str],
        shards: int,
        max_memory: int,
        poison: bool = False,
    ) -> Region:
        """Make an arena in the existing empty `directory` and attach it.

        Args:
            workspace: physical absolute path without a trailing slash.
            alias: another spelling of it, when the user came through a symlink.
            patterns: as in velo.toml: "build/", "/out/", "a/b/", "/absolute/dir/".
            max_memory: bytes, split evenly over the shards.
            poison: for tests: files that are not on disk yet are sockets there.

        Raises:
            OSError: EEXIST, ENOSPC, EINVAL...; what was made so far is removed again.
        """
        _core.create(
            os.fsencode(directory),
            os.fsencode(workspace),
            os.fsencode(alias or ""),
            os.fsencode(socket),
            list(patterns),
            shards,
            max_memory,
            poison,
        )
        return cls.attach(directory)

    @classmethod
    def attach(cls, directory: str) -> Region:
        """Map the arena in `directory`, or in the one that its link `memory` leads to.

        Raises:
            OSError: ENOENT, there is none; EPROTO, another build of velo made it.
        """
        with suppress(OSError):
            directory = os.readlink(os.path.join(directory, "memory"))
        region = cls(_core.Region(os.fsencode(directory)))
        region.directory = directory
        return region

    def scan(self, home: int | None = None) -> list[NodeInfo]:
        """Every regular file of shard `home`, or of all shards; not a snapshot of one instant."""
        return list(self.files(home))

    def files(self, home: int | None = None) -> Iterator[NodeInfo]:
        """The same, some hundred at a time: for callers that may stop early."""
        cursor, first = 0, True
        while cursor != 0 or first:
            first = False
            some, cursor = self._mapped.scan(EVERY_HOME if home is None else home, cursor)
            yield from map(NodeInfo._make, some)

    def info(self, node: int) -> NodeInfo | None:
        """What is known of `node` now, or None when it is no regular file any more."""
        try:
            return NodeInfo._make(self._mapped.info(node))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL, errno.ESTALE):
                return None
            raise

    def pulse(self, home: int) -> Pulse:
        """The numbers a tick of shard `home` looks at; costs less than a microsecond."""
        return Pulse._make(self._mapped.pulse(home))

    def refresh_attributes(self, node: int) -> bool:
        """Refresh charge and attributes; True: it was unlinked and unused, and is now freed."""
        try:
            return bool(self._mapped.refresh_attributes(node) == 1)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EBUSY, errno.EAGAIN, errno.ESTALE):
                return False
            raise

    def open_bytes(self, node: int) -> int:
        """A new read-only descriptor on the current bytes (BACKED or DISK).

        Raises:
            OSError: ENOENT, the file is gone; EAGAIN, it is COLD or being replaced.
        """
        return int(self._mapped.open_bytes(node))

    def stored(self, seen: NodeInfo, digest: bytes) -> bool:
        """Note that what was `seen` is in the store as `digest`; False: it changed, or went."""
        return self._unless_busy(
            self._mapped.stored, seen.node, seen.generation, seen.version, digest
        )

    def evict(self, node: int) -> bool:
        """Take a clean file out of memory; False: busy, dirty both ways, changed or gone."""
        return self._unless_busy(self._mapped.evict, node)

    def load(self, node: int, write: Callable[[int, NodeInfo], None]) -> None:
        """Bring a COLD file back: `write(fd, seen)` fills in the bytes of what was `seen`, and they
        are published if that is what has the node then.

        An exception of `write` goes through and the file stays COLD.

        Raises:
            OSError: EALREADY or ENOENT, another process was faster or it is gone; ENOSPC.
        """
        fd, token = self._mapped.load_begin(node)
        try:
            seen = self.info(node)
            if seen is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            write(fd, seen)
        except BaseException:
            os.close(fd)
            with suppress(OSError):  # EBADF: without a descriptor it only cleans up
                self._mapped.load_end(node, 0, 0, token, -1)
            raise
        self._mapped.load_end(node, seen.generation, seen.version, token, fd)  # closes it

    def writeback(self, node: int, *, sync: bool = False) -> bool:
        """Put one file at its real path; False: a writer has it open, it stays dirty.

        Raises:
            OSError: what the disk said; the file stays dirty.
        """
        return bool(self._mapped.writeback(node, _core.FLUSH_SYNC if sync else 0) == 0)

    def flush(
        self, *, programs: bool = False, sync: bool = False, timeout_ms: int = 0
    ) -> FlushResult | None:
        """Put everything dirty on disk, oldest first; None: another process holds the flush lock.

        Args:
            programs: only what exec and dlopen may need.
            sync: fsync each file and directory.
            timeout_ms: how long to wait for the flush lock; 0 tries once.
        """
        flags = (_core.FLUSH_PROGRAMS if programs else 0) | (_core.FLUSH_SYNC if sync else 0)
        try:
            return FlushResult._make(self._mapped.flush(flags, timeout_ms))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ETIMEDOUT):
                return None
            raise

    def reconcile(self, on_conflict: Callable[[str], None]) -> ReconcileResult:
        """Take in what changed on disk while no velo command ran.

        `on_conflict(path)` runs for a dirty file whose disk copy changed too, before memory wins.
        """
        return ReconcileResult._make(self._mapped.reconcile(on_conflict))

    def path_of(self, node: int) -> str:
        """The absolute real path of the first name of `node`.

        Raises:
            OSError: ENOENT, it has no name.
        """
        return str(self._mapped.path_of(node))

    def sweep(self) -> int:
        """Remove tmpfs files that nothing refers to and whose creator is dead; how many."""
        return int(self._mapped.sweep())

    def opaque_await_exit(self, pid: int, name: str) -> None:
        """The running process `pid` could not attach: reconcile when it has ended.

        The caller puts everything on disk before it lets the process go on.
        """
        self._mapped.opaque_await_exit(pid, name)

    def meets(self, fd: int, pid: int) -> bool:
        """The command inherits the socket `fd`, whose other end `pid` (0: unknown) has.

        Is that process outside? Then it sees the disk, like a program that cannot be entered, and
        everything is put there, until no process has the socket any more.
        """
        return self._mapped.meets(fd, pid)

    def tether(self, *, more: bool) -> None:
        """Let go of directories in which nothing waits to be put; with `more`, take the others.

        What waits goes where its directory is, wherever an outsider moved it. Only for shards: it
        keeps descriptors.
        """
        self._mapped.tether(more)

    def missing(self, node: int, *, in_store: bool) -> Missing:
        """Was the file in memory of `node` removed? The node is where its bytes are from now on.

        LOST: they are nowhere; the node is as it was, and `drop_missing` lets its names go.
        """
        return Missing(self._mapped.missing(node, in_store, False))

    def drop_missing(self, node: int) -> bool:
        """The names of a file that is LOST become what the disk has: an older version, or nothing.

        False: another process was faster.

        Raises:
            OSError: the disk could not be asked; it is as it was.
        """
        return self._mapped.missing(node, False, True) > 0

    def lost_roots(self, *, forget: bool = False) -> int:
        """How many hosted directories an outsider removed or moved; `forget` lets them go.

        Only while no process is inside.
        """
        return int(self._mapped.lost_roots(forget))

    def mounts_changed(self) -> None:
        """Something was mounted or unmounted: look whether it concerns hosted directories."""
        self._mapped.mounts_changed()

    def heed_fifos(self) -> None:
        """FIFOs stand outside of hosted directories: programs look whether a file that they open is
        one, and which process has its other end. For the life of the arena."""
        self._mapped.heed_fifos()

    def pause(self, paused: bool) -> None:
        """Stop or resume background flushing, for every shard and every later one."""
        self._mapped.pause(paused)

    def lock_owner(self) -> int:
        """The thread that has the lock of the tree at this moment; 0: none has."""
        return self._mapped.lock_owner()

    def check(self) -> None:
        """Walk everything under the lock.

        Raises:
            CorruptArena: with the first broken invariant.
        """
        why = self._mapped.check()
        if why is not None:
            raise CorruptArena(why)

    def trace(self, topics: Sequence[str]) -> None:
        """Write down what happens of these topics from now on; no topics: nothing."""
        self._mapped.trace_topics(sum(1 << TRACE_TOPICS.index(topic) for topic in topics))

    def events(self, since: int = 0) -> tuple[list[Event], int]:
        """What was written down from event number `since` on, and the number of the next.

        The ring holds some thousand events; older ones are gone.
        """
        kinds = _core.trace_events()
        found, following = self._mapped.trace_read(since)
        return [
            Event(ns, pid, kinds[kind][0].lower(), kinds[kind][1], a, b)
            for ns, pid, kind, a, b in found
            if kind < len(kinds)
        ], following

    def opaque_program(self, index: int) -> str:
        """The name of the opaque program that events call `index`."""
        return str(self._mapped.trace_program(index))

    def statistics(self) -> dict[str, Any]:
        """struct velo_statistics as a dict; walks all files, so not for every tick.

        `files` and `file_bytes` are keyed by state name, `escapes` by reason; `interposed`,
        `opaque` and `raw` map a program's name to {"count", "nanoseconds"}.
        """
        raw: dict[str, Any] = self._mapped.statistics()
        for key in ("files", "file_bytes"):
            raw[key] = dict(list(zip(STATE_NAMES, raw[key], strict=True))[1:])
        raw["escapes"] = dict(zip(ESCAPE_NAMES, raw["escapes"], strict=True))
        for key in ("interposed", "opaque", "raw"):
            raw[key] = {
                name: {"count": count, "nanoseconds": nanoseconds}
                for name, (count, nanoseconds) in raw[key].items()
            }
        return raw

    @staticmethod
    def _unless_busy(call: Callable[..., None], *arguments: Any) -> bool:
        try:
            call(*arguments)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EAGAIN, errno.ESTALE, errno.ENOENT):
                return False
            raise
        return True


def layout_hash() -> int:
    """What two builds must share to map the same arena."""
    return int(_core.layout_hash())


def records(
    log: bytes, at: int, end: int, *, questions: int, program: int, known: dict[bytes, bytes]
) -> tuple[list[bytes], list[int], list[tuple[int, list[bytes]]], list[int]]:
    """The records of a build step's log from byte `at` up to `end`: keys, processes, lives, deeds.

    A key is a record's kind, flags and payload; a life is a process with the keys of those kinds
    whose bits are in `questions`, from a record of kind `program` on; deeds are the positions of
    all other records, and of programs. `known` makes equal keys of questions one object, for all
    logs that it is given for.

    Raises:
        ValueError: a record is torn, or the log was cut.
    """
    return _core.records(log, at, end, questions, program, known)


def sorted_low(numbers: Iterable[int]) -> list[int]:
    """The low 32 bits of numbers of 64, in the order of the whole ones."""
    return _core.sorted_low(numbers)


def grouped(numbers: Iterable[int], *, mix: int, mask: int) -> list[bytes]:
    """Numbers of 32 bits, packed, in parts: one ends where `mix` times the number has no bit of
    `mask`."""
    return _core.grouped(numbers, mix, mask)


def sha256(data: bytes) -> bytes:
    """As hashlib's, which takes 5 ms to be there: for what a command needs at its start."""
    return _core.sha256(data)


def request(
    socket: str, verb: str, payload: Sequence[bytes] = (), *, timeout_ms: int
) -> list[bytes]:
    """Ask the router at `socket` one question over a fresh connection; the ok reply's payload.

    Speaks ZMTP with the preload's own client: no pyzmq, no thread, under a millisecond.

    Raises:
        RequestFailed: the server said no, with its code and message.
        TimeoutError: no answer in `timeout_ms`; asking again is harmless.
        ConnectionError: no process listens, or the peer does not speak velo's protocol.
    """
    try:
        code, answer = _core.request(os.fsencode(socket), verb, list(payload), timeout_ms)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise ConnectionError(error.errno, f"{socket}: {error.strerror}") from error
    if isinstance(answer, bytes):
        raise RequestFailed(code, os.fsdecode(answer))
    return answer
