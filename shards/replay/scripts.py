"""Scripts in files that make something of the time, of chance, or of which file is newer.

Shells and awks ask for the first two in any case, and stat whatever they are asked about. In: a
unit's log. Out: whether a script that one of them read names such a thing; chance that stands in a
temporary file's name counts for nothing. Never: what Python and others read, which ask for
themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from . import programs
from . import unit_log as log
from .questions import normal

READ_MAX = 4 << 20

# Of bash: what it has as variables, and dates of printf. Of awk, also inside of shell scripts:
# its functions.
_TELLS = re.compile(
    rb"\bEPOCH(?:REALTIME|SECONDS)\b|\$\{?SECONDS\b|\$\{?S?RANDOM\b|\(\([^)\n]{0,99}\bS?RANDOM\b|"
    rb"%\([^)\n]{0,99}\)T|\b(?:s?rand|systime|strftime)\s{0,9}\(|"
    rb"\(\s{0,9}(?:RANDOM|TIMESTAMP)\s|\bcmake_host_system_information\b"  # of cmake
)
_COMPARES = re.compile(
    rb"""\s["']?-(?:nt|ot|ef)["']?\s|\b(?:cp|mv)\s{1,9}-\w{0,9}u|\s--update\b|\s--newer\b|"""
    rb"\bdiff\s(?:[^;&|\n]{0,200}?\s)?(?:-\w{0,9}[cCuUp]|--unified|--context)|\[\s{1,9}-[OGN]\s|"
    rb"""(?:\[|\btest)\s[^\];&|\n]{1,99}\s["']?-["']?\$|\b(?:IS_NEWER_THAN|ARCHIVE_CREATE)\b|"""
    rb"-E\s{1,9}(?:tar|copy_if_newer)\b|\(\s{0,9}TIMESTAMP\s"
)
_ARCHIVES = re.compile(
    rb"(?:^|[;&|(`/\s])(?:ar|ranlib)\s{1,9}(?:-\w{1,9}\s{1,9}){0,4}-?[a-z]{0,9}U[a-z]{0,9}\s", re.M
)
_NAMES_VARIABLES = re.compile(programs.TELLS_VARIABLES.pattern.encode(), re.M)
WORD_MAX = 100
_GIVEN = re.compile(r"(?:^|\s)(?:-f\s*|--file[=\s]|--include[=\s]|-i\s)(\S+)")


class Found(NamedTuple):
    """What scripts make something of."""

    tells: bool = False  # the time, or chance: they say more than their inputs do
    compares: bool = False  # which of two files is newer, or the same; or times of files are said
    archives: bool = False  # times of files go into archives
    variables: bool = False  # those that count for nothing otherwise, or all


def probe(unit: log.UnitLog) -> Found:
    """What the scripts of this unit make something of.

    One that has changed since is judged as it is now: then there will be no entry, since the
    unit's inputs have changed, too.
    """
    return Found(*map(any, zip(Found(), *map(_what, _scripts(unit)), strict=True)))


def _scripts(unit: log.UnitLog) -> Iterator[str]:
    for life in unit.lives:
        name = programs.name_of(*life.program.texts) if life.program is not None else ""
        if programs.is_shell(name) or programs.is_awk(name) or name == "cmake":
            paths = _read_by(life)
            yield from _awks_own(unit, paths) if programs.is_awk(name) else paths


def _read_by(life: log.Life) -> Iterator[str]:
    for key in life.questions[1:]:
        record = log.record_of(key, life.process)
        if record.kind == log.READ and not record.path.startswith(programs.SYSTEM):
            yield normal(record.path)


def _awks_own(unit: log.UnitLog, paths: Iterator[str]) -> Iterator[str]:
    """Most of what it reads is no script, but data."""
    given = {os.path.basename(path) for path in _GIVEN.findall(" ".join(unit.words[2]))}
    return (path for path in paths if path.endswith(".awk") or os.path.basename(path) in given)


def _what(path: str) -> Found:
    try:
        found = os.stat(path)
        return _what_now(path, found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return Found()


@lru_cache(maxsize=1024)
def _what_now(path: str, mtime_ns: int, inode: int, size: int) -> Found:
    """What does `path` make something of? The rest is there to tell one text from the next."""
    with open(path, "rb") as file:
        text = file.read(READ_MAX)
    if text.startswith(b"\x7fELF"):
        return Found()  # a program that the shell found
    return Found(
        any(not _is_temporary(text, found) for found in _TELLS.finditer(text)),
        _COMPARES.search(text) is not None,
        _ARCHIVES.search(text) is not None,
        _NAMES_VARIABLES.search(text) is not None,
    )


def _is_temporary(text: bytes, found: re.Match[bytes]) -> bool:
    """In a word such as `conf$$-$RANDOM`, as configure and libtool name what they remove again."""
    before = text[max(0, found.start() - WORD_MAX) : found.start()]
    after = text[found.end() : found.end() + WORD_MAX]
    word = (before.split() or [b""])[-1] if not before[-1:].isspace() else b""
    word += (after.split() or [b""])[0] if not after[:1].isspace() else b""
    return found[0].endswith(b"RANDOM") and b"$$" in word
