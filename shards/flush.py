"""Flush: what memory has and the disk has not, brought to the real tree and into the store.

    flush_tree    everything dirty of all shards -> real paths, oldest mtime first, one at a time
    flush_older   the same, only up to a given mtime: what an eviction needs
    store_files   this shard's files the store has not -> CAS -> the core learns the digest
    record        this shard's files -> manifest

In: the arena. Out: files that survive the arena. Never: a file marked stored or put that is not; a
failure leaves it dirty and in memory, for the next try.

Why the tree first: it is what programs look at after `velo exec`, and a file that is on disk can
leave memory at once; its way into the store then starts from the disk.
[touches shared memory and disk]
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from velo.interpose.core import BACKED, COLD, DISK, FlushResult, NodeInfo, Region

from . import depot
from .cas import Batch, FileChanged, MostlyHole, NotStored, Store
from .errors import FlushLockBusy, ManifestDamaged, TreeRefused, VeloError

if TYPE_CHECKING:
    from .manifest import Entry, Manifest
    from .roots import Pins

BATCH_FILES_MAX = 512
BATCH_BYTES_MAX = 256 << 20
FLUSH_LOCK_TURN_MS = (
    1000  # how long one wait for the flush lock blocks before the caller may give up
)


def never() -> bool:
    """The `stop` of work that runs to its end."""
    return False


# ---- the tree ------------------------------------------------------------------------------------


def flush_tree(
    region: Region, *, timeout_ms: int, sync: bool = False, stop: Callable[[], bool] = never
) -> FlushResult:
    """Put everything dirty, of all shards, at its real path; with `sync`, durably.

    `sync` covers what was put earlier, too: it is one syncfs for each hosted directory.

    Raises:
        FlushLockBusy: another process was flushing for `timeout_ms` (0: right now); ask again.
        TreeRefused: the disk refused some files; they stay dirty, the others are on disk.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    turn_ms = min(timeout_ms, FLUSH_LOCK_TURN_MS)
    while (result := region.flush(sync=sync, timeout_ms=turn_ms)) is None:
        if stop() or time.monotonic() >= deadline:
            raise FlushLockBusy(waited_ms=timeout_ms)
    if result.failed or result.first_error:
        reason = os.strerror(result.first_error)
        raise TreeRefused(paths=not_on_disk(region), reason=reason)
    return result


def not_on_disk(region: Region) -> list[str]:
    """The paths of what the disk has not, of all shards, sorted."""
    waiting = (info for info in region.scan() if info.links and info.dirty_disk)
    return sorted(named_path(region, info) for info in waiting)


def named_path(region: Region, info: NodeInfo) -> str:
    """What to call the file in a sentence, also when its path cannot be said."""
    try:
        return region.path_of(info.node)
    except OSError as error:
        return f"file {info.node} ({error.strerror})"


def flush_older(region: Region, newest_ns: int, *, stop: Callable[[], bool] = never) -> int:
    """Put every dirty file, of all shards, whose mtime is at most `newest_ns`, oldest first.

    So the disk stays a prefix of the build's history even when files leave memory early. A file
    that a writer has open is passed over: it could not leave. Returns how many are clean now.

    Raises:
        OSError: what the disk said to the first file it refused; later ones were not tried.
    """
    for info in region.scan():
        if info.dirty_disk:
            region.refresh_attributes(info.node)  # the kernel may know a later mtime
    dirty = [info for info in region.scan() if info.dirty_disk and info.mtime_ns <= newest_ns]
    done = 0
    for info in sorted(dirty, key=_history):
        if info.links and info.state == BACKED and not _is_being_written(region, info.node):
            done += region.writeback(info.node)
        if stop():
            break
    return done


# ---- the store -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """What one `store_files` did."""

    files: int = 0
    changed: int = 0  # written to meanwhile: stay dirty, the next flush takes them
    holes: int = 0  # too sparse for the store: on disk only


def store_files(
    region: Region,
    store: Store,
    infos: Iterable[NodeInfo],
    *,
    stop: Callable[[], bool] = never,
    careful: bool = False,
) -> Stored:
    """Put those of `infos` that the store has not into it, oldest first, in durable batches.

    `careful`: for files that will be in the store only.

    `stop` is asked before each file; what was batched so far is still made durable.

    Raises:
        StoreFull, StoreUnusable: files not yet marked stay dirty; batches done before are kept.
    """
    waiting = [info for info in infos if info.dirty_store and info.links and _has_bytes(info)]
    files = changed = holes = 0
    for group in _groups(sorted(waiting, key=_history)):
        if stop():
            break
        done = _store_group(region, store, group, stop, careful)
        files += done.files
        changed += done.changed
        holes += done.holes
    return Stored(files, changed, holes)


