"""Directories in which programs cache for themselves: neither inputs nor outputs of a step.

rustc keeps what it knows of the last compilation, and trusts none of it. ccache keeps what
compilers made, for whom it stands. In: a unit's log. Out: directories, or why it cannot be cached.
[touches disk]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from .. import plain
from . import programs
from . import unit_log as log
from .refusals import NotCached

CONFIGURED = re.compile(r"^\s*(?:cache_dir|temporary_dir)\s*=\s*(.*?)\s*$", re.MULTILINE)


def of(unit: log.UnitLog) -> tuple[str, ...]:
    """Those of the unit's programs.

    Raises:
        NotCached: ccache answered for the compiler, so nobody knows where that would have looked:
            for headers that are not there, before all.
    """
    names = {programs.name_of(*each.texts) for each in unit.deeds if each.kind == log.PROGRAM}
    directories = list(_of_rustc(unit.words[1], unit.words[2]))
    if "ccache" in names:
        if not any(map(programs.is_compiler, names)):
            raise NotCached("ccache answered it: where its compiler looks is not known")
        directories += _of_ccache(dict(unit.variables))
    return tuple(directories)


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
