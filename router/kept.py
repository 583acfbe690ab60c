"""What keeps an arena: whether everything in it is on disk, and which files are not, by path.

    the last flush was answered -> examine -> Kept: nothing (the arena may go), or paths
                                           -> lost: in the store only, and the store has them no
                                           more

In: the arena, what the flush said, where the store is. Out: numbers, paths, sentences. Never: an
arena let go that holds the only copy of anything. Bytes that are nowhere do not keep an arena for
ever: 'velo stop --force' drops their names and says them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from velo.shards import depot
from velo.shards.errors import FilesLost, TreeRefused, named

from .units import format_count

if TYPE_CHECKING:
    from velo.interpose.core import Region

LAST_FLUSH_MS = 60_000
NAMES = re.compile(r" \(.*\)(?=[;:])", re.DOTALL)  # in a TreeRefused or FilesLost


class Kept(NamedTuple):
    """What is not on disk."""

    files: int
    paths: list[str]
    lost: list[str]  # those of `paths` whose bytes are nowhere

    @property
    def only_lost(self) -> bool:
        """True when nothing is left that could still be saved."""
        return bool(self.lost) and len(self.lost) == len(self.paths)

    def sentence(self) -> str:
        """All of it, for the user."""
        text = (
            f"{format_count(self.files, 'file')} {'is' if self.files == 1 else 'are'} not on disk"
        )
        if self.paths:
            text += f" ({named(self.paths)})"
        if self.lost:
            text += (
                f"; of {len(self.lost)} the bytes are gone from the store: make them again, or"
                " 'velo stop --force' drops their names"
            )
        return text

    def beside(self, refusal: str, code: int = 0) -> str:
        """`refusal` for the same user as `sentence`, which names the files: each path once."""
        if code in (TreeRefused.code, FilesLost.code):
            return NAMES.sub("", refusal)
        for paths in (self.paths, self.lost):
            refusal = refusal.replace(f" ({named(paths)})", "") if paths else refusal
        return refusal


def examine(region: Region, store: str) -> Kept:
    """What of `region` is not on disk now."""
    from velo.interpose.core import COLD

    found = region.statistics()
    count = found["dirty_files"] + found["files"]["cold"]
    if not count:
        return Kept(0, [], [])
    paths, lost = [], []
    for info in region.scan():
        if not info.links or not (info.dirty_disk or info.state == COLD):
            continue
        try:
            path = region.path_of(info.node)
        except FileNotFoundError:
            continue
        except OSError as error:  # longer than PATH_MAX
            path = f"file {info.node} ({error.strerror})"
        paths.append(path)
        if info.state == COLD and not (info.digest and depot.has_blob(store, info.digest)):
            lost.append(path)
    return Kept(len(paths) or count, sorted(paths), sorted(lost))


def flush_what_is_left(region: Region, store: str) -> tuple[bool, list[str]]:
    """The shards could not: put everything here, durably. True when all of it is on disk.

    And the paths of files that were lost, because they were removed from memory.
    """
    if _flush(region):
        return True, []
    from velo.shards import missing

    found = missing.decide(region, lambda digest: depot.has_blob(store, digest))
    return found.any and _flush(region), found.lost


def _flush(region: Region) -> bool:
    result = region.flush(sync=True, timeout_ms=LAST_FLUSH_MS)
    return result is not None and not result.failed and not result.first_error
