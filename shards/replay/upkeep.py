"""What a user does with all entries of a workspace: count them, check their bytes, forget them.

In: a store, a workspace, and its arena's memory, if there is one. Out: numbers. Never: the removal
of a blob that another workspace's image names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from .blobs import Blobs
from .entries import KEY_AT, NO_KEY, Reader
from .index import Index, Owner, image_of, write_image
from .ledger import Ledger
from .sealer import directory_of, locked, salt


class Status(NamedTuple):
    entries: int
    index_bytes: int
    blobs: int
    blob_bytes: int


class Verified(NamedTuple):
    entries: int
    blobs: int
    unsound: int  # missing or damaged
    dropped: int  # entries


class Upkeep:
    """The replay data of one workspace, with or without an arena."""

    def __init__(self, *, store: str, workspace: str, memory: str) -> None:
        self._ledger = Ledger(store, workspace)
        self._blobs = Blobs(self._ledger.blobs)
        self._directory = directory_of(memory)
        self._owner = Owner(salt(), str(self._ledger.blobs))

    def status(self) -> Status:
        with self._locked():
            reader = self._reader()
            if reader is None:
                return Status(0, 0, 0, 0)
            digests = _blobs_of(reader)
            sizes = [self._blobs.size(digest) for digest in digests]
            return Status(len(reader.live()), reader.used, len(digests), sum(sizes))

    def verify(self) -> Verified:
        """Drop each entry of which an output in the store is missing or has other bytes.

        Raises:
            OSError: the image cannot be written; programs of the arena see the drops already.
        """
        with self._locked():
            reader = self._reader()
            if reader is None:
                return Verified(0, 0, 0, 0)
            entries, digests = reader.live(), _blobs_of(reader)
            unsound = {digest for digest in digests if not self._blobs.is_sound(digest)}
            bad = [entry.number for entry in entries if reader.blobs_of(entry) & unsound]
            if bad:
                self._drop(reader, set(bad))
            for digest in unsound:
                self._blobs.remove(digest)
            return Verified(len(entries), len(digests), len(unsound), len(bad))

    def clear(self) -> tuple[int, int]:
        """Forget all entries: their number, and the bytes that the store got back."""
        with self._locked():
            reader = self._reader()
            digests = _blobs_of(reader) if reader is not None else set()
            count = len(reader.live()) if reader is not None else 0
            self._ledger.clear()
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, "index"))
            shutil.rmtree(self._ledger.unsure, ignore_errors=True)
            freed = [self._blobs.remove(each) for each in digests - self._named_by_others()]
            return count, sum(freed)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        there = os.path.isdir(self._directory)
        with locked(self._directory) if there else nullcontext():
            yield

    def _reader(self) -> Reader | None:
        """What programs find, else what they would find next time."""
        path = os.path.join(self._directory, "index")
        if os.path.exists(path):
            return Index(path, owner=self._owner, image=str(self._ledger.image))
        data = image_of(str(self._ledger.image), self._owner)
        return None if data is None else Reader(data)

    def _drop(self, reader: Reader, numbers: set[int]) -> None:
        if isinstance(reader, Index):
            for number in numbers:
                reader.drop(number)
            reader.save()
            return
        data = bytearray(reader.data)
        for offset, entry in reader.walk():
            if entry.number in numbers:
                at = offset * 8 + KEY_AT
                data[at : at + len(NO_KEY)] = NO_KEY
        write_image(str(self._ledger.image), bytes(data))

    def _named_by_others(self) -> set[bytes]:
        named: set[bytes] = set()
        for path in Path(self._ledger.directory).glob("*.index"):
            data = image_of(str(path), None) if path != self._ledger.image else None
            if data is not None:
                named |= _blobs_of(Reader(data))
        return named


def _blobs_of(reader: Reader) -> set[bytes]:
    return {digest for entry in reader.live() for digest in reader.blobs_of(entry)}
