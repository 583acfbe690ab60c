"""Which variables of its environment a step depends on.

    known programs alone ran -> those that they asked for (getenv), and those that scripts name
    any other ran            -> all that may count

What libc and shells ask for unseen is in each step's key. In: a unit's log, what its scripts name.
Out: names; their digest, as interpose/preload/replay/key.c makes it. Never: a value. [pure]
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from functools import lru_cache

from . import programs, questions
from . import unit_log as log
from .questions import normal

Names = tuple[bytes, ...]

NAMES_MAX = 512
MACHINE = b"\1"  # the variable whose value uname tells: key.h, VELO_NAME_OF_MACHINE
# In a digest, for the path of the workspace, as key.c has it; and what it stands between.
MARK = bytes.fromhex("019de3027cf183b6a81fc495d703ee01")
EDGES = rb""":=,; "'()|&\n"""
# Ours, or of the shell alone: they never count. PWD is in the key, where it says anything.
_NOISE = re.compile(rb"VELO_.*|_|LD_PRELOAD|PWD")
# Programs that are known colour with it what they say on a terminal.
_OF_TERMINALS = {b"TERM"}


def used_by(
    unit: log.UnitLog, running: Iterable[str], named: frozenset[bytes] | None
) -> Names | None:
    """The names that count, in their order; None: all that may.

    Args:
        unit: its questions are learned (questions.learn).
        running: names of its programs, as programs.py has them.
        named: what its scripts name, or MACHINE; None: they may name any.
    """
    if named is None or unit.is_cut or not all(map(programs.asks_by_name, running)):
        return None
    keys = set(unit.keys)
    if _has_plugin(keys):
        return None
    asked = {key[4:].partition(b"\0")[0] for key in keys & questions.of_kind(log.VARIABLE)}
    if not any(unit.said):
        asked -= _OF_TERMINALS
    names = {name for name in asked | named if _NOISE.fullmatch(name) is None}
    return None if b"" in names or len(names) > NAMES_MAX else tuple(sorted(names))


def _has_plugin(keys: set[bytes]) -> bool:
    """Code that came neither with the system nor with a program may look at `environ`."""
    homes = {_home_of(key) for key in keys & questions.of_kind(log.PROGRAM)}
    objects = {questions.asked_by(key).path for key in keys & questions.of_kind(log.OBJECT)}
    return not all(each.startswith((*homes, *programs.SYSTEM)) for each in objects)


def _home_of(program: bytes) -> str:
    return os.path.dirname(os.path.dirname(normal(log.decode(program[4:])))).rstrip("/") + "/"


def digest_of(unit: log.UnitLog, names: Names | None, workspace: str) -> bytes:
    """The digest of these variables, as programs that start the step will make it."""
    if names is None:
        return unit.counted
    wanted, made = frozenset(names), hashlib.sha256()
    for name, entry in _by_name(unit.environment, unit.ignored):
        if name in wanted:
            is_words = name == b"MAKEFLAGS"
            made.update((entry if is_words else _marked(entry, workspace)) + b"\0")
    return made.digest()


def packed(names: Names | None) -> bytes | None:
    """The list as an index has it."""
    return None if names is None else b"\0".join(names)


def unpacked(listed: bytes | None) -> Names | None:
    """The names of such a list."""
    return None if listed is None else tuple(filter(None, listed.split(b"\0")))


@lru_cache(maxsize=64)  # nearly all steps of a build have the same
def _by_name(*environments: bytes) -> list[tuple[bytes, bytes]]:
    entries = [each for text in environments for each in text.split(b"\0") if each]
    return sorted(((each.partition(b"=")[0], each) for each in entries), key=lambda pair: pair[0])


@lru_cache(maxsize=1024)
def _marked(entry: bytes, workspace: str) -> bytes:
    path = re.escape(os.fsencode(workspace))
    if workspace == "/":
        return entry
    return re.sub(rb"(?<![^%b])%b(?=[/%b]|\Z)" % (EDGES, path, EDGES), lambda found: MARK, entry)