def _store_group(
    region: Region, store: Store, group: list[NodeInfo], stop: Callable[[], bool], careful: bool
) -> Stored:
    added: list[tuple[NodeInfo, bytes]] = []
    changed = holes = 0
    refused: VeloError | None = None
    with store.batch(careful=careful) as batch:
        for info in group:
            if stop():
                break
            try:
                found = _add(region, batch, info.node)
            except VeloError as error:  # keep what fits before telling
                refused = error
                break
            except MostlyHole:
                holes += 1
                continue
            if found is None:
                changed += 1
            else:
                added.append(found)
        batch.commit()
    kept = sum(region.stored(seen, digest) for seen, digest in added)
    if refused is not None:
        raise refused
    return Stored(kept, changed + len(added) - kept, holes)


def refill(
    region: Region, store: Store, infos: Iterable[NodeInfo], *, stop: Callable[[], bool] = never
) -> int:
    """The store may have vanished: put back what it should have and memory or the disk still has.

    A file that is no longer what was stored stays as it is. Returns how many were put back;
    `store.vanished` is False afterwards, unless `stop` said to leave.

    Raises:
        StoreFull, StoreUnusable: batches done before are kept.
    """
    missing = [
        info
        for info in infos
        if info.links and info.digest and not info.dirty_store and _has_bytes(info)
        if store.find(info.digest) is None
    ]
    done = 0
    for group in _groups(sorted(missing, key=_history)):
        with store.batch() as batch:
            for info in group:
                if stop():
                    return done
                done += _store_again(region, batch, info)
            batch.commit()
    store.vanished = False
    return done


def _store_again(region: Region, batch: Batch, info: NodeInfo) -> bool:
    try:
        fd = region.open_bytes(info.node)
    except OSError:
        return False
    try:
        return batch.add(fd) == info.digest
    except NotStored:
        return False
    finally:
        os.close(fd)


def _add(region: Region, batch: Batch, node: int) -> tuple[NodeInfo, bytes] | None:
    """Stage one file; what it was and its digest, or None when it is being written or is gone."""
    region.refresh_attributes(node)  # the kernel may know of writes that velo did not count yet
    info = region.info(node)
    if info is None or not info.dirty_store:
        return None
    try:
        fd = region.open_bytes(node)
    except OSError:
        # Gone, or being loaded; or on disk, below a directory that is closed even to its owner, or
        # at a path longer than PATH_MAX. It is in the tree; the next flush asks again.
        return None
    try:
        if os.fstat(fd).st_size < info.size_bytes and _nobody_writes(fd):
            region.missing(node, in_store=False)  # somebody cut it off in memory: is it on disk?
            return None
        digest = batch.add(fd)
        # A writer raises the version when it opens the file. So if no process writes now, and the
        # version is the same when the core is told, the bytes that were read are the file's.
        return (info, digest) if _nobody_writes(fd) else None
    except FileChanged:
        return None
    finally:
        os.close(fd)


def _groups(infos: Iterable[NodeInfo]) -> Iterator[list[NodeInfo]]:
    """Batches bounded in number and bytes: a failure repeats little, memory and disk stay small."""
    group: list[NodeInfo] = []
    size_bytes = 0
    for info in infos:
        if group and (len(group) >= BATCH_FILES_MAX or size_bytes >= BATCH_BYTES_MAX):
            yield group
            group, size_bytes = [], 0
        group.append(info)
        size_bytes += max(info.size_bytes, info.charged_bytes)  # size may not be settled yet
    if group:
        yield group


# ---- what will be in the store only --------------------------------------------------------------


def pin(region: Region, store: Store, pins: Pins, infos: Iterable[NodeInfo]) -> None:
    """Pin those of `infos` that the store has and the tree has not: their blobs stay.

    They are pinned first, then their blobs checked: a collector that did not see the pin has ended
    by then.

    Raises:
        VeloError: the store refused; the pins are as before.
    """
    again = (region.info(info.node) for info in infos if info.dirty_disk)
    waiting = {
        info.digest: info
        for info in again
        if info is not None and info.digest and info.dirty_disk and not info.dirty_store
    }
    wanted = [info for digest, info in waiting.items() if digest not in pins]
    if not wanted:
        return
    with _refused_by(pins.path):
        pins.add(waiting)
    with store.relied_on():
        missing = [info for info in wanted if info.digest and not store.holds(info.digest)]
    lost = set(_missing_still(region, store, missing))
    if lost:
        with _refused_by(pins.path):
            pins.drop(lost)


def _missing_still(region: Region, store: Store, missing: list[NodeInfo]) -> Iterator[bytes]:
    """Put them back; the digests of those that could not be."""
    for group in _groups(missing):
        with store.batch(careful=True) as batch:
            lost = [info for info in group if not _store_again(region, batch, info)]
            batch.commit()
        yield from (info.digest for info in lost if info.digest)


def pin_exactly(pins: Pins, infos: Iterable[NodeInfo]) -> None:
    """Pinned is what is in the store only, and nothing else any more.

    Raises:
        StoreFull, StoreUnusable: what is pinned is as before.
    """
    with _refused_by(pins.path):
        cold = [info for info in infos if info.links and info.state == COLD]
        pins.replace(info.digest for info in cold if info.digest)


