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
    rb"\bEPOCH(?:REALTIME|SECONDS)\b|\$\{?SECONDS\b|\$\{?S?RANDOM\b|\(\([^)\n]{0,99}\bS?RANDOM\b|"
    rb"%\([^)\n]{0,99}\)T|\b(?:s?rand|systime|strftime)\s{0,9}\("
)
WORD_MAX = 100
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
        text = file.read(READ_MAX)
    return any(not _is_temporary(text, found) for found in _TELLS.finditer(text))


def _is_temporary(text: bytes, found: re.Match[bytes]) -> bool:
    """In a word such as `conf$$-$RANDOM`, as configure and libtool name what they remove again."""
    before = text[max(0, found.start() - WORD_MAX) : found.start()]
    after = text[found.end() : found.end() + WORD_MAX]
    word = (before.split() or [b""])[-1] if not before[-1:].isspace() else b""
    word += (after.split() or [b""])[0] if not after[:1].isspace() else b""
    return found[0].endswith(b"RANDOM") and b"$$" in word
