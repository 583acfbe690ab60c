"""Bytes of outputs: from the arena, where a step's end left them, into the store.

In: outputs, each with its digest. Out: a file `blobs/xx/...` for each long one, whole; the bytes
of short ones, which go into the index. Never: a blob whose bytes are not what its name says.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from velo.shards import plain

from . import analysis
from .analysis import NotCached, Output
from .spool import FROZEN, SUFFIX

INLINE_BYTES = 4096
KEPT_S = 5.0


class Blobs:
    """The blobs of a store. Any number of processes may add: equal names have equal bytes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name[2:]

    def keep(self, outputs: list[Output], arena: str) -> dict[bytes, bytes]:
        """Bytes of outputs into the store; those of short ones, by digest.

        Args:
            arena: the directory in which the library left them.

        Raises:
            NotCached: they are not there, or the disk refused.
        """
        inline = {}
        for output in outputs:
            what = output.hosted
            if output.kind != analysis.FILE or what is None:
                continue
            if what.size > INLINE_BYTES and self.size(what.digest) == what.size:
                self.use(what.digest)
                continue
            try:
                data = Path(arena, what.digest.hex() + SUFFIX).read_bytes()
                if len(data) != what.size or hashlib.sha256(data).digest() != what.digest:
                    raise NotCached(f"{output.path} could not be kept")
                if len(data) <= INLINE_BYTES:
                    inline[what.digest] = data
                else:
                    self._write(what.digest, data)
            except OSError as error:
                raise NotCached(f"{output.path} could not be stored: {error.strerror}") from None
        return inline

    def hold(self, sizes: dict[bytes, int], *, read: bool) -> bool:
        """Are all of them there, whole? With `read`, what is damaged is removed."""
        bad = [digest for digest, size in sizes.items() if self.size(digest) != size]
        bad += [digest for digest in sizes if read and not self.is_sound(digest)]
        for digest in bad:
            self.remove(digest)
        return not bad

    def is_sound(self, digest: bytes) -> bool:
        """Is it there, with the bytes that its name says? Reads all of it."""
        if self.size(digest) == 0:
            return False
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with open(os.open(self.path(digest), flags), "rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == digest
        except OSError:
            return False

    def size(self, digest: bytes) -> int:
        """In bytes; 0 of one that is not there, since no blob is empty, or is no file."""
        try:
            status = self.path(digest).lstat()
        except OSError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def use(self, digest: bytes) -> None:
        """Note that it was of use now: what was not for longest leaves a full store first."""
        with suppress(OSError):
            os.utime(self.path(digest), follow_symlinks=False)

    def remove(self, digest: bytes) -> int:
        """The bytes that were given back."""
        path, size_bytes = self.path(digest), self.size(digest)
        try:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()  # not velo's; an empty one can go
            else:
                path.unlink()
        except OSError:
            return 0
        with suppress(OSError):
            path.parent.rmdir()
        return size_bytes

    def _write(self, digest: bytes, data: bytes) -> None:
        blob = self.path(digest)
        try:
            plain.write(blob, data)
        except FileNotFoundError:  # the first in its directory, or that was just removed
            blob.parent.mkdir(mode=0o700, exist_ok=True)
            plain.write(blob, data)


def forget_kept(arena: str) -> None:
    """Remove what sealed units left. The sealer's lock is held, so no unit is sealed meanwhile.

    Not new files while a unit runs: it keeps its bytes before it ends.
    """
    found = list(os.scandir(arena))
    now = time.time()
    names = os.listdir(arena)  # later: a unit that had begun to keep any of `found` is in it
    if any(name.endswith(FROZEN) for name in names):  # a unit that waits may mean any of them
        return
    before = now - KEPT_S if any(name.endswith(".u") for name in names) else now
    for entry in found:
        if entry.name.endswith(SUFFIX):
            with suppress(OSError):
                if entry.stat().st_mtime < before:
                    os.unlink(entry.path)
