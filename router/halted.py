"""Processes that stand still: SIGSTOP, a terminal's Ctrl-Z, a debugger whose user thinks.

In: process ids, and the time. Out: how long each was seen stopped without having run in between.
Never: one that is stopped and let go in turns (cpulimit) taken for one that stands still; a signal.
"""

from __future__ import annotations

from velo.shards import plain

STOPPED = (b"T", b"t")  # by a signal, by a tracer
SWITCHES = b"voluntary_ctxt_switches"  # the end of both its names: one more at each stop


class Halted:
    """Since when the processes that are asked for stand still. One thread."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[bytes, float]] = {}  # pid: switches, seen at

    def seconds(self, pid: int, now: float) -> float | None:
        """How long `pid` has stood still, as far as was seen; None: it runs, or is not there."""
        switched = _switched(pid)
        if switched is None:
            self._since.pop(pid, None)
            return None
        if self._since.get(pid, (b"", 0.0))[0] != switched:
            self._since[pid] = switched, now
        return now - self._since[pid][1]


def stands(pid: int) -> bool:
    """Is `pid` stopped at this moment?"""
    return _switched(pid) is not None


def sentence(role: str, pid: int) -> str:
    """Which process stands still, and what to do about it."""
    return (
        f"{role} (pid {pid}) is stopped (SIGSTOP, or a debugger) and does not answer;"
        f" nothing is lost: 'kill -CONT {pid}' lets it go on"
    )


def children(pid: int) -> list[int]:
    """The processes that `pid` started and did not reap; none where the kernel does not tell."""
    try:
        return [int(word) for word in plain.read(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def _switched(pid: int) -> bytes | None:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    found = dict(line.partition(b":\t")[::2] for line in lines)
    if found.get(b"State", b"")[:1] not in STOPPED:
        return None
    return b" ".join(value for name, value in found.items() if name.endswith(SWITCHES))
