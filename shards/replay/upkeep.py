"""What a user does with all entries of a workspace: count them, check their bytes, forget them.

In: a store, a workspace, and its arena's memory, if there is one. Out: numbers. Never: the removal
of a blob that another workspace's image names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

from . import commons
from .blobs import Blobs
from .entries import KEY_AT, NO_KEY, Reader
from .index import Index, Owner, image_of, write_image
from .ledger import Ledger
from .spool import directory_of, locked, salt


class Status(NamedTuple):
    entries: int
    index_bytes: int
    blobs: int
    blob_bytes: int
    more_bytes: int  # reports, and what `velo explain` remembers
    store_blobs: int  # of all workspaces
    store_bytes: int

    @property
    def bytes(self) -> int:
        """What counts against `[replay] max_size`."""
        return self.index_bytes + self.blob_bytes + self.more_bytes


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
            every = list(commons.blobs_in(self._ledger.directory))
            shared = self._ledger.bytes, len(every), sum(blob.size_bytes for blob in every)
            if reader is None:
                return Status(0, 0, 0, 0, *shared)
            digests = commons.names_in(reader)
            sizes = [self._blobs.size(digest) for digest in digests]
            return Status(len(reader.live()), reader.used, len(digests), sum(sizes), *shared)

    def verify(self) -> Verified:
        """Drop each entry of which an output in the store is missing or has other bytes.

        Raises:
            OSError: the image cannot be written; programs of the arena see the drops already.
        """
        with self._locked():
            reader = self._reader()
            if reader is None:
                return Verified(0, 0, 0, 0)
            entries, digests = reader.live(), commons.names_in(reader)
            unsound = {digest for digest in digests if not self._blobs.is_sound(digest)}
            bad = [entry.number for entry in entries if reader.blobs_of(entry) & unsound]
            if bad:
                self._drop(reader, set(bad))
            for digest in unsound:
                self._blobs.remove(digest)
            return Verified(len(entries), len(digests), len(unsound), len(bad))

    def clear(self) -> tuple[int, int]:
        """Forget all entries: their number, and the bytes that the store got back.

        Raises:
            OSError: the store's lock cannot be had; outputs are left for `velo gc`.
        """
        with self._locked():
            reader = self._reader()
            digests = commons.names_in(reader) if reader is not None else set()
            count = len(reader.live()) if reader is not None else 0
            self._ledger.clear()
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, "index"))
            shutil.rmtree(self._ledger.unsure, ignore_errors=True)
            return count, commons.remove_unnamed(self._ledger.directory, digests)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        there = os.path.isdir(self._directory)
        with locked(self._directory) if there else nullcontext():
            yield

    def _reader(self) -> Reader | None:
        """The index that programs find, else the one that they would find next time."""
        path = os.path.join(self._directory, "index")
        if os.path.exists(path):
            return Index(path, owner=self._owner, image=self._ledger.image)
        data = image_of(self._ledger.image, self._owner)
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
        write_image(self._ledger.image, bytes(data))
