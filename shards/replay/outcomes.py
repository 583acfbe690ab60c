"""What happened to the steps of a command, in a user's words. [pure]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import analysis, reports, unit_log
from .unit_log import UnitLog

REPLAYED, RUN, NOT_CACHED = "replayed", "run", "not cached"
LABEL_CHARS = 160
SHELLS = ("sh", "bash", "dash")

CHANGES = {
    analysis.CONTENT: "has changed",
    analysis.F_ABSENT: "is there now",
    analysis.LABSENT: "is there now",
    analysis.F_STAT: "has another mode, size or type",
    analysis.F_LSTAT: "has another mode, size or type",
    analysis.TIMES: "has another time, or owner",
    analysis.LTIMES: "has another time, or owner",
    analysis.F_LINK: "leads elsewhere",
    analysis.F_NO_LINK: "is a symlink now",
    analysis.F_NAMES: "has other names in it",
}


class Reason(NamedTuple):
    """Why a step was run, or could not be cached."""

    text: str
    path: str = ""  # of the file that it is about, if one
    variable: str = ""  # of the environment


class Outcome(NamedTuple):
    """One step of a command."""

    step: str  # as label_of calls it
    outcome: str  # REPLAYED, RUN or NOT_CACHED
    reason: Reason
    ms: float  # it took
    saved_ms: float = 0  # of REPLAYED: it took when it was run
    verify: bool | None = None  # did it make what its entry says? None: not asked
    makes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "reason": self.reason.text, "path": self.reason.path,
                "variable": self.reason.variable, "ms": round(self.ms, 2)}  # fmt: skip


def label_of(arguments: Sequence[str]) -> str:
    """How a step is called: its command line, as the shell got it."""
    shell = bool(arguments) and arguments[0].rpartition("/")[2] in SHELLS
    if shell and len(arguments) == 3 and arguments[1] in ("-c", "-ec"):
        return arguments[2][:LABEL_CHARS]
    return " ".join(arguments)[:LABEL_CHARS]


def false_fact(kind: int, path: str) -> Reason:
    return Reason(f"{path} {CHANGES.get(kind, 'is not as it was')}", path)


def named(reason: str, process: int, unit: UnitLog) -> Reason:
    """A reason, with the program that gave it when the log tells."""
    if process == 0:
        return Reason(reason)
    programs = [each for each in unit.deeds if each.kind == unit_log.PROGRAM]
    names = [each.paths[1] for each in programs if each.process == process]
    return Reason(
        f"{reason} ({names[-1]}, pid {process})" if names else f"{reason} (pid {process})"
    )


def report_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One command's steps, counted and listed."""
    counts = Counter(each.outcome for each in outcomes)
    saved_ms = sum(each.saved_ms - each.ms for each in outcomes if each.outcome == REPLAYED)
    return reports.empty() | {
        "replayed": counts[REPLAYED],
        "run": counts[RUN],
        "not_cached": counts[NOT_CACHED],
        "saved_s": round(max(0.0, saved_ms) / 1000, 2),
        "differing": [each.step for each in outcomes if each.verify is False],
        "steps": [each.as_json() for each in outcomes],
    }


def made_by(unit: UnitLog) -> list[str]:
    """Paths that a step wrote which is not cached."""
    made: dict[str, None] = {}
    for record in unit.deeds:
        if record.kind == unit_log.RENAME:
            old, new = record.paths
            made.pop(old, None)
            made[new] = None
        elif record.kind in (unit_log.WRITE, unit_log.SYMLINK):
            made[record.path] = None
        elif record.kind == unit_log.GONE:
            made.pop(record.path, None)
    return [path for path in made if not unit_log.is_device(path)]
