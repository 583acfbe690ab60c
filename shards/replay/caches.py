"""Directories in which programs cache for themselves: neither inputs nor outputs of a step.

rustc keeps what it knows of the last compilation, and trusts none of it. ccache keeps what
compilers made, for whom it stands. In: a unit's log. Out: directories, or why it cannot be cached.
[touches disk]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from .. import plain
from . import programs
from . import unit_log as log
from .refusals import NotCached

CONFIGURED = re.compile(r"^\s*(?:cache_dir|temporary_dir)\s*=\s*(.*?)\s*$", re.MULTILINE)


def of(unit: log.UnitLog) -> tuple[str, ...]:
    """Those of the unit's programs.

    Raises:
        NotCached: ccache answered for the compiler, so it is not known where that would have
            looked: for headers that are not there, before all.
    """
    directories = list(_of_rustc(unit.words[1], unit.words[2]))
    if any(each.kind == log.PROGRAM and _name(each) == "ccache" for each in unit.deeds):
        if not _runs_compilers(unit.records):
            raise NotCached("ccache answered it: where its compiler looks is not known")
        hosted = [log.hosted_of(each)[0] for each in unit.deeds if each.kind == log.HOSTED_PATH]
        known = set(_of_ccache(dict(unit.variables)))
        # What it keeps in a hosted directory is part of the tree.
        directories += [each for each in known if not any(p.startswith(each + "/") for p in hosted)]
    return tuple(directories)


def _name(program: log.Record) -> str:
    return programs.name_of(*program.texts)


def _runs_compilers(records: Sequence[log.Record]) -> bool:
    """Each ccache had a compiler run, before it ended or in its place."""
    last = {record.process: at for at, record in enumerate(records)}
    started = [at for at, record in enumerate(records) if record.kind == log.PROGRAM]
    ran = [at for at in started if programs.is_driver(_name(records[at]))]
    return all(
        any(began < at <= last[records[began].process] for at in ran)
        for began in started
        if _name(records[began]) == "ccache"
    )


def _of_rustc(cwd: str, arguments: list[str]) -> Iterator[str]:
    for word in arguments:
        _, found, path = word.partition("incremental=")
        if found:
            yield os.path.normpath(os.path.join(cwd, path))


def _of_ccache(variables: Mapping[str, str]) -> Iterator[str]:
    """By its manual: variables, then the user's settings, then the system's."""
    home = variables.get("HOME", "")
    cache = os.path.join(variables.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "ccache")
    given = [variables.get("CCACHE_DIR", ""), os.path.join(home, ".ccache"), cache]
    config = variables.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files = [variables.get("CCACHE_CONFIGPATH", ""), "/etc/ccache.conf"]
    files += [os.path.join(each, "ccache.conf") for each in (*given, f"{config}/ccache")]
    for path in files:
        with suppress(OSError):
            given += CONFIGURED.findall(plain.read_text(path))
    given.append(variables.get("CCACHE_TEMPDIR", ""))
    given.append(os.path.join(variables.get("XDG_RUNTIME_DIR", ""), "ccache-tmp"))
    absolute = map(os.path.expanduser, filter(None, given))
    return (os.path.realpath(each) for each in absolute if each.startswith("/"))
