"""Scripts in files that make something of the time or of chance.

Shells and awks ask for both in any case. In: a unit's log. Out: whether a script that one of them
read names such a thing; one that stands in a temporary file's name counts for nothing. Never: what
Python and others read, which ask for themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache

from . import programs
from . import unit_log as log
from .questions import normal

READ_MAX = 4 << 20

# Of bash: what it has as variables, and dates of printf. Of awk, also inside of shell scripts:
# its functions.
_TELLS = re.compile(
    rb"\bEPOCH(?:REALTIME|SECONDS)\b|\$\{?SECONDS\b|\$\{?S?RANDOM\b|\(\([^)\n]*\bS?RANDOM\b|%\([^)\n]*\)T|"
    rb"\b(?:s?rand|systime|strftime)\s*\("
)
# As configure and libtool have it: of a directory that is removed again.
_TEMPORARY = re.compile(rb"\S*\$\$\S*RANDOM\S*|\S*RANDOM\S*\$\$\S*")
_GIVEN = re.compile(r"(?:^|\s)(?:-f\s*|--file[=\s]|--include[=\s]|-i\s)(\S+)")


def tell(unit: log.UnitLog) -> bool:
    """Does a script of this unit say more than its inputs do?

    One that has changed since is judged as it is now: then there will be no entry, since the
    unit's inputs have changed, too.
    """
    return any(map(_tells, _scripts(unit)))


def _scripts(unit: log.UnitLog) -> Iterator[str]:
    given = {os.path.basename(path) for path in _GIVEN.findall(" ".join(unit.words[2]))}
    for life in unit.lives:
        first = log.record_of(life.questions[0], life.process) if life.questions else None
        if first is None or first.kind != log.PROGRAM:
            continue
        name = programs.name_of(*first.texts)
        if programs.is_shell(name) or programs.is_awk(name):
            for key in life.questions[1:]:
                record = log.record_of(key, life.process)
                path = normal(record.path) if record.kind == log.READ else "/etc/"
                if not path.startswith(programs.SYSTEM) and (
                    programs.is_shell(name)
                    or path.endswith(".awk")
                    or os.path.basename(path) in given
                ):
                    yield path


def _tells(path: str) -> bool:
    try:
        found = os.stat(path)
        return _tells_now(path, found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return False


@lru_cache(maxsize=1024)
def _tells_now(path: str, mtime_ns: int, inode: int, size: int) -> bool:
    """What `path` says; the rest is there to tell one text from the next."""
    with open(path, "rb") as file:
        return _TELLS.search(_TEMPORARY.sub(b"", file.read(READ_MAX))) is not None
