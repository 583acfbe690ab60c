"""Which workspaces of the store are clones of this one, and have learned something since.

    <store>/replay/NAME.sources.json    some sources of a workspace, with their sizes (ours, theirs)
    <store>/replay/NAME.clones.json     up to which of their entries we have seen each of the others

Most of a workspace's sources are there, too, with the same sizes: then it is a clone, or as good as
one. That may be wrong, which costs time (clones.py).

In: a ledger. Out: ledgers of others, with numbers of entries. Never: an entry itself, or an import
of what reads them, since each `velo exec` asks.
[touches disk]
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .ledger import Ledger, said
from .rules import Rules

IMAGE = ".index"
OTHERS_MAX = 32  # workspaces that are asked for, those that were written last


class Relative(NamedTuple):
    """A clone."""

    ledger: Ledger
    name: str  # of its files
    workspace: str
    mtime_ns: int  # of its image
    size: int
    entries: int  # how many we have seen


class Kin:
    """The clones of one workspace."""

    def __init__(self, ledger: Ledger, workspace: str, rules: Rules) -> None:
        self._ledger, self._workspace = ledger, workspace
        self._rules = _without(said(rules), workspace)
        self._stranger = _stranger_to(workspace, self._rules)
        self._seen = {
            name: each
            for name, each in ledger.clones().items()
            if isinstance(each, list) and len(each) == 3 and all(type(one) is int for one in each)
        }

    def news(self) -> list[Relative]:
        """Clones that have learned something since we have seen them.

        Raises:
            OSError: the directory cannot be read.
        """
        changed, has_strangers = [], False
        for name, found in self._others():
            mtime_ns, size, entries = self._seen.get(name, (0, 0, 0))
            is_same = (mtime_ns, size) == (found.st_mtime_ns, found.st_size)
            if is_same and (entries >= 0 or entries == self._stranger):
                continue
            ledger = self._ledger.beside(name)
            workspace = self._clone_at(ledger)
            what = found.st_mtime_ns, found.st_size
            if workspace is None:
                self._seen[name], has_strangers = [*what, self._stranger], True
            else:
                changed.append(Relative(ledger, name, workspace, *what, max(entries, 0)))
        if has_strangers:
            with suppress(OSError):  # they are asked for again
                self.keep()
        return changed

    def note(self, relative: Relative, entries: int) -> None:
        """Its entries before this number were seen."""
        self._seen[relative.name] = [relative.mtime_ns, relative.size, entries]

    def keep(self) -> None:
        """Remember what was noted.

        Raises:
            OSError: the disk refused.
        """
        self._ledger.keep_clones(self._seen)

    def noted(self) -> list[Ledger]:
        """The ledgers of all clones that we have ever seen."""
        return [self._ledger.beside(name) for name, seen in self._seen.items() if seen[2] >= 0]

    def _others(self) -> Iterator[tuple[str, os.stat_result]]:
        found = []
        directory, own = os.path.split(self._ledger.image)
        if not os.path.isdir(directory):
            return
        for each in os.scandir(directory):
            if each.name.endswith(IMAGE) and each.name != own:
                with suppress(OSError):
                    found.append((each.name, each.stat(follow_symlinks=False)))
        found.sort(key=lambda each: -each[1].st_mtime_ns)
        for name, status in found[:OTHERS_MAX]:
            yield name.removesuffix(IMAGE), status

    def _clone_at(self, ledger: Ledger) -> str | None:
        """Where the workspace of this ledger is or was; None of what is no clone."""
        workspace = ledger.place().get("workspace")
        if not isinstance(workspace, str) or not self._has(ledger.sources() or {}):
            return None
        is_same = _without(ledger.place().get("rules"), workspace) == self._rules
        return workspace if is_same else None

    def _has(self, sources: dict[str, int]) -> bool:
        """Are most of these here?"""
        same = 0
        for name, size in sources.items():
            with suppress(OSError, ValueError):
                same += os.stat(os.path.join(self._workspace, name)).st_size == size
        return same * 2 > len(sources)


def _stranger_to(workspace: str, rules: str) -> int:
    """Stands in place of a number of entries for a workspace that is no clone. That one is not
    asked again before a name is made in the workspace, as a checkout of its sources does."""
    changed_ns = 0
    with suppress(OSError):
        changed_ns = os.stat(workspace).st_mtime_ns
    return -1 - zlib.crc32(os.fsencode(f"{changed_ns} {rules}"))


def _without(rules: object, workspace: str) -> str:
    """What the user says of programs and directories, wherever the workspace is."""
    return json.dumps(rules).replace(json.dumps(workspace + "/")[1:-1], "")
