"""The commands inside: one small file per running `velo exec`, named by its pid.

In: a pid. Out: the live ones. The file holds the process's start time, because pids come back.
Never: a session that counts after its process has ended, or one that slips in while the server
leaves: the server first renames the directory away (`close`), so entering fails and the newcomer
starts a server of its own, and then looks whether another process was faster.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from velo.shards import plain

from .arena import Arena


class NobodyHome(OSError):
    """There is no arena to enter, or its server is just leaving; start one and try again."""


def start_time(pid: int) -> str | None:
    """When `pid` started, in clock ticks since boot; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return fields[19].decode()


@contextmanager
def _even_when_full() -> Iterator[None]:
    """In a full file system the name alone must do: it needs no page."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


class Session:
    """One `velo exec` inside an arena. Entered once, left once; a crash counts as leaving."""

    def __init__(self, arena: Arena, pid: int) -> None:
        self._path = os.path.join(arena.sessions, str(pid))
        self._moved = os.path.join(_closed(arena), str(pid))
        self._pid = pid

    def enter(self) -> None:
        """Be counted from now on.

        Raises:
            NobodyHome: the arena is not there or its server is leaving.
        """
        try:
            with open(self._path, "wb", buffering=0) as file, _even_when_full():
                file.write((start_time(self._pid) or "").encode())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NobodyHome(*error.args) from None

    def leave(self) -> None:
        """Be counted no more."""
        _forget(self._path)
        _forget(self._moved)


def opened(arena: Arena) -> None:
    """Let commands in: the server calls it before it answers any client."""
    os.makedirs(arena.sessions, mode=0o700, exist_ok=True)
    leaving = _closed(arena)
    for name in _names(leaving):
        os.rename(os.path.join(leaving, name), os.path.join(arena.sessions, name))
    if os.path.isdir(leaving):
        os.rmdir(leaving)


def close(arena: Arena) -> list[int]:
    """Let no command in any more; the pids of those that are inside. `opened` undoes it."""
    leaving = _closed(arena)
    try:
        os.rename(arena.sessions, leaving)
    except FileNotFoundError:
        return []
    return _alive_in(leaving)


def alive(arena: Arena) -> list[int]:
    """The pids inside. Files of dead ones are removed on the way."""
    return _alive_in(arena.sessions)


def _closed(arena: Arena) -> str:
    return arena.sessions + ".closed"


def _alive_in(directory: str) -> list[int]:
    pids = []
    for name in _names(directory):
        path = os.path.join(directory, name)
        try:
            since = plain.read_text(path)
        except OSError:
            continue
        now = start_time(int(name))
        if now is not None and since in ("", now):
            pids.append(int(name))
        else:
            _forget(path)
    return sorted(pids)


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.isdigit()]
    except OSError:
        return []


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
