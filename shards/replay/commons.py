"""What the workspaces of a store share of replay: the blobs; and which workspaces still exist.

    images, and the indexes of arenas that run -> which blobs are named -> the others may go

A blob that an entry names may be missing all the same (a user's hand, `velo gc` for want of room):
such an entry does not answer, and its step runs. So a blob that goes too early costs time, and
never a result.

Why a lock: a process that names blobs in an index holds it (shared) from the question "is this blob
there?" until the entry is in the index. One that removes holds it alone while it asks what is
named.

In: the directory `replay` of a store. Out: digests, sizes. Never: what velo did not make; what
another user owns is not read.
[touches disk]
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from . import json_files
from .blobs import Blobs
from .entries import HEAD, MAX_BYTES, Reader
from .index import MAGIC, image_of
from .ledger import PLACE

DIRECTORY = "replay"  # of a store
GRACE_S = 600.0  # a younger blob may be about to be named
UNSURE_S = 30 * 86400.0
BLOB_NAME = re.compile(r"[0-9a-f]{62}")
PART_NAME = re.compile(r"[0-9a-f]{2}")
# A temporary file: its writer was killed.
LEFT_NAME = re.compile(r"[0-9a-f]{16,62}(\.[a-z.]+)?\.[0-9a-f]{1,16}")


class Blob(NamedTuple):
    """One file of `blobs/`."""

    path: str
    digest: bytes
    size_bytes: int  # what the disk holds for it
    used_at: float


class Swept(NamedTuple):
    """What was of no use any more."""

    workspaces: int  # that are gone
    files: int
    bytes: int


@contextmanager
def naming(directory: Path) -> Iterator[None]:
    """No blob is removed meanwhile.

    Raises:
        OSError: the lock cannot be had.
    """
    with _locked(directory, fcntl.LOCK_SH):
        yield


@contextmanager
def removing(directory: Path) -> Iterator[None]:
    """No process begins to rely on a blob meanwhile; as `naming`."""
    with _locked(directory, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(directory / "lock", flags, 0o600)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def named(directory: Path, *, besides: Collection[str] = ()) -> set[bytes]:
    """The blobs that some entry of some workspace names, kept or not yet kept.

    Args:
        besides: names of workspaces (ledger.py) that do not count.
    """
    found: set[bytes] = set()
    for path in directory.glob("*.index"):
        data = None if _name_of(path) in besides else image_of(str(path), None)
        if data is not None:
            found |= names_in(Reader(data))
    for path in directory.glob(f"*{PLACE}"):
        if _name_of(path) not in besides:
            found |= _named_in_arena((json_files.read(path) or {}).get("index"))
    return found


def _name_of(path: Path) -> str:
    """The workspace's, in the name of one of its files."""
    return path.name.partition(".")[0]


def names_in(reader: Reader) -> set[bytes]:
    """The blobs that these entries name."""
    return {digest for entry in reader.live() for digest in reader.blobs_of(entry)}


def _named_in_arena(path: object) -> set[bytes]:
    """The blobs that an index names which programs have mapped; its arena may have ended."""
    if not isinstance(path, str) or "\0" in path:
        return set()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return set()
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_size != MAX_BYTES:
            return set()
        with mmap.mmap(fd, MAX_BYTES, prot=mmap.PROT_READ) as there:
            whole = HEAD.unpack_from(there)[0] == MAGIC
            return names_in(Reader(there)) if whole else set()
    except (OSError, ValueError):
        return set()
    finally:
        os.close(fd)


def remove_unnamed(directory: Path, digests: set[bytes]) -> int:
    """Of these, remove what no entry names; the bytes that were given back.

    Raises:
        OSError: the lock cannot be had; nothing was removed.
    """
    if not digests:
        return 0
    blobs = Blobs(directory / "blobs")
    with removing(directory):
        return sum(blobs.remove(each) for each in digests - named(directory))


def blobs_in(directory: Path) -> Iterator[Blob]:
    """All blobs."""
    for path, status, part in _files_in(directory / "blobs"):
        if BLOB_NAME.fullmatch(path.name):
            digest = bytes.fromhex(part + path.name)
            yield Blob(str(path), digest, 512 * status.st_blocks, status.st_mtime)


def _files_in(blobs: Path) -> Iterator[tuple[Path, os.stat_result, str]]:
    if blobs.is_symlink() or not blobs.is_dir():
        return
    for part in sorted(blobs.iterdir()):
        if not PART_NAME.fullmatch(part.name) or part.is_symlink() or not part.is_dir():
            continue
        for path in part.iterdir():
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path, status, part.name


def sweep(directory: Path, *, dry_run: bool = False, grace_s: float = GRACE_S) -> Swept:
    """Forget workspaces that are gone, and remove blobs that no entry names and what killed writers
    left. What is younger than `grace_s` stays.

    Raises:
        OSError: the directory cannot be read, or the lock cannot be had.
    """
    if not directory.is_dir():
        return Swept(0, 0, 0)
    oldest = time.time() - grace_s
    with removing(directory):
        names = {_name_of(path) for path in directory.glob("*.*")}
        gone = {each for each in names if _is_gone(directory, each, oldest)}
        files = [path for path in directory.rglob("*") if _is_of(directory, path, gone)]
        files += _left_by_the_dead(directory, oldest)
        kept = named(directory, besides=gone)
        files += [
            Path(each.path)
            for each in blobs_in(directory)
            if each.digest not in kept and each.used_at < oldest
        ]
        removed = _remove(dict.fromkeys(files), dry_run=dry_run)
    return Swept(len(gone), *removed)


def _is_of(directory: Path, path: Path, names: set[str]) -> bool:
    """Is it one of these workspaces' files, or in a directory of theirs?"""
    return _name_of(Path(path.relative_to(directory).parts[0])) in names


def _is_gone(directory: Path, name: str, oldest: float) -> bool:
    """Its workspace is no directory any more, and nothing of it was written lately."""
    if not re.fullmatch(r"[0-9a-f]{16}", name):
        return False
    for path in directory.glob(f"{name}.*"):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime > oldest:
                return False
    workspace = (json_files.read(directory / f"{name}{PLACE}") or {}).get("workspace")
    if not isinstance(workspace, str) or "\0" in workspace:
        return True
    try:
        return not stat.S_ISDIR(os.stat(workspace).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _left_by_the_dead(directory: Path, oldest: float) -> list[Path]:
    """Temporary files of writers, and what first runs made whose second never came."""
    left = []
    for path in [*directory.iterdir(), *(path for path, _, _ in _files_in(directory / "blobs"))]:
        if not LEFT_NAME.fullmatch(path.name):
            continue
        with suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_mtime < oldest:
                left.append(path)
    for path in directory.glob("*.unsure/*"):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < oldest - UNSURE_S:
                left.append(path)
    return left


def _remove(files: dict[Path, None], *, dry_run: bool) -> tuple[int, int]:
    count = freed = 0
    for path in files:
        try:
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue  # what was in it is listed, too; an empty directory takes no room
            if not dry_run:
                path.unlink()
        except OSError:
            continue
        count, freed = count + 1, freed + 512 * status.st_blocks
    return count, freed
