"""The collector: a store above its cap gives up what was not used for longest.

    all blobs -> above the cap? -> not pinned, not used just now -> those that no manifest knows,
                                    oldest use first; then those that one knows -> victims
    victims   -> some at a time, under the store's lock: still so? -> removed

Outputs of steps that may be replayed count, too; what their entries name leaves last, like what a
manifest knows: a step whose outputs are gone is run.

In: the directory of a store, a cap in bytes. Out: what was there, what was removed, what had to
stay. Never: a blob that a writer is about to rely on, or that is the only copy of anything; what
velo did not make.

Why a lock and a grace: a process that puts files into the store holds its lock (shared) from the
first question "is this blob there?" until the answer is durable. So that writer sees a blob, or the
blob was removed before the question. The writer records the blob elsewhere (a manifest) later: the
time of its last use (mtime: atime is off on many disks) keeps a blob from being removed in between.
Pins are looked at under the same lock. A collector that is killed has removed some blobs, each
whole, and nothing else.
[touches disk]
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from . import depot, roots
from .errors import NotAStore
from .replay import commons

GRACE_S = 600.0  # from use to record: one flush, with room to spare
AT_ONCE = 256  # blobs removed under one hold of the lock: milliseconds
PAUSE_S = 0.002  # between two holds: a process that waits comes in
EVERY_S = 600.0  # servers that end look at a store so often at most
BRIEFLY_S = 5.0  # `velo stop` waits for it
LOW_WATER = 0.9
BLOB_NAME = re.compile(r"[0-9a-f]{62}(\.lz4)?")
CORRUPT_NAME = re.compile(r"[0-9a-f]{64}(\.lz4)?")


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of the store. `size_bytes` is what the disk holds for it."""

    path: str
    digest: bytes | None  # None: it is in corrupt/, and of no use
    size_bytes: int
    used_at: float
    is_output: bool = False  # of a step that may be replayed: below replay/


@dataclass(slots=True)
class Collected:
    """What a collection found, and did (or would have done)."""

    max_bytes: int
    blobs: int = 0
    bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    pinned_bytes: int = 0  # kept: nowhere else
    recent_bytes: int = 0  # kept: used just now
    outputs: int = 0  # of the blobs: outputs of steps
    output_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """What the store has afterwards."""
        return self.bytes - self.removed_bytes


def sentence(
    found: Collected, directory: str, size: Callable[[int], str], *, dry_run: bool = False
) -> str:
    """What to tell of a collection; `size` writes bytes as people do."""
    did = "would remove" if dry_run else "removed"
    text = (
        f"{did} {found.removed} of {found.blobs} blobs, {size(found.removed_bytes)} of"
        f" {size(found.bytes)}, from {directory}"
    )
    if found.outputs:
        text += f"; {found.outputs} of them, {size(found.output_bytes)}, were outputs of steps"
    if found.left_bytes > found.max_bytes:
        text += (
            f"; that is above {size(found.max_bytes)}, for {size(found.pinned_bytes)} are nowhere"
            f" else and {size(found.recent_bytes)} were used just now"
        )
    return text


def never() -> bool:
    """The `stop` of a collection that runs to its end."""
    return False


def collect(
    directory: Path,
    *,
    max_bytes: int,
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    stop: Callable[[], bool] = never,
) -> Collected:
    """Bring the store down to `max_bytes`, as far as it can be.

    Raises:
        NotAStore: velo did not make `directory`.
        StoreFull, StoreUnusable: the store or some pins cannot be read, or its lock cannot be had;
            nothing is removed after that.
    """
    if not depot.is_store(directory):
        raise NotAStore(directory=str(directory), found=f"no {depot.MARKER}")
    done = Collected(max_bytes)
    now = time.time()
    try:
        blobs = [*_blobs_in(directory), *_outputs_in(directory)]
    except OSError as error:
        raise depot.refusal(directory, error) from error
    done.blobs, done.bytes = len(blobs), sum(blob.size_bytes for blob in blobs)
    done.outputs = sum(1 for blob in blobs if blob.is_output)
    done.output_bytes = sum(blob.size_bytes for blob in blobs if blob.is_output)
    if done.bytes <= max_bytes:
        return done
    victims = _chosen(directory, blobs, done, youngest=now - grace_s)
    for start in range(0, len(victims), AT_ONCE):
        if stop():
            break
        group = victims[start : start + AT_ONCE]
        if dry_run:
            _count(done, group)
            continue
        try:
            with ExitStack() as held:
                held.enter_context(depot.exclusively(directory))
                if any(blob.is_output for blob in group):
                    held.enter_context(commons.removing(directory / commons.DIRECTORY))
                _remove(directory, group, done)
        except OSError as error:
            raise depot.refusal(directory, error) from error
        time.sleep(PAUSE_S)
    return done


