"""What a shard can be asked: one function for each verb, and the only code that changes state.

    main thread         space, load, writeback, tether, status, make_room (milliseconds)
    worker thread       barrier, sync, unload, idle_flush                        (seconds)

In: a Shard, numbers from a request. Out: None or a status object; a VeloError says why not. Never:
bytes lost: a file leaves memory only when the core agrees that it is on disk or in the store.
Each may be repeated: it finds the work done and says ok.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from velo.interpose.core import BACKED, COLD, FlushResult, NodeInfo, Pulse, Region

from . import flush, missing, reaper, roots, stats
from .cas import Store
from .errors import FilesLost, LoadFailed, ShardFull, TreeRefused, VeloError
from .flush import Recorder, never
from .lru import Lru
from .roots import Pins
from .stats import Counters, Trouble

HIGH_WATER = 0.90  # of the limit (max_memory, or less in a full file system): eviction begins
PRESSED = 0.75  # from here on a shard looks more often
LOW_WATER = 0.80  # what it goes down to, so that the next file does not wait again
SPACE_PATIENCE_S = 0.25  # files that are open now may be closed in a moment
SPACE_POLL_S = 0.02
SPACE_SHARE = 0.25  # of the thread's time, for clients that wait for space that does not come
BARRIER_TIMEOUT_MS = 590_000  # just below the router's deadline for BARRIER
SYNC_ROUNDS_MAX = 3  # a file that changes while it is stored is tried so often


@dataclass(slots=True)
class Shard:
    """One shard's doors and notes.

    `lru` and `pins` are used under `evicting_now` by both threads, `recorder` by the worker thread
    only; the rest may be used by both at any time.
    """

    region: Region
    index: int
    store: Store
    recorder: Recorder
    pins: Pins
    lru: Lru = field(default_factory=Lru)
    counters: Counters = field(default_factory=Counters)
    flushing: Trouble = field(default_factory=Trouble)
    evicting: Trouble = field(default_factory=Trouble)
    lost: list[str] = field(default_factory=list)  # whose memory was removed; told once
    evicting_now: threading.Lock = field(default_factory=threading.Lock)
    worker_thread: str = "idle"  # what the other thread does now

    @classmethod
    def open(cls, *, arena: str, index: int, cas_dir: Path, manifest: Path) -> Shard:
        """Attach to the arena; the store is tried, and tried again by each step that needs it.

        Raises:
            OSError: there is no arena of this build in `arena`.
        """
        region = Region.attach(arena)
        recorder = Recorder(manifest, announce=partial(roots.register_manifest, cas_dir))
        pins = Pins(cas_dir, roots.owner_of(arena, index))
        return cls(region, index, Store(cas_dir, may_wait=True), recorder, pins)

    def mine(self) -> list[NodeInfo]:
        """The regular files of this shard, now."""
        return self.region.scan(self.index)


# ---- space ---------------------------------------------------------------------------------------


def space(shard: Shard, wanted_bytes: int) -> None:
    """Make room until used + wanted is at most 90 % of the limit; ok when it fits at all.

    Waits up to SPACE_PATIENCE_S for files that are busy.

    Raises:
        ShardFull: everything that may leave has left, and it does not fit.
    """
    space_asked(shard, wanted_bytes)
    deadline = time.monotonic() + SPACE_PATIENCE_S
    while not make_space(shard, [wanted_bytes])[0]:
        if time.monotonic() >= deadline:
            raise space_refused(shard, wanted_bytes)
        time.sleep(SPACE_POLL_S)


def space_asked(shard: Shard, wanted_bytes: int) -> None:
    """Count one client that wants space.

    Raises:
        ShardFull: no eviction could ever make so much.
    """
    shard.counters.space_requests += 1
    if wanted_bytes > shard.region.pulse(shard.index).limit_bytes:
        raise space_refused(shard, wanted_bytes)


def make_space(shard: Shard, wanted: list[int], *, thorough: bool = True) -> list[bool]:
    """Try once for all clients that wait; for each, whether what it wants fits now.

    Args:
        thorough: also look at the files of the other shards, which is for the last one asked.
    """
    make_room(shard, max(wanted))
    fitting = [_fits(shard, wanted_bytes, 1.0) for wanted_bytes in wanted]
    if all(fitting) or not thorough:
        return fitting
    # Charges run ahead of what is written; the other shards' may be what is in the way.
    shard.counters.freed_files += reaper.refresh_attributes(shard.region, shard.region.scan())
    return [_fits(shard, wanted_bytes, 1.0) for wanted_bytes in wanted]


def space_refused(shard: Shard, wanted_bytes: int) -> ShardFull:
    """Count one client that cannot have space; what to tell it."""
    shard.counters.space_refused += 1
    return _full(shard, wanted_bytes)


def is_pressed(shard: Shard, pulse: Pulse) -> bool:
    """True when memory is so full that eviction may soon begin."""
    return pulse.used_bytes > PRESSED * pulse.limit_bytes


def make_room(
    shard: Shard, wanted_bytes: int = 0, *, may_write: bool = True, stop: Callable[[], bool] = never
) -> bool:
    """Above the high-water mark: evict this shard's files, oldest use first, to the low one.

    Clean files leave at once. Dirty ones follow only when that is not enough and `may_write`.
    True when used + wanted is below the high-water mark now.
    """
    if not _fits(shard, wanted_bytes, HIGH_WATER):
        with shard.evicting_now:
            _make_room(shard, wanted_bytes, may_write, stop)
    return _fits(shard, wanted_bytes, HIGH_WATER)


def _make_room(shard: Shard, wanted_bytes: int, may_write: bool, stop: Callable[[], bool]) -> None:
    shard.counters.freed_files += reaper.refresh_attributes(shard.region, shard.mine())
    shard.lru.refresh(shard.mine())
    dirty = []
    for info in shard.lru.victims(shard.region.info):
        if stop() or _fits(shard, wanted_bytes, LOW_WATER):
            return
        if info.dirty_disk:
            dirty.append(info)
        else:
            _evict(shard, info)
    for group in _enough(shard, dirty, wanted_bytes) if may_write else ():
        if stop() or _fits(shard, wanted_bytes, LOW_WATER):
            return
        _write_out(shard, group, stop)
        for info in group:
            _evict(shard, info)


def _write_out(shard: Shard, group: list[NodeInfo], stop: Callable[[], bool]) -> None:
    """Bring dirty files out: to the tree, and where the tree refuses, into the store."""
    newest_ns = max(info.mtime_ns for info in group)
    decide_missing(shard, group, fetch=False)  # that takes the room which is being made
    try:
        shard.counters.writeback_files += flush.flush_older(shard.region, newest_ns, stop=stop)
        shard.evicting.is_over()
        return
    except OSError as error:
        shard.evicting.happened(_tree_refused(shard, error, group[0].node))
    try:
        done = flush.store_files(shard.region, shard.store, group, stop=stop, careful=True)
        shard.counters.stored_files += done.files
        flush.pin(shard.region, shard.store, shard.pins, group)
    except VeloError as error:
        shard.evicting.happened(error)


def _enough(shard: Shard, dirty: list[NodeInfo], wanted_bytes: int) -> list[list[NodeInfo]]:
    """`dirty` in groups, each of which would be enough if all of it could leave."""
    groups: list[list[NodeInfo]] = []
    missing = 0
    for info in dirty:
        if missing <= 0:
            groups.append([])
            missing = _excess(shard, wanted_bytes, LOW_WATER)
        groups[-1].append(info)
        missing -= info.charged_bytes
    return groups


def _evict(shard: Shard, info: NodeInfo) -> None:
    if not _may_leave(shard, info.node):
        return
    if shard.region.evict(info.node):
        shard.counters.evicted_files += 1
        shard.counters.evicted_bytes += info.charged_bytes


def _may_leave(shard: Shard, node: int) -> bool:
    """The file that is there now is on disk, or its blob is pinned."""
    now = shard.region.info(node)
    if now is None or not now.dirty_disk:
        return True
    return now.digest is not None and not now.dirty_store and now.digest in shard.pins


def _excess(shard: Shard, wanted_bytes: int, share: float) -> int:
    pulse = shard.region.pulse(shard.index)
    return pulse.used_bytes + wanted_bytes - int(share * pulse.limit_bytes)


def _fits(shard: Shard, wanted_bytes: int, share: float) -> bool:
    return _excess(shard, wanted_bytes, share) <= 0


def _full(shard: Shard, wanted_bytes: int) -> ShardFull:
    trouble = shard.evicting.error
    pulse = shard.region.pulse(shard.index)
    return ShardFull(
        wanted_bytes=wanted_bytes,
        used_bytes=pulse.used_bytes,
        limit_bytes=pulse.limit_bytes,
        why=f"nothing can leave ({trouble})" if trouble else "the rest is open",
    )


# ---- one file ------------------------------------------------------------------------------------


def load(shard: Shard, node: int) -> None:
    """COLD -> BACKED. Ok when it is no longer COLD.

    Raises:
        LoadFailed: the store cannot give the bytes; the file stays COLD.
        ShardFull: there is no room for it.
    """
    info = shard.region.info(node)
    if info is None or info.state != COLD:
        return
    path = flush.named_path(shard.region, info)
    space(shard, info.size_bytes)
    try:
        shard.region.load(node, lambda fd, seen: _fill(shard, seen, fd))
        shard.counters.loaded_files += 1
    except OSError as error:
        again = shard.region.info(node)
        if again is not None and again.state == COLD:
            raise LoadFailed(path=path, reason=str(error)) from error
    except VeloError as error:
        raise LoadFailed(path=path, reason=str(error)) from error


def _fill(shard: Shard, info: NodeInfo, fd: int) -> None:
    """Reserve, then write: a full tmpfs is an error here, not a signal in a compiler later."""
    if info.digest is None:
        raise FileNotFoundError(errno.ENOENT, "no digest is known; rebuild the file")
    if info.size_bytes:
        os.posix_fallocate(fd, 0, info.size_bytes)
    shard.store.read_into(info.digest, fd)


def writeback(shard: Shard, node: int) -> None:
    """Put one file at its real path; a file that is open for writing is put as it is now.

    A client asks for this, too, when the file's memory is not where it should be.

    Raises:
        TreeRefused: the disk refused; it stays dirty.
    """
    info = shard.region.info(node)
    if info is None or decide_missing(shard, [info]):
        return
    try:
        shard.region.writeback(node)
    except FileNotFoundError:
        return  # removed meanwhile: nothing is what should be there
    except OSError as error:
        raise _tree_refused(shard, error, node) from error


def decide_missing(
    shard: Shard, infos: list[NodeInfo] | None = None, *, fetch: bool = True
) -> bool:
    """Decide about those of `infos` whose memory was removed; None: of all. True: some were.

    Lost files are noted, for the next client that asks for everything.

    Args:
        fetch: put on disk what the store has, by way of memory; else the next flush does.
    """
    found = missing.decide(shard.region, shard.store.holds, infos)
    shard.lost += found.lost
    for node in found.cold if fetch else ():
        with suppress(VeloError):  # else it stays in the store, and the next flush tries it
            load(shard, node)
            writeback(shard, node)
    return found.any


def _tree_refused(shard: Shard, error: OSError, node: int) -> VeloError:
    info = shard.region.info(node)
    paths = [] if info is None else [flush.named_path(shard.region, info)]
    return TreeRefused(paths=paths, reason=error.strerror or str(error))


def tether(shard: Shard, more: int) -> None:
    """Let go of directories in which nothing waits to be put; with `more`, take the others.

    A process that moves one of these directories takes along the files that wait in it.
    """
    shard.region.tether(more=more != 0)


def forget_lost_roots(shard: Shard) -> None:
    """Hosted directories that an outsider removed take their files along, and the memory.

    Only while no process is inside.
    """
    shard.region.lost_roots(forget=True)


# ---- everything ----------------------------------------------------------------------------------


def barrier(shard: Shard) -> None:
    """Everything dirty, of all shards, is at its real path.

    Raises:
        FlushLockBusy, TreeRefused: as `flush.flush_tree`.
        FilesLost, ShardFull: files that are in the store only could not be brought back; all
            others are on disk.
        BytesLost: files were removed from memory; all others are on disk.
    """
    try:
        _flush_everything(shard, timeout_ms=BARRIER_TIMEOUT_MS)
    except VeloError as error:
        missing.tell(shard.lost, str(error))
        raise
    missing.tell(shard.lost)


def _flush_everything(shard: Shard, *, timeout_ms: int, sync: bool = False) -> None:
    lost: list[LoadFailed] = []
    problem: VeloError | None = None
    for info in sorted(shard.mine(), key=lambda info: info.mtime_ns):
        if flush.is_stranded(info):
            try:
                load(shard, info.node)
                writeback(shard, info.node)
            except LoadFailed as error:
                lost.append(error)
            except VeloError as error:
                problem = problem or error
    done = _flush_tree(shard, timeout_ms=timeout_ms, sync=sync)
    shard.counters.writeback_files += done.files
    shard.counters.writeback_bytes += done.bytes
    shard.evicting.is_over()  # what can be put can leave
    if problem is not None:
        raise problem
    if lost:
        raise FilesLost(paths=[error.path for error in lost], reason=lost[0].reason)


def _flush_tree(shard: Shard, *, timeout_ms: int, sync: bool) -> FlushResult:
    try:
        return flush.flush_tree(shard.region, timeout_ms=timeout_ms, sync=sync)
    except TreeRefused:
        if not decide_missing(shard):
            raise
    return flush.flush_tree(shard.region, timeout_ms=timeout_ms, sync=sync)


def sync(shard: Shard) -> None:
    """The tree is on disk, and this shard's files are in the store and the manifest; durably.

    Files being written while this runs are on disk as of some moment of it, and stay dirty.

    Raises:
        As `barrier`, and StoreFull, StoreUnusable. The other parts were done all the same.
    """
    problems: list[VeloError] = []
    for step in (_sync_tree, _store_all, _record):
        try:
            step(shard)
        except VeloError as error:
            problems.append(error)
    shard.counters.flushes += 1
    if problems:
        shard.flushing.happened(problems[0])
        missing.tell(shard.lost, str(problems[0]))
        raise problems[0]
    shard.flushing.is_over()
    missing.tell(shard.lost)


def unload(shard: Shard) -> None:
    """`sync`, then take everything of this shard out of memory that no process has open.

    Raises:
        As `sync`; what is clean has left memory all the same.
    """
    try:
        sync(shard)
    finally:
        mine = [info for info in shard.mine() if info.state == BACKED]
        with suppress(VeloError), shard.evicting_now:
            flush.pin(shard.region, shard.store, shard.pins, mine)
        for info in mine:
            _evict(shard, info)


def idle_flush(shard: Shard, *, stop: Callable[[], bool]) -> None:
    """Flush in the background, giving way when `stop` says that a client works again.

    Raises:
        FlushLockBusy: another shard is putting; the store part was done.
        TreeRefused, StoreFull, StoreUnusable: everything is kept, try again later.
    """
    mine = shard.mine()
    if not any(map(flush.is_dirty, mine)):
        return
    problem: VeloError | None = None
    try:
        _flush_everything(shard, timeout_ms=0)
    except VeloError as error:
        problem = error
    _store_all(shard, stop=stop)
    _record(shard)
    shard.counters.flushes += 1
    if problem is not None:
        raise problem


def _store_all(shard: Shard, *, stop: Callable[[], bool] = never) -> None:
    shard.store.renew()
    if shard.store.vanished:
        if count := flush.refill(shard.region, shard.store, shard.mine(), stop=stop):
            shard.recorder.notices.append(
                f"store vanished: {shard.store.directory} was not what it had been and is filled"
                f" anew; files put back into it: {count}"
            )
    for _ in range(SYNC_ROUNDS_MAX):
        done = flush.store_files(shard.region, shard.store, shard.mine(), stop=stop)
        shard.counters.stored_files += done.files
        shard.counters.changed_while_stored += done.changed
        shard.counters.mostly_hole_files = done.holes
        if not done.changed or stop():
            return


def _sync_tree(shard: Shard) -> None:
    _flush_everything(shard, timeout_ms=BARRIER_TIMEOUT_MS, sync=True)


def _record(shard: Shard) -> None:
    with shard.evicting_now:  # between a pin and its eviction no thread drops the pin
        flush.pin_exactly(shard.pins, shard.mine())
    shard.recorder.record(shard.region, shard.mine())


# ---- looking -------------------------------------------------------------------------------------


def status(shard: Shard) -> dict[str, Any]:
    """This shard's part of `velo status --json`."""
    pulse = shard.region.pulse(shard.index)
    return stats.as_json(
        index=shard.index,
        pid=os.getpid(),
        counters=shard.counters,
        used_bytes=pulse.slice_used_bytes,
        limit_bytes=pulse.slice_limit_bytes,
        paused=pulse.paused,
        worker_thread=shard.worker_thread,
        candidates=len(shard.lru),
        store={
            "directory": str(shard.store.directory),
            "blobs_written": shard.store.counters.blobs_written,
            "blobs_present": shard.store.counters.blobs_present,
            "blobs_read": shard.store.counters.blobs_read,
            "raw_bytes": shard.store.counters.raw_bytes,
            "stored_bytes": shard.store.counters.stored_bytes,
        },
        trouble=shard.flushing.as_json() or shard.evicting.as_json(),
        notices=list(shard.recorder.notices),  # until a sync has told them
    )
