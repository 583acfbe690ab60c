"""The content-addressed store: bytes on disk under the sha256 of what they are.

    fd -> Batch.add: hash, compress -> staging/<writer>/<n>   (temporary, one per file)
          Batch.commit: sync data -> rename to sha256/ab/cdef... -> sync directories
    digest -> Store.read_into: find, decompress, hash again -> fd

In: descriptors of files of any size; memory use stays below a few `CHUNK_BYTES`. Out: digests
that are durable, bytes that were verified. Never: a blob under its name that is not whole.

A blob is `cdef...` (the bytes themselves: sha256sum agrees with its name) or `cdef....lz4` (a
standard LZ4 frame, when that saves at least 5 %: `lz4 -d` and sha256sum agree). No header of our
own: a user can get the bytes back without velo.

C1  Data is synced before the rename that makes it visible, so a name that exists is whole.
C2  Blobs never change. Two writers of the same bytes are both right; the last rename wins.
C3  Each writer stages in a directory of its own and holds a flock on it (depot.py).
C4  Only a directory that velo made is a store, and only what velo made is removed there (depot.py).
C5  A store that vanished (a user may `rm -rf` a cache at any time) is made anew at the next use.
C6  While a batch is open nothing that it found is removed; a blob's mtime is its last use
    (collector.py).
[touches disk]
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import lz4.frame

from . import depot, plain
from .errors import BlobCorrupt, BlobMissing, VeloError

CHUNK_BYTES = 1 << 20
WORTH_RATIO = 0.95  # a compressed blob is kept when it is at most this much of the raw size
TINY_BYTES = 64  # below this an LZ4 frame (at least 15 bytes of frame) cannot be worth it
HOLE_BYTES_MAX = 256 << 20  # so much of a file may be hole, or as much as is data
USED_EVERY_S = 60.0  # so exactly the last use of a blob is known
SYNC_EACH_MAX = 8  # up to so many new blobs fdatasync each; above, one syncfs is cheaper
COMPRESSED = ".lz4"


@dataclass(slots=True)
class StoreCounters:
    """What a Store did since it was opened."""

    blobs_written: int = 0
    blobs_present: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0
    blobs_read: int = 0


class NotStored(Exception):
    """Nothing was stored of a file, without an error: it is not for now, or not for the store."""


class FileChanged(NotStored):
    """The file changed while it was read; nothing was stored of it. Ask again later."""


class MostlyHole(NotStored):
    """A digest is of all bytes, and hours of zeros are not worth one: it lives in the tree only."""


class Store:
    """The blobs below one directory, for one process; threads may share it."""

    def __init__(self, directory: Path, *, may_wait: bool = False) -> None:
        """Open the store, making its directories.

        Args:
            may_wait: what keeps it from being opened now is said by the first batch instead; a
                shard has other work, and its disk may come back.

        Raises:
            NotAStore: the directory is there, and velo did not make it; it is untouched.
            StoreUnusable: a directory cannot be made or written.
        """
        self.directory = directory
        self.counters = StoreCounters()
        self.vanished = True  # what was stored before us may be gone; the first flush looks
        self._blobs = directory / "sha256"
        self._blobs_were: os.stat_result | None = None
        self._staging_parent = directory / "staging"
        self._staging = self._staging_parent
        self._numbers = count()
        self._lock_fd = -1
        try:
            self._open()
        except VeloError:
            if not may_wait:
                raise

    def _open(self) -> None:
        with self._refusals(0):
            depot.prepare(self.directory)
            depot.set_files_aside(self.directory)
            self._blobs.mkdir(exist_ok=True, mode=0o700)
            self._staging_parent.mkdir(exist_ok=True, mode=0o700)
            self._staging, self._lock_fd = depot.claim_staging(self._staging_parent)
            self._blobs_were = os.stat(self._blobs)

    def renew(self) -> None:
        """Make the store anew when it was removed, or another is in its place.

        Raises:
            NotAStore, StoreUnusable: it cannot be; ask again later.
        """
        try:
            staging = os.path.samestat(os.stat(self._staging), os.fstat(self._lock_fd))
            assert self._blobs_were is not None
            if staging and os.path.samestat(os.stat(self._blobs), self._blobs_were):
                return
        except OSError:
            pass
        self.vanished = True
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            depot.remove_staging(fd, self._staging)
            os.close(fd)
        self._open()

    def close(self) -> None:
        """Give the staging directory back; batches that were not committed are gone."""
        if self._lock_fd >= 0:
            depot.remove_staging(self._lock_fd, self._staging)
            os.close(self._lock_fd)
            self._lock_fd = -1

    def batch(self, *, careful: bool = False) -> Batch:
        """A new, empty batch of puts; `careful`: a blob that is there is read before it is relied
        on, for the store's will be the only copy."""
        self.renew()
        return Batch(self, careful=careful)

    @contextmanager
    def relied_on(self) -> Iterator[None]:
        """Blobs that are found in the store meanwhile stay there until the end.

        Raises:
            StoreUnusable: it is not there, or another process holds its lock for minutes.
        """
        with ExitStack() as held:
            with self._refusals(0):
                depot.prepare(self.directory)
                held.enter_context(depot.shared(self.directory))
            yield

    def put(self, fd: int) -> bytes:
        """Store the bytes behind `fd` and return their digest; a batch of one."""
        with self.batch() as batch:
            digest = batch.add(fd)
            batch.commit()
        return digest

    def find(self, digest: bytes) -> Path | None:
        """Where the blob is, or None."""
        raw = self._path(digest)
        for path in (raw, raw.with_name(raw.name + COMPRESSED)):
            if path.is_file():
                return path
        return None

    def read_into(self, digest: bytes, fd: int) -> int:
        """Write the blob's bytes to `fd` from its position on; how many they were.

        A blob that is not what its name says is moved to `corrupt/`, so that the next put of the
        right bytes repairs the store.

        Raises:
            BlobMissing: there is no such blob; nothing was written.
            BlobCorrupt: what was written to `fd` is rubbish.
            StoreUnusable: the disk failed while reading.
            OSError: `fd` refused the bytes (ENOSPC).
        """
        path = self.find(digest)
        if path is None:
            raise BlobMissing(digest=digest.hex())
        hasher, size = hashlib.sha256(), 0
        try:
            for chunk in self._raw_chunks(path):
                hasher.update(chunk)
                _write_all(fd, chunk)
                size += len(chunk)
        except (RuntimeError, EOFError) as error:  # what lz4.frame raises for a torn frame
            raise self._quarantine(path, digest, f"is not a whole LZ4 frame ({error})") from None
        if hasher.digest() != digest:
            raise self._quarantine(path, digest, "has other bytes than its name promises")
        self.counters.blobs_read += 1
        _used(path)
        return size

    def holds(self, digest: bytes) -> bool:
        """True when the blob is there and is what its name says, which is looked at to the end.

        One that is not is moved to `corrupt/`.
        """
        try:
            with open(os.devnull, "wb", buffering=0) as nowhere:
                self.read_into(digest, nowhere.fileno())
        except VeloError:
            return False
        return True

    def sweep(self) -> int:
        """Remove the staging directories of dead writers; how many."""
        swept = 0
        if self._lock_fd < 0:
            return swept
        for entry in os.scandir(self._staging_parent):
            if entry.name != self._staging.name:
                swept += depot.remove_if_dead(entry.path)
        return swept

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name[2:]

    def _raw_chunks(self, path: Path) -> Iterator[bytes]:
        with self._refusals(0), plain.opened(path) as blob:
            if path.suffix != COMPRESSED:
                while chunk := blob.read(CHUNK_BYTES):
                    yield chunk
                return
            decompressor = lz4.frame.LZ4FrameDecompressor()
            while not decompressor.eof:
                packed = blob.read(CHUNK_BYTES) if decompressor.needs_input else b""
                if decompressor.needs_input and not packed:
                    raise EOFError("it ends early")
                yield decompressor.decompress(packed, max_length=CHUNK_BYTES)
            if decompressor.unused_data or blob.read(1):
                raise EOFError("more bytes follow it")

    def _quarantine(self, path: Path, digest: bytes, reason: str) -> BlobCorrupt:
        aside = self.directory / "corrupt" / (digest.hex() + path.suffix)
        with suppress(OSError):
            aside.parent.mkdir(exist_ok=True, mode=0o700)
            os.replace(path, aside)
            path = aside
        return BlobCorrupt(digest=digest.hex(), path=str(path), reason=reason)

    @contextmanager
    def _refusals(self, wanted_bytes: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise depot.refusal(self.directory, error, wanted_bytes) from error


class Batch:
    """Blobs on their way into a store: `add` stages, `commit` makes all of them durable.

    As a context manager it removes what was staged and not committed.
    """

    def __init__(self, store: Store, *, careful: bool = False) -> None:
        self._store = store
        self._careful = careful
        self._staged: dict[bytes, Path] = {}  # digest -> temporary file
        self._present: set[bytes] = set()
        self._lock = ExitStack()
        self.staged_bytes = 0

    def __enter__(self) -> Batch:
        self._lock.enter_context(self._store.relied_on())
        return self

    def __exit__(self, *_: object) -> None:
        for temporary in self._staged.values():
            _drop(temporary)
        self._staged.clear()
        self._lock.close()

    def __len__(self) -> int:
        return len(self._staged) + len(self._present)

    def add(self, fd: int) -> bytes:
        """Stage the bytes of the regular file behind `fd` (any position) and return their digest.

        Raises:
            FileChanged: the bytes changed between hashing and copying.
            MostlyHole: its size is far beyond what is in it (a disk image of 2 TB).
            StoreFull, StoreUnusable: the disk refused; the file was not staged, the rest was.
        """
        found = os.fstat(fd)
        size, data_bytes = found.st_size, 512 * found.st_blocks
        if size - data_bytes > max(HOLE_BYTES_MAX, data_bytes):
            raise MostlyHole
        if size <= CHUNK_BYTES:
            return self._add_small(_read_whole(fd))
        digest = _digest_of(fd)
        if not self._known(digest):
            self._stage_large(fd, digest, size)
        return digest

    def commit(self) -> None:
        """Make what was added durable under its names.

        Raises:
            StoreFull, StoreUnusable: nothing, or only some of it, is in the store; all that is
                there is whole. Ask again with a new batch.
        """
        with self._store._refusals(self.staged_bytes):
            _sync_files(list(self._staged.values()))
            touched = {self._store._path(digest).parent for digest in self._present}
            for digest, temporary in list(self._staged.items()):
                touched.add(self._publish(digest, temporary))
                del self._staged[digest]
            for directory in sorted(touched):
                _sync_directory(directory)
        self._present.clear()
        self.staged_bytes = 0

    def _known(self, digest: bytes) -> bool:
        if digest in self._staged or digest in self._present:
            return True
        found = self._store.find(digest)
        if found is None:
            return False
        _used(found)
        if self._careful and not self._store.holds(digest):
            return False
        # Its writer may not have synced the directory yet; commit does, which is cheap when done.
        self._present.add(digest)
        self._store.counters.blobs_present += 1
        return True

    def _add_small(self, raw: bytes) -> bytes:
        digest = hashlib.sha256(raw).digest()
        if not self._known(digest):
            packed = lz4.frame.compress(raw) if len(raw) > TINY_BYTES else raw
            worth = len(packed) <= WORTH_RATIO * len(raw) and len(packed) < len(raw)
            with self._staging_file(len(raw), COMPRESSED if worth else "") as (out, temporary):
                _write_all(out, packed if worth else raw)
            self._took(digest, temporary, len(raw))
        return digest

    def _stage_large(self, fd: int, digest: bytes, size: int) -> None:
        with self._staging_file(size, COMPRESSED) as (out, temporary):
            worth = _copy(fd, out, digest, compress=True) <= WORTH_RATIO * size
        if not worth:
            temporary.unlink()
            with self._staging_file(size, "") as (out, temporary):
                _copy(fd, out, digest, compress=False)
        self._took(digest, temporary, size)

    def _took(self, digest: bytes, temporary: Path, size: int) -> None:
        stored_bytes = temporary.stat().st_size
        self._staged[digest] = temporary
        self.staged_bytes += stored_bytes
        counters = self._store.counters
        counters.blobs_written += 1
        counters.raw_bytes += size
        counters.stored_bytes += stored_bytes

    @contextmanager
    def _staging_file(self, wanted_bytes: int, suffix: str) -> Iterator[tuple[int, Path]]:
        store = self._store
        path = store._staging / f"{next(store._numbers)}{suffix}"
        try:
            with store._refusals(wanted_bytes):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
                try:
                    yield fd, path
                finally:
                    os.close(fd)
        except BaseException:
            _drop(path)
            raise

    def _publish(self, digest: bytes, temporary: Path) -> Path:
        final = self._store._path(digest)
        if temporary.suffix == COMPRESSED:
            final = final.with_name(final.name + COMPRESSED)
        try:
            os.replace(temporary, final)
        except FileNotFoundError:
            final.parent.mkdir(exist_ok=True, mode=0o700)
            os.replace(temporary, final)
            _sync_directory(final.parent.parent)
        return final.parent


def sync_filesystem(fd: int) -> None:
    """syncfs(2): everything on the file system of `fd` is durable when this returns."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_libc = ctypes.CDLL(None, use_errno=True)  # CDLL calls release the GIL


def _drop(temporary: Path) -> None:
    """What cannot be removed is swept later; why it is to go is the error to tell."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _used(path: Path) -> None:
    """Note this use, for the collector, which removes by last use."""
    with suppress(OSError):
        if time.time() - os.lstat(path).st_mtime > USED_EVERY_S:
            os.utime(path, follow_symlinks=False)


def _read_whole(fd: int) -> bytes:
    """All bytes of a small file; it may have grown since its size was asked."""
    parts, offset = [], 0
    while part := os.pread(fd, CHUNK_BYTES, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _chunks(fd: int) -> Iterator[bytes]:
    offset = 0
    while chunk := os.pread(fd, CHUNK_BYTES, offset):
        yield chunk
        offset += len(chunk)


def _digest_of(fd: int) -> bytes:
    hasher = hashlib.sha256()
    for chunk in _chunks(fd):
        hasher.update(chunk)
    return hasher.digest()


def _copy(fd: int, out: int, digest: bytes, *, compress: bool) -> int:
    """Copy `fd` to `out`, and prove that it still has `digest`; the bytes written."""
    hasher, written = hashlib.sha256(), 0
    packer = lz4.frame.LZ4FrameCompressor()
    if compress:
        written += _write_all(out, packer.begin())
    for chunk in _chunks(fd):
        hasher.update(chunk)
        written += _write_all(out, packer.compress(chunk) if compress else chunk)
    if compress:
        written += _write_all(out, packer.flush())
    if hasher.digest() != digest:
        raise FileChanged
    return written


def _write_all(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)


def _sync_files(paths: list[Path]) -> None:
    if len(paths) > SYNC_EACH_MAX:
        with _opened(paths[0].parent) as fd:
            sync_filesystem(fd)
        return
    for path in paths:
        with _opened(path) as fd:
            os.fdatasync(fd)


def _sync_directory(path: Path) -> None:
    with _opened(path) as fd:
        os.fsync(fd)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
