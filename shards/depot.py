"""The store's directory: whose it is, and where in it each writer works.

    <store>/velo-store          says that velo made it (MARKER)
            sha256/ab/cdef...   blobs, see cas.py
            corrupt/            blobs that were not what their names say
            staging/<writer>/   one for each writer, which holds a flock on it
            roots/              which blobs are needed, see roots.py
            collected           when a server last compared it with its cap, see collector.py

The marker is the store's lock, too: shared by processes that rely on what they find there,
exclusive for the collector, which removes. All pass a lock on the directory first, so that the
collector's turn comes.

In: a directory that the user named. Out: a store's, or a refusal. Never: anything removed but what
has the place, the name and the kind of what velo made: the user may have named ~/Documents.

A staging directory whose lock is free belongs to a dead writer, and is removed. (Not pids: the
cache may be shared by containers.)
[touches disk]
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from . import plain
from .errors import NotAStore, StoreFull, StoreUnusable

MARKER = "velo-store"
MARKER_TEXT = b"velo store 1: made by velo, which may remove files below sha256/ and staging/\n"
COLLECTED = "collected"  # its mtime: when a server last looked whether the store is above its cap
OURS = ("sha256", "staging", "corrupt", "roots")
LOCK_WAIT_S = 60.0  # the collector holds it for milliseconds, a writer for one batch
LOCK_POLL_S = 0.005
BLOB_DIRECTORY = re.compile(r"[0-9a-f]{2}")
STAGING_NAME = re.compile(r"[0-9a-f]{16}")
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
STAGED_NAME = re.compile(r"[0-9]+(\.lz4)?")


def prepare(directory: Path) -> None:
    """Make `directory` a store, or see that it is one.

    What an earlier velo made has no marker; it is known by having nothing else in it.

    Raises:
        NotAStore: it has things in it that velo did not make; nothing was changed.
        OSError: it cannot be made, read or written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if _is_marked(directory):
        return
    stranger = stranger_in(directory)
    if stranger is not None:
        raise NotAStore(directory=str(directory), found=stranger)
    plain.write(directory / MARKER, MARKER_TEXT)  # shards may race here


def set_files_aside(directory: Path) -> None:
    """A thing that stands where a directory of the store should be, and is none, gets another name.

    Raises:
        OSError: it cannot be moved; it is as it was.
    """
    for name in OURS:
        path = directory / name
        if os.path.lexists(path) and not path.is_dir():
            os.replace(path, directory / f"{name}.unreadable")


def is_store(directory: str | Path) -> bool:
    """True when velo made it."""
    return _is_marked(directory)


@contextmanager
def shared(directory: str | Path) -> Iterator[None]:
    """Nothing that is found in the store is removed meanwhile. Not to be nested.

    Raises:
        OSError: it is no store, or a collector has been removing for LOCK_WAIT_S.
    """
    with ExitStack() as held:
        with _locked(directory, fcntl.LOCK_SH):  # in line behind a collector that waits
            held.enter_context(_locked(os.path.join(directory, MARKER), fcntl.LOCK_SH))
        yield


@contextmanager
def exclusively(directory: str | Path) -> Iterator[None]:
    """No process relies on what it finds in the store meanwhile; as `shared`."""
    with (
        _locked(directory, fcntl.LOCK_EX),
        _locked(os.path.join(directory, MARKER), fcntl.LOCK_EX),
    ):
        yield


@contextmanager
def _locked(path: str | Path, how: int) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    deadline = time.monotonic() + LOCK_WAIT_S
    try:
        while True:
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.ETIMEDOUT, "others hold the store's lock") from None
                time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(fd)


def has_blob(directory: str | Path, digest: bytes) -> bool:
    """True when the store has something under the name `digest`."""
    name = digest.hex()
    blob = os.path.join(directory, "sha256", name[:2], name[2:])
    return os.path.isfile(blob) or os.path.isfile(f"{blob}.lz4")


def stranger_in(directory: str | Path) -> str | None:
    """The name of something in `directory` that keeps it from being a store; None: it may be one.

    Raises:
        OSError: it cannot be read.
    """
    if not os.path.isdir(directory) or _is_marked(directory):
        return None
    for entry in os.scandir(directory):
        if not entry.name.startswith(MARKER + ".") and not _is_ours(entry):
            return entry.name
    return None


def _is_marked(directory: str | Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(os.lstat(os.path.join(directory, MARKER)).st_mode)
    return False


def _is_ours(entry: os.DirEntry[str]) -> bool:
    if entry.name in (MARKER, COLLECTED):  # another shard was faster, just now
        return entry.is_file(follow_symlinks=False)
    if entry.name not in OURS or not entry.is_dir(follow_symlinks=False):
        return False
    names = os.listdir(entry.path) if entry.name in ("sha256", "staging") else []
    pattern = STAGING_NAME if entry.name == "staging" else BLOB_DIRECTORY
    return all(pattern.fullmatch(name) for name in names)


def claim_staging(parent: Path) -> tuple[Path, int]:
    """A new staging directory and the descriptor that holds its lock."""
    while True:
        path = parent / os.urandom(8).hex()
        path.mkdir(mode=0o700)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # A sweeper took it at once, for a dead writer's.
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return path, fd
        except (BlockingIOError, FileNotFoundError):
            pass  # A sweeper took it between open and flock.
        os.close(fd)


def remove_if_dead(staging: str) -> bool:
    """Remove a staging directory whose writer is dead, under its lock, so none can claim it."""
    if not STAGING_NAME.fullmatch(os.path.basename(staging)):
        return False
    try:
        fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return remove_staging(fd, staging)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def remove_staging(fd: int, path: str | Path) -> bool:
    """Remove the staging directory open as `fd`; it stays when it holds what we did not stage."""
    with suppress(OSError):
        for name in os.listdir(fd):
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if STAGED_NAME.fullmatch(name) and stat.S_ISREG(found.st_mode):
                os.unlink(name, dir_fd=fd)
        os.rmdir(path)
        return True
    return False


def refusal(directory: Path, error: OSError, wanted_bytes: int = 0) -> StoreFull | StoreUnusable:
    """The VeloError for what the disk under the store said."""
    if error.errno not in FULL_ERRNOS:
        return StoreUnusable(directory=str(directory), reason=error.strerror or str(error))
    free_bytes = 0
    with suppress(OSError):
        room = os.statvfs(directory)
        free_bytes = room.f_bavail * room.f_frsize
    return StoreFull(directory=str(directory), wanted_bytes=wanted_bytes, free_bytes=free_bytes)
