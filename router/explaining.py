"""What `velo explain` and `velo stats` say, from a report and totals alone. [pure]

In: a report as shards/replay/outcomes.py makes it. Out: lines of text, or objects with stable
names. Never: a sentence that is not in the report; it was true when the step ended.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .units import format_count

Step = Mapping[str, Any]
NOBODY = re.compile(r",? \(?pid \d+\)")  # in a reason: which process it was makes no other reason
NOTHING = (
    "nothing to explain: of the last command in this workspace no step is on record;"
    " 'velo exec -- ninja' (or make, cargo, npm) records its steps"
)
REPLAYED = "replayed"


def matching(steps: Sequence[Step], what: str, *, directory: str) -> list[Step]:
    """The steps that `what` means: those that make this path, else those with this command line.

    Args:
        directory: where a path that is not absolute begins.
    """
    path = os.path.normpath(os.path.join(directory, what))
    makers = [step for step in steps if path in step["makes"]]
    if makers:
        return makers
    ending = "/" + what.strip("/")
    return [
        step
        for step in steps
        if what in step["step"] or any(each.endswith(ending) for each in step["makes"])
    ]


def lines(report: Mapping[str, Any], steps: Sequence[Step], *, workspace: str) -> Iterator[str]:
    """Steps that were not replayed come first, since users ask about those."""
    yield head(report)
    for step in sorted(steps, key=lambda step: step["outcome"] == REPLAYED):
        yield f"{step['outcome']:<10} {duration(step['ms']):>8}  {step['step'] or '(unknown)'}"
        yield from (f"{'':21}{each}" for each in _more(step, workspace))


def _more(step: Step, workspace: str) -> Iterator[str]:
    if step["reason"]:
        yield "because " + short(step["reason"], workspace)
    if step["verify"] is False:
        yield "it made something else than its entry says, which is dropped"
    if step["outcome"] == REPLAYED:
        yield f"instead of {duration(step['saved_ms'])}"


def head(report: Mapping[str, Any]) -> str:
    """The command and its counts."""
    command = " ".join(report.get("command", ()))[:60]
    return (
        f"{command}: {report['replayed']} replayed, {report['run']} run,"
        f" {report['not_cached']} not cached, {report['saved_s']:.1f} s saved"
    )


def reasons(steps: Sequence[Step], *, workspace: str) -> list[dict[str, Any]]:
    """Why steps were not replayed: the reason that cost most first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for step in steps:
        if step["outcome"] == REPLAYED:
            continue
        reason = short(NOBODY.sub("", step["reason"]), workspace).replace(" (", ", ").rstrip(")")
        row = found.setdefault(
            (step["outcome"], reason),
            {"outcome": step["outcome"], "reason": reason, "steps": 0, "seconds": 0.0},
        )
        row["steps"] += 1
        row["seconds"] += step["ms"] / 1000
    rows = sorted(found.values(), key=lambda row: -row["seconds"])
    return [{**row, "seconds": round(row["seconds"], 3)} for row in rows]


def table(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """`reasons`, for eyes."""
    yield head(report)
    if not rows:
        return
    yield f"{'seconds':>8} {'steps':>6}  {'':10} reason"
    for row in rows:
        yield f"{row['seconds']:8.1f} {row['steps']:6}  {row['outcome']:10} {row['reason']}"


def statistics(report: Mapping[str, Any] | None, totals: Mapping[str, Any]) -> dict[str, Any]:
    """The object of `velo stats --json`."""
    last = None
    if report is not None:
        last = {key: value for key, value in report.items() if key not in ("steps", "schema")}
    return {"schema": 1, "last": last, "totals": dict(totals)}


def statistics_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """`statistics`, for eyes."""
    last, totals = found["last"], found["totals"]
    yield "last command: " + (head(last) if last else "none was recorded")
    since = time.strftime("%Y-%m-%d", time.localtime(totals["since"]))
    yield (
        f"{format_count(totals['commands'], 'command')} since {since}:"
        f" {totals['replayed']} steps replayed,"
        f" {totals['run']} run, {totals['not_cached']} not cached, {totals['saved_s']:.1f} s saved"
    )


def duration(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def short(text: str, workspace: str) -> str:
    """Paths of the workspace as one types them there."""
    return text.replace(workspace.rstrip("/") + "/", "")
