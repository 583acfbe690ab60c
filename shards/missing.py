"""Files whose memory was removed: by a cleaner of temporary files, at a logout (RemoveIPC).

    its file in i/ is gone -> on disk in this version: read there from now on
                           -> whole in the store: COLD from now on, its shard brings it back
                           -> neither: its names become what the disk has, and it is named

In: an arena, what the store has. Out: which files were lost, by path, and which are to be brought
back. Never: a file that is there given up; a loss without a message.
[touches shared memory and disk]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from velo.interpose.core import BACKED, Missing, NodeInfo, Region

from .errors import BytesLost
from .flush import named_path

MODE = 0o1777  # of i/, as the core makes it: below a root that others cannot list


@dataclass(slots=True)
class Found:
    """What became of the files whose memory was removed."""

    any: bool = False
    cold: list[int] = field(default_factory=list)  # nodes that the store has
    lost: list[str] = field(default_factory=list)  # paths


def decide(
    region: Region, holds: Callable[[bytes], bool], infos: Iterable[NodeInfo] | None = None
) -> Found:
    """Decide about those of `infos` (None: all files) whose memory was removed.

    Args:
        holds: whether the store has the whole blob of that digest.
    """
    found = Found()
    for info in region.scan() if infos is None else infos:
        if info.state != BACKED or not info.links:
            continue
        where = region.missing(info.node, in_store=False)
        if where is Missing.NO:
            continue
        found.any = True
        if where is Missing.LOST:
            _in_memory_only(region, holds, info, found)
    return found


def _in_memory_only(
    region: Region, holds: Callable[[bytes], bool], info: NodeInfo, found: Found
) -> None:
    stored = bool(info.digest) and not info.dirty_store and holds(info.digest or b"")
    if stored and region.missing(info.node, in_store=True) is Missing.STORED:
        make_room(region)
        found.cold.append(info.node)
        return
    path = named_path(region, info)
    with suppress(OSError):  # the disk cannot be asked; the next flush tries
        if region.drop_missing(info.node):  # not another shard, which names it
            found.lost.append(path)


def tell(lost: list[str], also: str = "") -> None:
    """Name the files that were lost since this was last told; `lost` is empty then.

    Raises:
        BytesLost: something was; `also` is what else there is to say.
    """
    paths = sorted(set(lost))
    del lost[:]
    if paths:
        raise BytesLost(paths=paths, also=also)


def make_room(region: Region) -> None:
    """Where files in memory are there may be no directory any more; what is loaded needs one."""
    with suppress(OSError):
        place = os.path.join(region.directory, "i")
        os.makedirs(place, exist_ok=True)
        os.chmod(place, MODE)
