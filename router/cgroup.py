"""What the kernel lets this process's control groups have of memory: a container's limit.

Pages of a file on disk can be dropped when a limit is reached; those of files in memory cannot, and
the kernel kills a process instead. So an arena takes half of what is left without the server.

In: /proc/self/cgroup and /proc/mounts, version 1 or 2. Out: bytes, or None where nothing limits.
Never: an error; what cannot be read limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROCESS_BYTES = 16 << 20  # of the router, and of each shard; 11 to 13 MB were measured
SHARE = 0.5  # the programs need memory of their own
LEAST_BYTES = 2_000_000  # an arena's, however little there is
NO_LIMIT = 1 << 60  # version 1 writes a number near 2^63


def memory_that_fits(shards: int) -> int | None:
    """Bytes an arena may hold; None: no group has a limit."""
    limit = limit_bytes()
    if limit is None:
        return None
    return max(LEAST_BYTES, int((limit - PROCESS_BYTES * (shards + 1)) * SHARE))


def limit_bytes(proc: str = "/proc") -> int | None:
    """The lowest limit of the groups that this process is in, from its own up to the root."""
    found = [
        value
        for directory, names in _groups(Path(proc))
        for above in (directory, *directory.parents)
        for name in names
        if (value := _number(above / name)) is not None
    ]
    return min(found, default=None)


def _groups(proc: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """This process's directory in each hierarchy that limits memory, and the files that say it.

    In a container the path may be the host's, and what is mounted is the group itself.
    """
    with suppress(OSError, ValueError):
        mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            old = "memory" in controllers.split(",")
            if not old and controllers:
                continue
            names = ("memory.limit_in_bytes",) if old else ("memory.max", "memory.high")
            for mount in mounts:
                if mount[2] == "cgroup2" if not old else _is_old_memory(mount):
                    inside = Path(mount[1], path.lstrip("/"))
                    yield inside if inside.is_dir() else Path(mount[1]), names


def _is_old_memory(mount: list[str]) -> bool:
    return mount[2] == "cgroup" and "memory" in mount[3].split(",")


def _number(path: Path) -> int | None:
    try:
        value = int(path.read_text())
    except (OSError, ValueError):  # the root has none; "max"
        return None
    return value if value < NO_LIMIT else None
