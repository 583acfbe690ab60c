"""A Region without a core: files in a dict, bytes in a directory, the rules of velo.h in Python.

In: what a test says happens to files. Out: the calls that shards make, with the core's answers and
refusals. Never: more clever than velo.h; what only the real core can show is tested against it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from velo.interpose.core import BACKED, COLD, DISK, FlushResult, Missing, NodeInfo, Pulse


@dataclass
class FakeFile:
    """One file: memory copy at `memory` while BACKED, real path at `disk`."""

    node: int
    home: int
    name: str
    state: int = BACKED
    links: int = 1
    version: int = 1
    disk_version: int = 0
    stored_version: int = 0
    digest: bytes | None = None
    size: int = 0
    mtime_ns: int = 0
    tick: int = 0
    writers: int = 0


@dataclass
class FakeRegion:
    """Enough of velo.interpose.core.Region for ops, flush and reaper."""

    root: Path
    shards: int = 2
    max_memory: int = 1 << 20
    paused: bool = False
    activity: int = 0
    live_processes: int = 0
    files: dict[int, FakeFile] = field(default_factory=dict)
    refuse_writeback: int = 0  # an errno: what the tree's disk says
    flush_lock_taken: bool = False
    writebacks: list[str] = field(default_factory=list)
    while_stored: Callable[[int], None] = lambda node: None

    def __post_init__(self) -> None:
        self.workspace = str(self.root / "tree")
        self.directory = str(self.root)
        os.makedirs(self.workspace, exist_ok=True)
        os.makedirs(self.root / "memory", exist_ok=True)

    # ---- what clients do ---------------------------------------------------------------------

    def write(self, name: str, data: bytes, *, home: int = 0, mtime_ns: int = 0) -> int:
        """A program wrote a new file and closed it; its node."""
        node = len(self.files) + 1
        made = FakeFile(node, home, name, mtime_ns=mtime_ns or node, tick=node)
        self.files[node] = made
        self._memory(node).write_bytes(data)
        made.size = len(data)
        self.activity += 1
        return node

    def rewrite(self, node: int, data: bytes) -> None:
        """A program wrote to it again."""
        file = self.files[node]
        self._memory(node).write_bytes(data)
        file.size, file.version, file.state = len(data), file.version + 1, BACKED
        self.activity += 1

    def read(self, node: int) -> bytes:
        """What a program would read now."""
        file = self.files[node]
        assert file.state != COLD
        return (self._memory(node) if file.state == BACKED else self._disk(node)).read_bytes()

    def remove_from_memory(self, node: int) -> None:
        """A cleaner of temporary files took its bytes."""
        self._memory(node).unlink()

    # ---- what shards do ----------------------------------------------------------------------

    def scan(self, home: int | None = None) -> list[NodeInfo]:
        return [self._info(f) for f in self.files.values() if home in (None, f.home)]

    def info(self, node: int) -> NodeInfo | None:
        return self._info(self.files[node]) if node in self.files else None

    def pulse(self, home: int) -> Pulse:
        return Pulse(
            self.activity,
            self._used(home),
            self.max_memory,
            self._used(),
            self.max_memory,
            self.paused,
        )

    def statistics(self) -> dict[str, object]:
        return {"live_processes": self.live_processes}

    def refresh_attributes(self, node: int) -> bool:
        file = self.files.get(node)
        if file is None or file.links or file.writers:
            return False
        del self.files[node]
        return True

    def open_bytes(self, node: int) -> int:
        file = self.files.get(node)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "gone")
        self.while_stored(node)
        if file.state == COLD:
            raise BlockingIOError(errno.EAGAIN, "cold")
        return os.open(
            self._memory(node) if file.state == BACKED else self._disk(node), os.O_RDONLY
        )

    def stored(self, seen: NodeInfo, digest: bytes) -> bool:
        file = self.files.get(seen.node)
        if file is None or file.version != seen.version:
            return False
        file.stored_version, file.digest = seen.version, digest
        return True

    def evict(self, node: int) -> bool:
        file = self.files.get(node)
        if file is None or file.state != BACKED or file.writers or not file.links:
            return False
        if file.disk_version == file.version:
            file.state = DISK
        elif file.stored_version == file.version:
            file.state = COLD
        else:
            return False
        self._memory(node).unlink()
        return True

    def load(self, node: int, write: Callable[[int, NodeInfo], None]) -> None:
        file = self.files[node]
        if file.state != COLD:
            raise OSError(errno.EALREADY, "loaded")
        fd = os.open(self._memory(node), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            write(fd, self._info(file))
        finally:
            os.close(fd)
        file.state = BACKED

    def writeback(self, node: int, *, sync: bool = False) -> bool:
        file = self.files[node]
        if self.refuse_writeback:
            raise OSError(self.refuse_writeback, os.strerror(self.refuse_writeback))
        if self._is_missing(file):
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        if file.state == BACKED:
            self._disk(node).write_bytes(self._memory(node).read_bytes())
            self.writebacks.append(file.name)
        if file.writers:
            return False
        file.disk_version = file.version
        return True

    def flush(
        self, *, programs: bool = False, sync: bool = False, timeout_ms: int = 0
    ) -> FlushResult | None:
        if self.flush_lock_taken:
            time.sleep(timeout_ms / 1000)
            return None
        dirty = [f for f in self.files.values() if f.links and f.disk_version != f.version]
        if self.refuse_writeback:
            return FlushResult(0, 0, 0, 0, len(dirty), self.refuse_writeback if dirty else 0)
        gone = [f for f in dirty if self._is_missing(f)]
        kept = [f for f in sorted(dirty, key=lambda f: f.mtime_ns) if f not in gone]
        done = [self.writeback(f.node) for f in kept]
        size, first = sum(f.size for f in dirty), errno.ENODATA if gone else 0
        return FlushResult(len(done), 0, size, done.count(False), len(gone), first)

    def missing(self, node: int, *, in_store: bool) -> Missing:
        file = self.files[node]
        if not self._is_missing(file):
            return Missing.NO
        if file.disk_version == file.version:
            file.state = DISK
            return Missing.ON_DISK
        if not in_store or file.stored_version != file.version:
            return Missing.LOST
        file.state = COLD
        return Missing.STORED

    def drop_missing(self, node: int) -> bool:
        return self.files.pop(node, None) is not None

    def path_of(self, node: int) -> str:
        if node not in self.files:
            raise FileNotFoundError(errno.ENOENT, "gone")
        return str(self._disk(node))

    def sweep(self) -> int:
        return 0

    def pause(self, paused: bool) -> None:
        self.paused = paused

    # ---- inside ------------------------------------------------------------------------------

    def _info(self, file: FakeFile) -> NodeInfo:
        return NodeInfo(
            node=file.node,
            generation=1,
            home=file.home,
            state=file.state,
            links=file.links,
            dirty_disk=file.disk_version != file.version,
            dirty_store=file.stored_version != file.version,
            mode=0o100644,
            version=file.version,
            charged_bytes=file.size if file.state == BACKED else 0,
            size_bytes=file.size,
            mtime_ns=file.mtime_ns,
            access_tick=file.tick,
            digest=file.digest,
        )

    def _is_missing(self, file: FakeFile) -> bool:
        return file.state == BACKED and bool(file.links) and not self._memory(file.node).exists()

    def _used(self, home: int | None = None) -> int:
        return sum(
            f.size for f in self.files.values() if f.state == BACKED and home in (None, f.home)
        )

    def _memory(self, node: int) -> Path:
        return self.root / "memory" / str(node)

    def _disk(self, node: int) -> Path:
        return Path(self.workspace) / self.files[node].name


def states(region) -> dict[str, int]:
    return {file.name: file.state for file in region.files.values()}
