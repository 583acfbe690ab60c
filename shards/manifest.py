"""The manifest: what one shard's files are, on disk, for the servers that come after this one.

In: paths, attributes, digests, and how the file looked at its real path after it was put there.
Out: rows. Never: the only copy of anything; a manifest that is damaged is set aside, whenever that
shows, and written anew; so is one that was removed or replaced while it was open.

One sqlite database per shard (WAL), so shards never wait for each other. Regular files only so
far: directories and symlinks are always on disk; `kind` and `target` are there for snapshots.
[touches disk]
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .depot import refusal
from .errors import ManifestDamaged, StoreFull, StoreUnusable

SCHEMA_VERSION = 1
LOCK_WAIT_S = 10.0  # a predecessor that is just ending may still hold the database
# Errors that concern the bytes, and not the disk under them or another process.
DAMAGE = frozenset(
    (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)
)
WITH_IT = ("-wal", "-shm", "-journal")  # what is in them belongs to those bytes and no others


@dataclass(frozen=True, slots=True)
class Entry:
    """One path. Times are in ns; `disk_*` is what was put on disk, 0 when nothing was."""

    path: bytes  # as the kernel knows it; names need not be UTF-8
    kind: str  # "file"; "directory" and "symlink" are reserved
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size_bytes: int
    digest: bytes | None
    target: str | None
    disk_device: int
    disk_inode: int
    disk_mtime_ns: int
    disk_ctime_ns: int


_COLUMNS = tuple(field.name for field in fields(Entry))
_CREATE = f"""
CREATE TABLE IF NOT EXISTS entries (
    path BLOB PRIMARY KEY, kind TEXT NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL,
    gid INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL, digest BLOB,
    target TEXT, disk_device INTEGER NOT NULL, disk_inode INTEGER NOT NULL,
    disk_mtime_ns INTEGER NOT NULL, disk_ctime_ns INTEGER NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""
_INSERT = (
    f"INSERT OR REPLACE INTO entries ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM entries"


class Manifest:
    """One shard's database. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open it, making it when it is not there; one that is damaged is set aside.

        Raises:
            StoreUnusable: its directory cannot be written.
            StoreFull: the disk refused the first page.
        """
        self.path = path
        self.damage: ManifestDamaged | None = None  # of what was found here
        self._database: Any = None  # a sqlite3.Connection, once it is open
        try:
            self._open()
        except ManifestDamaged as damage:
            self.damage = damage
            self._open()

    def _open(self) -> None:
        with self._refusals():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.path.lexists(self.path) and not self.path.is_file():
                raise self._set_aside("is not a file")
            self._database = _open(self.path)
            self._identity = os.stat(self.path)

    def is_there(self) -> bool:
        """False when the file was removed or replaced: what is written to it is written nowhere."""
        try:
            return os.path.samestat(os.stat(self.path), self._identity)
        except OSError:
            return False

    def close(self) -> None:
        """Close; a checkpoint that fails is made up for by the next open."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()

    def replace(self, gone: Iterable[bytes], entries: Iterable[Entry]) -> None:
        """Forget `gone`, then record `entries`, in one durable transaction.

        Raises:
            StoreFull, StoreUnusable: nothing was changed.
            ManifestDamaged: it was set aside; make another Manifest and record everything.
        """
        with self._refusals(), self._database:
            self._database.executemany(
                "DELETE FROM entries WHERE path = ?", ((path,) for path in gone)
            )
            self._database.executemany(_INSERT, map(astuple, entries))

    def entry(self, path: bytes) -> Entry | None:
        """What is recorded of `path`, or None."""
        with self._refusals():
            row = self._database.execute(f"{_SELECT} WHERE path = ?", (path,)).fetchone()
        return None if row is None else Entry(*row)

    def paths(self) -> set[bytes]:
        """Every path recorded."""
        with self._refusals():
            found = {path for (path,) in self._database.execute("SELECT path FROM entries")}
            if not all(isinstance(path, bytes) for path in found):
                raise self._set_aside("has paths that are none")
            return found

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refusal(self.path.parent, error) from error
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> StoreFull | StoreUnusable | ManifestDamaged:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in DAMAGE:
            return self._set_aside(str(error))
        full = refusal(self.path.parent, OSError(errno.ENOSPC, ""))
        # An I/O error is all that it says of the file that it maps, also where there is no space.
        if code == sqlite3.SQLITE_FULL or (
            code == sqlite3.SQLITE_IOERR and isinstance(full, StoreFull) and not full.free_bytes
        ):
            return full
        return StoreUnusable(directory=str(self.path), reason=str(error))

    def _set_aside(self, reason: str) -> ManifestDamaged:
        """Out of the way, with what belongs to it; nothing of it is ever merged into another."""
        self.close()
        aside = self.path.with_suffix(".unreadable")
        try:
            _clear(aside)
            os.replace(self.path, aside)
            for ending in WITH_IT:
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{ending}", f"{aside}{ending}")
        except OSError as error:
            raise refusal(self.path.parent, error) from error
        return ManifestDamaged(path=str(self.path), aside=str(aside), reason=reason)


def digests_in(path: Path) -> set[bytes]:
    """The digests that the manifest at `path` knows; none when it is gone or damaged.

    It is only read, also while its shard writes.
    """
    if not path.is_file():
        return set()
    try:
        place = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
        database = sqlite3.connect(place, uri=True, timeout=LOCK_WAIT_S)
        try:
            rows = database.execute("SELECT DISTINCT digest FROM entries WHERE digest IS NOT NULL")
            return {bytes(digest) for (digest,) in rows}
        finally:
            database.close()
    except (sqlite3.Error, TypeError):
        return set()


def _clear(aside: Path) -> None:
    """Make room for what is set aside now; what was set aside before is replaced."""
    if aside.is_dir():
        os.replace(aside, aside.with_suffix(f".unreadable-{time.time_ns()}"))
    for ending in WITH_IT:
        with suppress(FileNotFoundError):
            os.unlink(f"{aside}{ending}")


class _Corrupt(sqlite3.DatabaseError):
    """A database that is whole, but not ours, which sqlite cannot know."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # one sync per flush, not per file
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, SCHEMA_VERSION):
            raise _Corrupt("another schema")
        database.executescript(_CREATE)
    except BaseException:
        database.close()
        raise
    return database
