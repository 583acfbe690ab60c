"""What is kept of one workspace in the store, beside its blobs: it outlives arena and server.

    <store>/replay/blobs/...            bytes of outputs, shared by all workspaces of the store
    <store>/replay/NAME.index           the image of the entries
    <store>/replay/NAME.report.json     the last command's steps, and why each was run
    <store>/replay/NAME.totals.json     counts of all commands together
    <store>/replay/NAME.environments.json  with which variables each step was last recorded
    <store>/replay/NAME.unsure/...      what the first run of a step with randomness made

In: a store, a workspace. Out: paths, and what they hold. Never: a file that is half there, or a
failure over one that is missing or damaged; values of variables, which may be secrets: digests.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .outcomes import SCHEMA
from .unit_log import ENVIRONMENT, UnitLog

COUNTS = ("replayed", "run", "not_cached")
STEPS_MAX = 20_000  # whose environment is remembered
NAMES_SHOWN = 3
DIGEST_CHARS = 16


class Ledger:
    """The files of one workspace. Whoever holds the sealer's lock may write them."""

    def __init__(self, store: str, workspace: str) -> None:
        name = hashlib.sha256(workspace.encode(errors="surrogateescape")).hexdigest()[:16]
        self.directory = Path(store, "replay")
        self.blobs = self.directory / "blobs"
        self.image = self.directory / f"{name}.index"
        self.unsure = self.directory / f"{name}.unsure"
        self._report = self.directory / f"{name}.report.json"
        self._totals = self.directory / f"{name}.totals.json"
        self._environments = self.directory / f"{name}.environments.json"

    def make_room(self) -> None:
        """Make the directories: for us alone, since reports tell command lines.

        Raises:
            OSError: they cannot be made.
        """
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.directory, self.blobs):
            path.mkdir(mode=0o700, exist_ok=True)

    def report(self) -> dict[str, Any] | None:
        """Of the last command; None when there is none, or one of another version."""
        found = _read(self._report)
        is_ours = found is not None and found.get("schema") == SCHEMA
        return found if is_ours else None

    def totals(self) -> dict[str, Any]:
        """`commands`, the counts and `saved_s` since `since` (seconds of the epoch)."""
        empty = dict.fromkeys(("commands", *COUNTS), 0) | {
            "saved_s": 0.0,
            "since": int(time.time()),
        }
        found = _read(self._totals) or {}
        sound = {key: value for key, value in found.items() if isinstance(value, (int, float))}
        return {**empty, **sound}

    def add(self, report: dict[str, Any]) -> None:
        """Keep a command's report, and count it when it had steps.

        Raises:
            OSError: the disk refused; the older files are as they were.
        """
        _write(self._report, report)
        if not any(report[key] for key in COUNTS):
            return
        totals = self.totals()
        totals["commands"] += 1
        for key in COUNTS:
            totals[key] += report[key]
        totals["saved_s"] = round(totals["saved_s"] + report["saved_s"], 2)
        _write(self._totals, totals)

    def environments(self) -> Environments:
        return Environments(self._environments)

    def clear(self) -> None:
        """Remove all but the blobs."""
        for path in (self.image, self._report, self._totals, self._environments):
            with suppress(FileNotFoundError):
                path.unlink()


class Environments:
    """With which variables each step was last recorded: names, and digests of the values."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = _read(path) or {}
        texts, steps = found.get("texts"), found.get("steps")
        self._texts: dict[str, dict[str, str]] = texts if isinstance(texts, dict) else {}
        self._steps: dict[str, str] = steps if isinstance(steps, dict) else {}
        self._is_changed = False

    def differing(self, unit: UnitLog) -> list[str] | None:
        """Variables that this step had otherwise, or not at all, the last time; None: it is new."""
        before = self._texts.get(self._steps.get(_step_of(unit), ""))
        if before is None:
            return None
        now = _variables_of(unit)
        return sorted(
            name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
        )

    def learn(self, unit: UnitLog) -> None:
        """Remember this step's."""
        variables = _variables_of(unit)
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
            _write(self._path, {"texts": used, "steps": self._steps})
            self._is_changed = False


def names_of(variables: Sequence[str]) -> str:
    """`A, B and 3 more`."""
    shown, more = ", ".join(variables[:NAMES_SHOWN]), len(variables) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _step_of(unit: UnitLog) -> str:
    program, cwd, arguments = unit.words
    return _digest("\0".join((program, cwd, *arguments)).encode(errors="surrogateescape"))


def _variables_of(unit: UnitLog) -> dict[str, str]:
    for record in unit.records:
        if record.kind == ENVIRONMENT:
            pairs = [entry.partition(b"=") for entry in record.payload.split(b"\0") if entry]
            return {name.decode(errors="replace"): _digest(value) for name, _, value in pairs}
    return {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_uid != os.geteuid():
            return None
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, what: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w") as file:
            json.dump(what, file, ensure_ascii=True)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
