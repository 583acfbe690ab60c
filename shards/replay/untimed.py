"""Directories whose times a program is told and does not use.

A shell stats where it begins. Interpreters find out where a symlink leads, component by component:
node for its script, Python for `os.path.realpath`. Each directory up to the root would be an input
with its time, and so each name that anybody makes in one of them.

In: a unit's log. Out: facts of times that count as facts without. Never: a file; a directory that
a program asked for on its own. [pure]
"""

from __future__ import annotations

import os

from . import programs, scripts
from . import unit_log as log
from .questions import LTIMES, TIMES, Fact, normal


class Untimed:
    """Those of the programs of one unit."""

    def __init__(self, unit: log.UnitLog, compared: frozenset[str] | None) -> None:
        """`compared`: names whose times scripts compare; None: it may be any."""
        self._unit, self._compared = unit, compared
        self._begin = {each.process: normal(each.cwd) for each in unit.told}

    def of(self, program: log.Record, name: str) -> frozenset[Fact]:
        """Those of a program that a process runs, which is known by this name."""
        if programs.is_shell(name):
            return self._of_shell(program.process)
        return self._walked(program) if programs.runs_in_runtime(name) else frozenset()

    def _of_shell(self, process: int) -> frozenset[Fact]:
        """Where it begins, and where $PWD says so."""
        if self._compared is None:
            return frozenset()
        paths = {self._begin.get(process, ""), dict(self._unit.variables).get("PWD", "")}
        known = [path for path in paths if os.path.basename(path) not in self._compared]
        return frozenset(Fact(kind, path) for path in known for kind in (TIMES, LTIMES))

    def _walked(self, program: log.Record) -> frozenset[Fact]:
        """Directories on the way to another name: asked from the root on, not followed.

        Those that the process found by the names in a directory may be what it is about; so may
        any of a script that names a time, but for where the step stands, and above.
        """
        asked = {
            normal(record.path)
            for life in self._unit.lives
            if life.program == program
            for record in (log.record_of(key, life.process) for key in life.questions)
            if record.kind == log.LSTAT
        }
        above = {os.path.dirname(path) for path in asked}
        listed = {
            normal(record.path)
            for record in self._unit.deeds
            if record.kind == log.LIST and record.process == program.process
        }
        walked = set[str]()
        for path in sorted(asked & above):  # a directory before what is in it
            parent = os.path.dirname(path)
            if (parent == "/" or parent in walked) and parent not in listed:
                walked.add(path)
        if scripts.asks_of_names(self._unit, program.process):
            stands = self._unit.words[1] + "/"
            walked = {path for path in walked if stands.startswith(path.rstrip("/") + "/")}
        return frozenset(Fact(LTIMES, path) for path in walked)
