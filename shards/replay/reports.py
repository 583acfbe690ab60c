"""What is kept of one command: how many steps were replayed, run, or cannot be cached. [pure]"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

SCHEMA = 1  # raised when a key gets another name or meaning
COUNTS = ("replayed", "run", "not_cached")
REPLAYED, RUN, NOT_CACHED = "replayed", "run", "not cached"


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
        return {
            "step": self.step,
            "outcome": self.outcome,
            "reason": self.reason.text,
            "ms": round(self.ms, 2),
            "saved_ms": self.saved_ms,
            "verify": self.verify,
            "makes": self.makes,
            "path": self.reason.path,
            "variable": self.reason.variable,
        }


def empty() -> dict[str, Any]:
    """Of a command without steps."""
    return {
        "schema": SCHEMA,
        **dict.fromkeys(COUNTS, 0),
        "saved_s": 0.0,
        "differing": [],
        "steps": [],
    }


def head(command: Sequence[str], mode: str) -> dict[str, Any]:
    """The head of a command's report, which tells it from others; the command ends now."""
    return {"command": list(command), "mode": mode, "at": int(time.time())}


def report_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One command's steps, counted and listed."""
    counts = Counter(each.outcome for each in outcomes)
    saved_ms = sum(each.saved_ms - each.ms for each in outcomes if each.outcome == REPLAYED)
    return empty() | {
        "replayed": counts[REPLAYED],
        "run": counts[RUN],
        "not_cached": counts[NOT_CACHED],
        "saved_s": round(max(0.0, saved_ms) / 1000, 2),
        "differing": [each.step for each in outcomes if each.verify is False],
        "steps": [each.as_json() for each in outcomes],
    }
