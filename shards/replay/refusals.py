"""Why a unit cannot be cached.

In: a unit's log. Out: NotCached, where its head or its text tells. Never: what it asked and made;
analysis.py has that.
"""

from __future__ import annotations

from . import unit_log as log

TEXT_MAX = 32 << 10


class NotCached(Exception):
    """Why; `process` is the pid that did it, if one did."""

    def __init__(self, reason: str, process: int = 0) -> None:
        super().__init__(reason)
        self.process = process


def refuse_early(unit: log.UnitLog) -> None:
    """Raises NotCached, when its log's head says that it cannot be cached."""
    if unit.status != 0:
        raise NotCached("it failed")
    if unit.taint:
        raise NotCached(log.TAINTS[unit.taint], unit.taint_process)
    if unit.alive:
        raise NotCached("a process of it was still running at its end", unit.alive)
    if unit.started != unit.enlisted + unit.failed:
        raise NotCached("a program ran that was not observed")
    if unit.vouched != unit.enlisted + unit.forked:
        raise NotCached("a process of it was killed, or ended in a way that was not observed")
    if not unit.captured and unit.spoke:
        raise NotCached("it said something where nobody could read it")


def refuse_text(unit: log.UnitLog, text: bytes, errors: bytes) -> None:
    """What it said on its two outputs cannot be said again.

    Raises:
        NotCached: why.
    """
    if len(text) + len(errors) > TEXT_MAX:
        raise NotCached("it said more than 32 KB")
    if text and errors and not unit.captured:
        raise NotCached("it said something on both of its outputs, and the order is not known")
