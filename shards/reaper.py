"""What dead processes leave behind, and whether any is alive.

In: the arena. Out: charges that are true, files freed that have no name and are open nowhere, tmpfs
files removed that nothing refers to, and whether a process is still inside. Never: a file that a
process may still read; the core decides that (leases), this room only asks it often enough.
[touches shared memory]
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from velo.interpose.core import BACKED, NodeInfo, Region


def refresh_attributes(region: Region, infos: Iterable[NodeInfo]) -> int:
    """Refresh the charge and attributes of each BACKED file; how many were freed."""
    return sum(region.refresh_attributes(info.node) for info in infos if info.state == BACKED)


def anybody_inside(region: Region, arena: str) -> bool:
    """True while a `velo exec` or a process that attached to the arena is alive."""
    # Sessions first: looking at them costs less than statistics, which walk every file.
    return sessions_alive(arena) or region.statistics()["live_processes"] > 0


def sessions_alive(arena: str) -> bool:
    """One file per `velo exec`, named by its pid; the router removes those of dead ones."""
    with suppress(OSError):
        names = os.listdir(os.path.join(arena, "sessions"))
        return any(name.isdigit() and _is_alive(int(name)) for name in names)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
