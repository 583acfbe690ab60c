"""How we measure: sides take turns, and what counts is the ratio within a turn.

In: one function per side that does the work once and says how long it took. Out: samples, medians,
ratios with their spread. Never: the mean of anything, or all runs of one side before the other:
this machine is warmer, busier and fuller later than it was before. [pure but for the clock]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the smallest and largest value it is the middle of."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Samples:
    """What every side took in every turn, in the scenario's own unit."""

    sides: Mapping[str, Sequence[float]]

    def spread(self, side: str) -> Spread:
        return Spread.of(self.sides[side])

    def ratio(self, side: str, base: str) -> Spread:
        """`side` over `base`, turn by turn."""
        pairs = zip(self.sides[side], self.sides[base], strict=True)
        return Spread.of([one / other for one, other in pairs])

    def difference(self, side: str, base: str) -> Spread:
        """`side` minus `base`, turn by turn."""
        pairs = zip(self.sides[side], self.sides[base], strict=True)
        return Spread.of([one - other for one, other in pairs])


def alternate(
    sides: Mapping[str, Callable[[], float]],
    *,
    turns: int,
    told: Callable[[int, str, float], None] = lambda turn, side, value: None,
) -> Samples:
    """Let every side run once per turn; the side that begins changes with each turn.

    Args:
        sides: each does the work once and returns what it took.
        turns: how often; each gives one ratio per pair of sides.
        told: hears of each run as it ends.
    """
    taken: dict[str, list[float]] = {side: [] for side in sides}
    names = list(sides)
    for turn in range(turns):
        first = turn % len(names)
        for side in names[first:] + names[:first]:
            value = sides[side]()
            taken[side].append(value)
            told(turn, side, value)
    return Samples(taken)


def seconds(work: Callable[[], object]) -> float:
    """How long `work()` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
