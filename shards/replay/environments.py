"""With which variables steps were recorded, so that a miss can name the one that changed.

In: units. Out: names of variables. Never: their values, which may be secrets: digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from . import json_files
from .unit_log import UnitLog

STEPS_MAX = 20_000  # whose environment is remembered
NAMES_SHOWN = 3
DIGEST_CHARS = 16


class Environments:
    """With which variables each step was last recorded: names, and digests of the values."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = json_files.read(path) or {}
        texts, steps = found.get("texts"), found.get("steps")
        self._texts: dict[str, dict[str, str]] = texts if isinstance(texts, dict) else {}
        self._steps: dict[str, str] = steps if isinstance(steps, dict) else {}
        self._is_changed = False

    def differing(self, unit: UnitLog) -> list[str] | None:
        """Variables that this step had otherwise, or not at all, the last time; None: it is new."""
        before = self._texts.get(self._steps.get(_step_of(unit), ""))
        if before is None:
            return None
        now = _variables_in(unit.environment + unit.ignored)
        return sorted(
            name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
        )

    def learn(self, unit: UnitLog) -> None:
        """Remember this step's."""
        variables = _variables_in(unit.environment + unit.ignored)
        text = _digest(json.dumps(variables, sort_keys=True).encode())
        step = _step_of(unit)
        if self._steps.get(step) == text or len(self._steps) >= STEPS_MAX:
            return
        self._texts[text] = variables
        self._steps[step] = text
        self._is_changed = True

    def save(self) -> None:
        """Write them, without those that no step has any more."""
        if self._is_changed:
            used = {text: self._texts[text] for text in dict.fromkeys(self._steps.values())}
            json_files.write(self._path, {"texts": used, "steps": self._steps})
            self._is_changed = False


def names_of(variables: Sequence[str]) -> str:
    """`A, B and 3 more`."""
    shown, more = ", ".join(variables[:NAMES_SHOWN]), len(variables) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _step_of(unit: UnitLog) -> str:
    program, cwd, arguments = unit.words
    return _digest("\0".join((program, cwd, *arguments)).encode(errors="surrogateescape"))


@lru_cache(maxsize=64)  # nearly all steps of a build have the same
def _variables_in(environment: bytes) -> dict[str, str]:
    pairs = [entry.partition(b"=") for entry in environment.split(b"\0") if entry]
    return {name.decode(errors="replace"): _digest(value) for name, _, value in pairs}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]
