"""What is kept of one workspace in the store, beside its blobs: it outlives arena and server.

    <store>/replay/blobs/...            bytes of outputs, shared by all workspaces of the store
    <store>/replay/NAME.index           the image of the entries
    <store>/replay/NAME.report.json     the last command's steps that had any, why each was run
    <store>/replay/NAME.last.json       the last command, if it had none
    <store>/replay/NAME.totals.json     counts of all commands together
    <store>/replay/NAME.environments.json  with which variables each step was last recorded
    <store>/replay/NAME.sources.json    by which clones of the workspace are known (clones.py)
    <store>/replay/NAME.clones.json     what was taken over from them
    <store>/replay/NAME.unsure/...      what the first run of a step with randomness made
    <store>/replay/NAME.place.json      where the workspace is, and its arena's index (commons.py)

In: a store, a workspace. Out: paths, and what they hold. Never: a file that is half there, or a
failure over one that is missing or damaged.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from velo.interpose import core
from velo.shards.errors import NotAStore

from . import json_files
from .reports import COUNTS, SCHEMA
from .rules import NO_RULES, Rules

if TYPE_CHECKING:
    from pathlib import Path

PLACE = ".place.json"


class Ledger:
    """The files of one workspace. The process that holds the sealer's lock may write them."""

    def __init__(self, store: str, workspace: str, *, name: str = "") -> None:
        """The ledger of `workspace`; or, only to be read, of the one whose files have this name."""
        name = name or core.sha256(os.fsencode(workspace)).hex()[:16]
        self._store, self._workspace = store, workspace
        self._directory = os.path.join(store, "replay")
        own = os.path.join(self._directory, name)
        self.image, self._unsure = f"{own}.index", f"{own}.unsure"
        self._report, self._last = f"{own}.report.json", f"{own}.last.json"
        self._totals = f"{own}.totals.json"
        self._environments = f"{own}.environments.json"
        self._place = f"{own}{PLACE}"
        self._sources, self._clones = f"{own}.sources.json", f"{own}.clones.json"

    @property
    def directory(self) -> Path:
        return _path(self._directory)

    @property
    def blobs(self) -> Path:
        return self.directory / "blobs"

    @property
    def unsure(self) -> Path:
        return _path(self._unsure)

    @property
    def environments(self) -> Path:
        return _path(self._environments)

    def beside(self, name: str) -> Ledger:
        """The ledger of another workspace of the store, by its files' name; only to be read."""
        return Ledger(self._store, "", name=name)

    def make_room(self) -> None:
        """Make the directories: for us alone, since reports tell command lines.

        Raises:
            OSError: they cannot be made, or the store is no store of velo's.
        """
        from velo.shards import depot  # 5 ms, and a command whose steps are answered makes nothing

        try:
            depot.prepare(self.directory.parent)
        except NotAStore as error:
            raise OSError(errno.EEXIST, str(error), str(self.directory.parent)) from None
        for path in (self.directory, self.blobs):
            path.mkdir(mode=0o700, exist_ok=True)

    def has_rules(self, rules: Rules) -> bool:
        """Did the last session have these? Its entries were made by them."""
        before = self.place().get("rules")
        return (before or said(NO_RULES)) == said(rules)

    def claim(self, index: str, rules: Rules = NO_RULES) -> None:
        """Let others of the store know whose this is, and where entries are that are not kept yet.

        Raises:
            OSError: they do not know; the disk refused.
        """
        place = {"workspace": self._workspace, "index": index, "rules": said(rules)}
        if self.place() != place:
            json_files.write(self._place, place)

    def place(self) -> dict[str, Any]:
        """What `claim` let others know."""
        return json_files.read(self._place) or {}

    def sources(self) -> dict[str, int] | None:
        """Some sources and their sizes; None: none were kept yet."""
        found = json_files.read(self._sources)
        if found is None:
            return None
        return {name: size for name, size in found.items() if isinstance(size, int)}

    def keep_sources(self, sources: dict[str, int]) -> None:
        """As `add`."""
        if sources and sources != self.sources():
            json_files.write(self._sources, sources)

    def clones(self) -> dict[str, Any]:
        """What was kept by `keep_clones`."""
        return json_files.read(self._clones) or {}

    def keep_clones(self, seen: dict[str, list[int]]) -> None:
        """As `add`."""
        json_files.write(self._clones, seen)

    @property
    def bytes(self) -> int:
        """The bytes of the files that are neither blobs nor image."""
        total = 0
        for path in (self._report, self._totals, self._environments):
            with suppress(OSError):
                total += os.stat(path).st_size
        return total

    def report(self) -> dict[str, Any] | None:
        """The report of the last command with steps; None when there is none of this version."""
        return _of_this_schema(self._report)

    def last(self) -> dict[str, Any] | None:
        """The report of the last command, with steps or without; as `report`."""
        return _of_this_schema(self._last) or self.report()

    def totals(self) -> dict[str, Any]:
        """`commands`, the counts and `saved_s` since `since` (seconds of the epoch)."""
        empty = dict.fromkeys(("commands", *COUNTS), 0) | {
            "saved_s": 0.0,
            "since": int(time.time()),
        }
        found = json_files.read(self._totals) or {}
        sound = {key: value for key, value in found.items() if isinstance(value, (int, float))}
        return {**empty, **sound}

    def add(self, report: dict[str, Any]) -> None:
        """Keep a command's report, and count it when it had steps.

        Raises:
            OSError: the disk refused; the older files are as they were.
        """
        if not any(report[key] for key in COUNTS):
            json_files.write(self._last, report)
            return
        json_files.write(self._report, report)
        with suppress(FileNotFoundError):
            os.unlink(self._last)
        totals = self.totals()
        totals["commands"] += 1
        for key in COUNTS:
            totals[key] += report[key]
        totals["saved_s"] = round(totals["saved_s"] + report["saved_s"], 2)
        json_files.write(self._totals, totals)

    def add_or_tell(self, report: dict[str, Any]) -> None:
        """As `add`. When the disk refuses, the report says why under "lost", and the one before it
        is not told in its place."""
        try:
            self.add(report)
        except OSError as error:
            report["lost"] = f"{self._directory}: {error.strerror}"
            for path in (self._report, self._last):
                with suppress(OSError):
                    os.unlink(path)

    def clear(self) -> None:
        """Remove all but the blobs."""
        for path in (self.image, self._report, self._last, self._totals, self._environments):
            with suppress(FileNotFoundError):
                os.unlink(path)


def _path(text: str) -> Path:
    from pathlib import Path  # 5 ms, and a command whose steps are answered needs none

    return Path(text)


def _of_this_schema(path: str) -> dict[str, Any] | None:
    found = json_files.read(path)
    return found if found is not None and found.get("schema") == SCHEMA else None


def said(rules: Rules) -> list[list[str]]:
    return [sorted(each) for each in rules]
