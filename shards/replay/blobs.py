"""Bytes of outputs: from the arena, where a step's end left them, into the store.

In: outputs, each with its digest. Out: a file `blobs/xx/...` for each long one, whole; the bytes
of short ones, which go into the index. Never: a blob whose bytes are not what its name says.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from . import analysis
from .analysis import NotCached, Output

INLINE_BYTES = 4096
KEPT_S = 5.0
SUFFIX = ".b"  # of what the library keeps in the arena


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

    def is_sound(self, digest: bytes) -> bool:
        """Is it there, with the bytes that its name says? Reads all of it."""
        try:
            with open(self.path(digest), "rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == digest
        except OSError:
            return False

    def size(self, digest: bytes) -> int:
        """In bytes; 0 of one that is not there, since no blob is empty."""
        try:
            return self.path(digest).stat().st_size
        except OSError:
            return 0

    def remove(self, digest: bytes) -> int:
        """The bytes that were given back."""
        path, size_bytes = self.path(digest), self.size(digest)
        try:
            path.unlink()
        except OSError:
            return 0
        with suppress(OSError):
            path.parent.rmdir()
        return size_bytes

    def _write(self, digest: bytes, data: bytes) -> None:
        blob = self.path(digest)
        temporary = blob.with_name(f"{blob.name}.{os.getpid()}")
        blob.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, blob)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def forget_kept(arena: str) -> None:
    """Remove what sealed units left, but new files: a unit keeps its bytes before it ends."""
    before = time.time() - KEPT_S
    left = list(os.scandir(arena))
    if any(entry.name.endswith(".f") for entry in left):  # a unit that waits may mean any of them
        return
    for entry in left:
        if entry.name.endswith(SUFFIX):
            with suppress(OSError):
                if entry.stat().st_mtime < before:
                    os.unlink(entry.path)
