"""What leads a command to others from the start: descriptors that it inherits, and FIFOs.

In: this process's descriptors, a few directories. Out: sockets and FIFOs whose other end a process
may have that works for the command, with its pid; whether there are FIFOs.
Never: what the standard streams lead to (a terminal, a CI runner or an editor reads those, and
looks into no tree on their behalf), unless two of them are one socket, as when a server of
connections started the command; pipes without a name, which carry logs, or the words of a process
that only drives the command; make's jobserver; and nothing is read, written or closed.

Most commands inherit none, so the module for sockets is loaded only for those that do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

STANDARD_STREAMS = 3
ENTRIES_MAX = 4096  # of a directory: a command should not wait for a large one


def peers() -> Iterator[tuple[int, int]]:
    """Each socket that is connected on this machine, and each FIFO, with the pid of its peer, 0
    where that is not known. One of its descriptors, if it has several."""
    for fd in _inherited_sockets():
        with suppress(OSError):  # it is not connected
            pid = _peer_of(fd)
            if pid is not None:
                yield fd, pid
    for fd in _inherited_fifos():
        for pid in _at_other_end(fd):
            yield fd, pid


def fifos_stand_in(workspace: str | os.PathLike[str]) -> bool:
    """Is there a FIFO where people put such: in the workspace, or beside other temporary files?
    Make's own FIFOs do not count: no process outside works by them."""
    places = (workspace, "/tmp", os.environ.get("TMPDIR"), os.environ.get("XDG_RUNTIME_DIR"))
    return any(_has_fifo(place) for place in dict.fromkeys(places) if place)


def _has_fifo(place: str | os.PathLike[str]) -> bool:
    with suppress(OSError), os.scandir(place) as entries:
        for entry in islice(entries, ENTRIES_MAX):
            is_other = not (
                entry.is_file(follow_symlinks=False)
                or entry.is_dir(follow_symlinks=False)
                or entry.is_symlink()
            )
            if is_other and not entry.name.startswith("GMfifo"):
                with suppress(OSError):
                    if stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                        return True
    return False


def _inherited(is_kind: Callable[[int], bool]) -> list[list[int]]:
    found: dict[int, list[int]] = {}  # inode: descriptors
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        with suppress(OSError):  # the listing itself
            state = os.fstat(fd)
            if is_kind(state.st_mode) and os.get_inheritable(fd):
                found.setdefault(state.st_ino, []).append(fd)
    return list(found.values())


def _inherited_sockets() -> list[int]:
    return [fds[0] for fds in _inherited(stat.S_ISSOCK) if _is_for_words(fds)]


def _is_for_words(fds: list[int]) -> bool:
    """No standard stream, or the one that it reads is the one that it answers by."""
    return fds[0] >= STANDARD_STREAMS or {0, 1} <= set(fds)


def _inherited_fifos() -> list[int]:
    """The FIFOs that have a name."""
    apart = [fds[0] for fds in _inherited(stat.S_ISFIFO) if fds[0] >= STANDARD_STREAMS]
    names = {fd: _name_of(fd) for fd in apart}
    return [
        fd for fd, name in names.items() if not name.startswith("pipe:") and "/GMfifo" not in name
    ]


def _name_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _rights_of(pid: int | str, fd: int | str) -> int:
    mode = os.lstat(f"/proc/{pid}/fd/{fd}").st_mode & 0o600
    return {0o400: os.O_RDONLY, 0o200: os.O_WRONLY}.get(mode, os.O_RDWR)


def _at_other_end(fd: int) -> list[int]:
    """One process that has the other end of `fd`'s FIFO, if there is one. Where `fd` is both ends,
    our parent does not count: it only hands on what it opened."""
    name, ours = _name_of(fd), _rights_of("self", fd)
    theirs = {os.O_RDONLY, os.O_WRONLY, os.O_RDWR} - ({ours} - {os.O_RDWR})
    passed_over = {os.getpid(), os.getppid() if ours == os.O_RDWR else 0}
    for pid in sorted({int(pid) for pid in os.listdir("/proc") if pid.isdigit()} - passed_over):
        with suppress(OSError):  # it has ended, or is not to be looked into
            held = [at for at in os.listdir(f"/proc/{pid}/fd") if _leads_to(pid, at, name)]
            if any(_rights_of(pid, at) in theirs for at in held):
                return [pid]
    return []


def _leads_to(pid: int, fd: str, name: str) -> bool:
    return os.readlink(f"/proc/{pid}/fd/{fd}") == name


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
