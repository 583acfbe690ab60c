"""Sockets that a command inherits: who is at the other end, from before velo was there.

In: this process's descriptors. Out: those whose peer may work for the command, with its pid.
Never: what the standard streams lead to (a terminal, a CI runner or an editor reads those, and
looks into no tree on their behalf), unless two of them are one socket, as when a server of
connections started the command; and nothing is read, written or closed.

Most commands inherit none, so what knows sockets is loaded for those that do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

STANDARD_STREAMS = 3


def peers() -> Iterator[tuple[int, int]]:
    """Each socket that is connected on this machine, with the pid of its peer, 0 where that is
    not known. One of its descriptors, if it has several."""
    for fd in _inherited_sockets():
        with suppress(OSError):  # it is not connected
            pid = _peer_of(fd)
            if pid is not None:
                yield fd, pid


def _inherited_sockets() -> list[int]:
    found: dict[int, list[int]] = {}  # inode: descriptors
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        with suppress(OSError):  # the listing itself
            state = os.fstat(fd)
            if stat.S_ISSOCK(state.st_mode) and os.get_inheritable(fd):
                found.setdefault(state.st_ino, []).append(fd)
    return [fds[0] for fds in found.values() if _is_for_words(fds)]


def _is_for_words(fds: list[int]) -> bool:
    """No standard stream, or the one that it reads is the one that it answers by."""
    return fds[0] >= STANDARD_STREAMS or {0, 1} <= set(fds)


def _peer_of(fd: int) -> int | None:
    import socket

    with socket.socket(fileno=os.dup(fd)) as end:
        if end.family == socket.AF_UNIX:
            return _peer_by_credentials(end)
        if end.family in (socket.AF_INET, socket.AF_INET6):
            here, there = end.getsockname()[0], end.getpeername()[0]
            return 0 if here == there or there.startswith(("127.", "::ffff:127.")) else None
    return None


def _peer_by_credentials(end: socket.socket) -> int:
    import socket
    import struct

    end.getpeername()  # raises where it is not connected
    credentials = struct.Struct("iII")  # struct ucred: pid, uid, gid
    raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    return max(0, int(credentials.unpack(raw)[0]))
