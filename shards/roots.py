"""Roots: which blobs of a store are needed, and by which arena.

    <store>/roots/OWNER           pins: digests of what is in the store and nowhere else
            roots/kept-DIGEST     a pin of what an outsider wrote while memory had a newer version
            roots/NAME.manifest   where a manifest is, which knows more digests

A pin is kept whatever the cap is. A blob that only manifests know is in the tree, too, and leaves
when all blobs that no manifest knows have left (collector.py). A new part of velo that needs blobs
pins them, or adds a function that yields digests to `SOURCES`.

In: digests. Out: the same, of all owners of the store: workspaces, containers, other caches. Never:
a pin that is not durable when `add` returns; a file of pins that is half written.
[touches disk]
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from . import depot, plain
from .errors import StoreUnusable

DIRECTORY = "roots"
MANIFEST = ".manifest"
NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")

# More owners of pins: what they yield for the store's directory is kept.
SOURCES: list[Callable[[Path], Iterable[bytes]]] = []


class Pins:
    """The pins of one owner. Used by one thread at a time.

    Invariant: what `in` says is pinned is in the file.
    """

    def __init__(self, store: Path, owner: str) -> None:
        assert NAME.fullmatch(owner)
        self.path = store / DIRECTORY / owner
        self._digests: set[bytes] | None = None  # not looked at yet

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._read() and self.path.exists()

    def add(self, digests: Iterable[bytes]) -> None:
        """Pin these, too; durable on return.

        Raises:
            OSError: none of them is pinned.
        """
        self.replace(self._read() | set(digests))

    def replace(self, digests: Iterable[bytes]) -> None:
        """Pin exactly these; as `add`."""
        wanted = set(digests)
        if wanted == self._read() and (not wanted or self.path.exists()):
            return
        if wanted:
            text = "".join(f"{digest.hex()}\n" for digest in sorted(wanted))
            _replace_durably(self.path, text.encode())
        else:
            self.path.unlink(missing_ok=True)
        self._digests = wanted

    def drop(self, digests: Iterable[bytes]) -> None:
        """Pin these no more; as `add`."""
        self.replace(self._read() - set(digests))

    def _read(self) -> set[bytes]:
        if self._digests is None:
            with suppress(StoreUnusable):  # what is damaged is written anew by the next flush
                self._digests = _digests_in(self.path)
        return self._digests or set()


def keep(store: Path, digest: bytes) -> None:
    """Pin bytes that an outsider wrote and that are nowhere else, until the pin is removed by hand.

    Raises:
        OSError: it is not pinned.
    """
    Pins(store, f"kept-{digest.hex()[:24]}").add([digest])


def owner_of(arena: str, index: int) -> str:
    """The name of a shard here: arenas have random names, and keep them when they are adopted."""
    name = os.path.basename(arena)
    return f"{name}-{index}" if NAME.fullmatch(f"{name}-{index}") else _hashed(arena, index)


def _hashed(*parts: object) -> str:
    return hashlib.sha256(os.fsencode("/".join(map(str, parts)))).hexdigest()[:24]


def register_manifest(store: Path, manifest: Path) -> None:
    """Let the collector know where a manifest is.

    Raises:
        OSError: it does not.
    """
    path = store / DIRECTORY / f"{_hashed(manifest)}{MANIFEST}"
    text = os.fsencode(manifest)
    if not path.is_file() or plain.read(path) != text:
        _replace_durably(path, text)


def pinned(store: Path) -> set[bytes]:
    """The digests that have to stay.

    Raises:
        StoreUnusable: some pins cannot be read: nothing may be removed.
    """
    found: set[bytes] = set()
    for path in _roots_in(store):
        if NAME.fullmatch(path.name):
            found |= _digests_in(path)
    for source in SOURCES:
        found.update(source(store))
    return found


def recorded(store: Path) -> set[bytes]:
    """The digests that manifests know. A manifest that is gone, or damaged, knows none."""
    from .manifest import digests_in  # sqlite, only for a collector

    found: set[bytes] = set()
    for path in _roots_in(store):
        if path.suffix == MANIFEST and NAME.fullmatch(path.stem):
            with suppress(OSError):
                found |= digests_in(Path(os.fsdecode(plain.read(path))))
    return found


def _roots_in(store: Path) -> list[Path]:
    try:
        return sorted((store / DIRECTORY).iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(store / DIRECTORY, error.strerror or str(error)) from error


def _digests_in(path: Path) -> set[bytes]:
    try:
        lines = plain.read_text(path).splitlines()
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if not all(DIGEST.fullmatch(line) for line in lines):
        raise _unreadable(path, "it has lines that are no digests")
    return {bytes.fromhex(line) for line in lines}


def _unreadable(path: Path, reason: str) -> StoreUnusable:
    return StoreUnusable(directory=str(path), reason=reason)


def _replace_durably(path: Path, text: bytes) -> None:
    if not depot.is_store(path.parent.parent):  # nothing is made in a directory that is no store
        raise FileNotFoundError(errno.ENOENT, "velo did not make it")
    path.parent.mkdir(exist_ok=True, mode=0o700)
    plain.write(path, text, durably=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
