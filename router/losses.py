"""What a server that ended unasked would have told: files that somebody removed from memory.

    server, nobody asked it to end -> leave -> <root>/<id>.lost -> take -> the next command says it

In: sentences. Out: the same sentences, once. Never: a loss that is in a log alone, which went with
the directory that was removed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from velo.shards.errors import BytesLost, VeloError

from .arena import Arena, ensure_runtime_root

ERRORS = "surrogateescape"  # a path need not be text


def leave(arena: Arena, sentences: Sequence[str]) -> None:
    """For whoever comes next. Where nothing can be written, nobody hears it but the log."""
    with suppress(OSError, VeloError):
        ensure_runtime_root(arena.root)
        with open(_path(arena), "a", encoding="utf-8", errors=ERRORS, opener=_private) as file:
            file.write("".join(f"{sentence}\n" for sentence in sentences))


def take(arena: Arena) -> list[str]:
    """What was left, for one caller alone."""
    mine = f"{_path(arena)}.{os.getpid()}"
    try:
        os.rename(_path(arena), mine)
        with open(mine, encoding="utf-8", errors=ERRORS, opener=_private) as file:
            sentences = file.read().splitlines()
        os.unlink(mine)
    except OSError:
        return []
    arena.forget_root()
    return sentences


def tell(arena: Arena) -> None:
    """Say what was left.

    Raises:
        VeloError: there was something; its code is that of `BytesLost`.
    """
    sentences = take(arena)
    if sentences:
        raise VeloError("; ".join(sentences), code=BytesLost.code)


def _path(arena: Arena) -> str:
    return arena.directory + ".lost"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
