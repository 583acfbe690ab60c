"""Runtimes that start, and what they ask meanwhile: the time, chance, how long something took.

In: programs, what they read, what they ask, in their order. Out: does a question belong to the
start of a runtime, whatever the script is? Never: what the script does with an answer.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from . import programs, scripts
from . import unit_log as log
from .programs import SYSTEM

_ENVIRONMENT = "pyvenv.cfg"  # in the directory of a virtual environment of Python
# Python's logging notes when it began, once, and tells so with messages alone, of which each asks
# for the time itself.
_LOGGING = re.compile(r"/lib/python3\.\d+/logging/(?:__pycache__/)?__init__\.[\w.-]*pyc?$")
_BEGAN = re.compile(rb"_startTime")
_LIBRARY = re.compile(r"/lib/python3\.\d+/(?!(?:site|dist)-packages/)")


class Start(NamedTuple):
    """An interpreter that reads its own files, and has not come to its script."""

    homes: tuple[str, ...]  # below which it is installed: of `/x/bin/python3`, `/x/`
    script: tuple[str, ...]  # how its paths begin
    names: tuple[str, ...]  # and how its name does, wherever the process stands by then
    modules: tuple[str, ...] = ()  # of `-m`: directories of packages
    is_import: bool = False  # of a module that asks for the time once, while it is imported

    @classmethod
    def of(cls, program: str, script: str, cwd: str, *, is_module: bool = False) -> Start:
        """The start of `program SCRIPT`. Some interpreters follow a symlink at SCRIPT."""
        home = os.path.dirname(os.path.dirname(program)).rstrip("/") + "/"
        if is_module:
            package, _, name = script.rpartition(".")
            first = (package or name).partition(".")[0]
            return cls((home,), (), (f"{name}.",), (f"/{first}/", f"/{name}/"))
        named = os.path.normpath(os.path.join(cwd, script))
        paths = (named, os.path.realpath(named))
        return cls((home,), paths, tuple(map(os.path.basename, paths)))

    def goes_on(self, path: str) -> bool:
        """Does reading `path` belong to the start? It is installed, and not the script."""
        if self.is_import:
            return _LIBRARY.search(path) is not None
        if not self.script and not self.names:
            return True
        homes = [home for home in self.homes if home != "/"]
        installed = path.startswith((*SYSTEM, *homes)) or os.path.basename(path) == _ENVIRONMENT
        is_script = path.startswith(self.script) or os.path.basename(path).startswith(self.names)
        is_script |= any(each in path for each in self.modules)
        return installed and not is_script

    def after(self, path: str) -> Start:
        """The start behind such a reading: Python is in an environment, where more is installed."""
        if os.path.basename(path) != _ENVIRONMENT:
            return self
        return self._replace(homes=(*self.homes, os.path.dirname(path) + "/"))


FILTER = Start((), (), ())  # what it reads is no program
IMPORT = Start((), (), (), is_import=True)


class Starts:
    """The processes of a unit that start, or import such a module."""

    def __init__(self, cwd: str, filtering: set[int]) -> None:
        self._cwd, self._filtering = cwd, filtering
        self._all: dict[int, Start] = {}
        self._runtimes: set[int] = set()

    def runs(self, program: log.Record, name: str) -> None:
        """A process runs this program from here on."""
        process = program.process
        self._all.pop(process, None)
        self._runtimes.discard(process)
        if programs.is_runtime(name):
            self._runtimes.add(process)
            start = self._of(program)
            if start is not None:
                self._all[process] = start

    def _of(self, program: log.Record) -> Start | None:
        """None: it is given a text."""
        path, _, script = program.texts
        if program.flags & log.GIVEN_TEXT:
            return FILTER if program.process in self._filtering else None
        return Start.of(path, script, self._cwd, is_module=program.flags & log.MODULE != 0)

    def reads(self, process: int, path: str) -> None:
        """It reads a file, which ends the start or begins an import."""
        start = self._all.pop(process, None)
        if start is not None and start.goes_on(path):
            self._all[process] = start.after(path)
        elif process in self._runtimes and _LOGGING.search(path) and scripts.holds(path, _BEGAN):
            self._all[process] = IMPORT

    def asks(self, asked: log.Record, what: int) -> bool:
        """Is that a part of it? An import asks for the time, once."""
        start = self._all.get(asked.process)
        if start is not IMPORT:
            return start is not None
        if what != log.CLOCK:  # python measures each import, too
            return False
        del self._all[asked.process]
        # A plugin's question is written down once, however often it asks.
        return not asked.flags & (log.AGAIN | log.BY_PLUGIN)
