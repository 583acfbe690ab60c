"""Samples as a table for a person, and as an object for a file.

In: a scenario and its samples. Out: lines of text; a dict. Never: a number without its spread, or
a verdict that hides the number. [pure]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from measure import Samples, Spread
from scenarios import Scenario, Target

BASES = ("disk", "tmpfs")


def lines(scenario: Scenario, samples: Samples) -> Iterator[str]:
    """What came out, side by side, then each target."""
    turns = len(next(iter(samples.sides.values())))
    yield f"{scenario.name}: {scenario.question}"
    for side in samples.sides:
        against = _against(scenario, samples, side)
        yield f"  {side:<8} {_shown(samples.spread(side), scenario.unit)}{against}"
    for target in scenario.targets:
        yield f"  {finding(scenario, target, samples)}"
    yield f"  medians of {turns} alternating turns, [smallest .. largest]"


def finding(scenario: Scenario, target: Target, samples: Samples) -> str:
    """One sentence: what was wanted, what it is, whether it holds."""
    word = "holds" if holds(target, samples) else "MISSED"
    if target.most is not None:
        wanted = f"at most {target.most:g} {scenario.unit}"
        return f"{word}: {target.side} {wanted}: {samples.spread(target.side).median:.2f}"
    if target.ratio is not None:
        found = samples.ratio(target.side, target.base)
        wanted = f"at most {target.ratio:g} x {target.base}"
        return f"{word}: {target.side} {wanted}: {found.median:.3f}"
    more = samples.difference(target.side, target.base)
    wanted = f"at most {target.more:g} {scenario.unit} above {target.base}"
    return f"{word}: {target.side} {wanted}: {more.median:+.1f}"


def holds(target: Target, samples: Samples) -> bool:
    """Whether the median meets the target."""
    if target.most is not None:
        return samples.spread(target.side).median <= target.most
    if target.ratio is not None:
        return samples.ratio(target.side, target.base).median <= target.ratio
    assert target.more is not None
    return samples.difference(target.side, target.base).median <= target.more


def as_object(scenario: Scenario, samples: Samples) -> dict[str, Any]:
    """Everything `lines` says, and the samples themselves."""
    return {
        "scenario": scenario.name,
        "unit": scenario.unit,
        "samples": {
            side: [round(value, 3) for value in samples.sides[side]] for side in samples.sides
        },
        "targets": [
            {"text": finding(scenario, target, samples), "holds": holds(target, samples)}
            for target in scenario.targets
        ],
    }


def _shown(spread: Spread, unit: str) -> str:
    return f"{spread.median:9.2f} {unit:<2} [{spread.low:.2f} .. {spread.high:.2f}]"


def _against(scenario: Scenario, samples: Samples, side: str) -> str:
    if side in BASES:
        return ""
    wanted = {*BASES, *(target.base for target in scenario.targets if target.base)}
    ratios = [
        (base, samples.ratio(side, base)) for base in samples.sides if base in wanted - {side}
    ]
    return "".join(
        f"   {ratio.median:.3f} x {base} [{ratio.low:.3f} .. {ratio.high:.3f}]"
        for base, ratio in ratios
    )