@contextmanager
def _refused_by(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise depot.refusal(path.parent, error) from error


# ---- the manifest --------------------------------------------------------------------------------


class Recorder:
    """Keeps the manifest at `path` true with few looks at the disk. Used by one thread.

    Opened by the first flush: a shard that starts has no time for sqlite and its fsyncs.
    """

    def __init__(self, path: Path, *, announce: Callable[[Path], None] = lambda path: None) -> None:
        """`announce` is told where the manifest is, whenever something is recorded."""
        self._path = path
        self._announce = announce
        self._opened: Manifest | None = None
        self._known: dict[bytes, tuple[int, int, int]] = {}  # path: node, generation, version
        self.notices: list[str] = []  # what the user should hear, once

    def record(self, region: Region, infos: Iterable[NodeInfo]) -> None:
        """Record those of `infos` that are stored and on disk; forget paths that are no more.

        Raises:
            StoreFull, StoreUnusable: the manifest is as before.
            ManifestDamaged: twice in a row; it was set aside.
        """
        infos = list(infos)
        try:
            self._record(region, infos)
        except ManifestDamaged as damage:
            self._forget()
            self.notices.append(str(damage))
            self._record(region, infos)

    def _record(self, region: Region, infos: list[NodeInfo]) -> None:
        manifest = self._manifest()
        present: dict[bytes, tuple[int, int, int]] = {}
        entries = []
        for info in infos:
            for path in map(os.fsencode, path_of(region, info)):
                present[path] = (info.node, info.generation, info.version)
                if not info.dirty_disk and not info.dirty_store:
                    entries += self._entry_if_new(path, info, present[path])
        gone = manifest.paths() - present.keys()
        if entries or gone:
            with suppress(OSError):  # in a store that cannot be written nothing is removed
                self._announce(self._path)
            manifest.replace(gone, entries)
        self._known.update({entry.path: present[entry.path] for entry in entries})
        for path in gone:
            self._known.pop(path, None)

    def close(self) -> None:
        """Close the database, if it was opened."""
        if self._opened is not None:
            self._opened.close()

    def _manifest(self) -> Manifest:
        if self._opened is not None and not self._opened.is_there():
            self._forget()
        if self._opened is None:
            from .manifest import Manifest

            self._opened = Manifest(self._path)
            if self._opened.damage is not None:
                self.notices.append(str(self._opened.damage))
        return self._opened

    def _forget(self) -> None:
        """The next record opens it anew, and writes all of it."""
        self.close()
        self._opened = None
        self._known.clear()

    def _entry_if_new(
        self, path: bytes, info: NodeInfo, identity: tuple[int, int, int]
    ) -> list[Entry]:
        if self._known.get(path) == identity:
            return []
        try:
            disk = os.lstat(path)
        except OSError:
            return []  # COLD, or removed outside: the next reconcile knows better
        from .manifest import Entry

        return [
            Entry(
                path=path,
                kind="file",
                mode=disk.st_mode,
                uid=disk.st_uid,
                gid=disk.st_gid,
                mtime_ns=info.mtime_ns,
                size_bytes=_within_64_bits(info.size_bytes),
                digest=info.digest,
                target=None,
                disk_device=disk.st_dev,
                disk_inode=disk.st_ino,
                disk_mtime_ns=_within_64_bits(disk.st_mtime_ns),
                disk_ctime_ns=_within_64_bits(disk.st_ctime_ns),
            )
        ]


# ---- small rules ---------------------------------------------------------------------------------


def _within_64_bits(number: int) -> int:
    """Of a time after 2261, or a size that no file has, the last that fits; a file that differs
    then is looked at again."""
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def _history(info: NodeInfo) -> tuple[int, int]:
    return info.mtime_ns, info.node


def _has_bytes(info: NodeInfo) -> bool:
    return info.state in (BACKED, DISK)


def is_dirty(info: NodeInfo) -> bool:
    """True when a flush of this shard has something to do for it; unlinked files need none."""
    return bool(info.links) and (info.dirty_disk or info.dirty_store)


def is_stranded(info: NodeInfo) -> bool:
    """True for a file that is in the store only because the tree refused it."""
    return bool(info.links) and info.state == COLD and info.dirty_disk


def path_of(region: Region, info: NodeInfo) -> list[str]:
    """One path of the file; none when it has no name any more, or one longer than PATH_MAX."""
    if not info.links:
        return []
    try:
        return [region.path_of(info.node)]
    except OSError:
        return []


def _is_being_written(region: Region, node: int) -> bool:
    try:
        fd = region.open_bytes(node)
    except (FileNotFoundError, BlockingIOError):
        return True
    try:
        return not _nobody_writes(fd)
    finally:
        os.close(fd)


def _nobody_writes(fd: int) -> bool:
    """The kernel refuses a read lease while any process has the file open for writing."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # A file on a disk that knows no leases: programs of ours write to it in memory only.
        return error.errno != errno.EAGAIN
    return True