def collect_at_times(directory: Path, *, max_bytes: int) -> Collected | None:
    """A server's collection at its end; none when another server did it within EVERY_S.

    It goes down a little below the cap, so that the next ends find nothing to do, and gives up
    after BRIEFLY_S.

    Raises:
        As `collect`.
    """
    noted = directory / depot.COLLECTED
    try:
        if 0 <= time.time() - os.stat(noted).st_mtime < EVERY_S:  # else a clock was set back
            return None
    except FileNotFoundError:
        pass
    except OSError as error:
        raise depot.refusal(directory, error) from error
    if not depot.is_store(directory):
        return None
    with suppress(OSError):
        noted.write_bytes(b"")
        os.utime(noted)
    with suppress(OSError):
        commons.sweep(directory / commons.DIRECTORY)
    if collect(directory, max_bytes=max_bytes, dry_run=True).removed == 0:
        return None
    deadline = time.monotonic() + BRIEFLY_S
    least = int(max_bytes * LOW_WATER)
    return collect(directory, max_bytes=least, stop=lambda: time.monotonic() > deadline)


def _chosen(directory: Path, blobs: list[Blob], done: Collected, *, youngest: float) -> list[Blob]:
    """Enough of `blobs`, or all that may go; in the order in which they go."""
    pinned = roots.pinned(directory)
    recorded = roots.recorded(directory) | _named_by_steps(directory, blobs)
    may_go = []
    for blob in blobs:
        if blob.digest in pinned:
            done.pinned_bytes += blob.size_bytes
        elif blob.used_at > youngest:
            done.recent_bytes += blob.size_bytes
        else:
            may_go.append(blob)
    may_go.sort(key=lambda blob: (blob.digest in recorded, blob.used_at, blob.path))
    excess, count = done.bytes - done.max_bytes, 0
    while excess > 0 and count < len(may_go):
        excess -= may_go[count].size_bytes
        count += 1
    return may_go[:count]


def _remove(directory: Path, group: list[Blob], done: Collected) -> None:
    """Under the lock: what was pinned or used since it was chosen stays."""
    pinned = roots.pinned(directory)
    gone = []
    for blob in group:
        if blob.digest in pinned:
            continue
        with suppress(FileNotFoundError):  # another collector's: it is gone all the same
            if os.lstat(blob.path).st_mtime != blob.used_at:
                continue
            os.unlink(blob.path)
        gone.append(blob)
    _count(done, gone)


def _count(done: Collected, gone: list[Blob]) -> None:
    done.removed += len(gone)
    done.removed_bytes += sum(blob.size_bytes for blob in gone)


def _blobs_in(directory: Path) -> Iterator[Blob]:
    blobs, corrupt = directory / "sha256", directory / "corrupt"
    if corrupt.is_dir() and not corrupt.is_symlink():
        yield from _files_in(corrupt, CORRUPT_NAME, None)
    if blobs.is_symlink() or not os.path.lexists(blobs):  # none yet: a new store
        return
    with os.scandir(blobs) as entries:
        parts = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    for part in parts:
        if depot.BLOB_DIRECTORY.fullmatch(part.name):
            yield from _files_in(Path(part.path), BLOB_NAME, part.name)


def _outputs_in(directory: Path) -> Iterator[Blob]:
    for each in commons.blobs_in(directory / commons.DIRECTORY):
        yield Blob(each.path, each.digest, each.size_bytes, each.used_at, is_output=True)


def _named_by_steps(directory: Path, blobs: list[Blob]) -> set[bytes]:
    if not any(blob.is_output for blob in blobs):
        return set()
    return commons.named(directory / commons.DIRECTORY)


def _files_in(directory: Path, pattern: re.Pattern[str], prefix: str | None) -> Iterator[Blob]:
    """What velo made there: by name and kind; `prefix` completes the digest."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if not pattern.fullmatch(entry.name):
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                name = entry.name.removesuffix(".lz4")
                digest = None if prefix is None else bytes.fromhex(prefix + name)
                yield Blob(entry.path, digest, 512 * found.st_blocks, found.st_mtime)
