"""The server's sockets: which peers come in, how much each is heard, and which have to go.

    accept -> Guest (a process) -> Connection -> zmtp -> handle(connection, frames)
                                              <- send(connection, frames)

In: connections to a unix socket, from any process that may reach it: builds, and whatever else runs
as this user. Out: messages, a fair share for each process. Never: a wait, a thread, memory or
descriptors without a limit, or an exception because of what a peer did.

G1  At most `connections_max` at once, and `GUEST_CONNECTIONS_MAX` of one process. When all places
    are taken, a new connection takes the place of the oldest that is owed nothing, of the process
    that has most: idle and half-open ones may stay for ever, and are in no peer's way. Where all
    are owed something, the process that has many loses one (asking again is harmless); if none has
    many, the new connection waits in the backlog.
G2  In one turn a process is heard `MESSAGES_PER_TURN` times, however many connections it has.
G3  A process that has `OWED_MAX` answers to come, or does not read those that came, is not read
    from. Its own requests wait in its own sockets.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from . import zmtp

CONNECTIONS_MAX = 1000  # below what one epoll_wait tells of
GUEST_CONNECTIONS_MAX = 256
FEW = 4  # connections that a process has for good reason
OWED_MAX = 64
MESSAGES_PER_TURN = 8
ACCEPTS_PER_TURN = 32
BACKLOG = 128  # a peer that finds it full waits in connect(2), first come first served
RECEIVE_BYTES = 1 << 16
UNREAD_BYTES_MAX = 16 << 20  # answers that a peer did not read; with more it is disconnected
MUTED_S = 0.1  # no descriptor is to be had: so long no peer is let in
DESCRIPTORS_WANTED = 4096
DESCRIPTORS_OF_OTHERS = 96  # files, shards, pipes: what the rest of a server needs
CONNECTIONS_MIN = 16
READ, WRITE, GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_CREDENTIALS = struct.Struct("iII")


class Guest:
    """One process that is connected, or that still is owed answers."""

    __slots__ = ("connections", "heard", "owed", "pid", "turn")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.connections: dict[int, Connection] = {}  # by descriptor, oldest first
        self.owed = 0
        self.turn = 0  # the last in which the process was heard,
        self.heard = 0  # and how often in it


class Connection:
    """One peer. What it is to others is its identity, also when it is closed."""

    __slots__ = ("guest", "interest", "owed", "socket", "talk")

    def __init__(self, sock: socket.socket, guest: Guest, limit_bytes: int) -> None:
        self.socket: socket.socket | None = sock
        self.guest = guest
        self.owed = 0
        self.interest = 0
        self.talk = zmtp.Conversation(limit_bytes)


class Door:
    """One listening socket and its connections. Owned by one thread."""

    def __init__(
        self,
        path: str,
        *,
        message_bytes_max: int,
        connections_max: int = CONNECTIONS_MAX,
        owed_max: int = OWED_MAX,
        admits: Callable[[int], bool] = lambda pid: True,
    ) -> None:
        """Listen at `path`; a stale socket there is taken over, the lock being ours.

        Args:
            admits: whether the process of that pid may come in; asked once for each connection.
            owed_max: how many answers a process may wait for; 0 when messages are no questions.
        """
        self._message_bytes_max = message_bytes_max
        self._connections_max = connections_max
        self._owed_max = owed_max
        self._admits = admits
        self._guests: dict[int, Guest] = {}
        self._by_descriptor: dict[int, Connection] = {}
        self._leftover: dict[Connection, None] = {}  # fed, and heard enough in this turn
        self._turn = 0
        self._muted_until = 0.0
        self.turned_away = 0
        self._path = path
        self._listener, self._identity = _listening(path)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), READ)

    def fileno(self) -> int:
        """Readable when `turn` has something to do."""
        return self._epoll.fileno()

    def wait_s(self, now: float) -> float | None:
        """How long `turn` may be put off though `fileno` is not readable; None: for ever."""
        if self._leftover:
            return 0.0
        return max(0.0, self._muted_until - now) if self._muted_until else None

    def stand(self) -> bool:
        """Listen anew where our socket's name was removed, or is another's; True when it was.

        Connected peers stay so. A peer that waited to be let in asks again.

        Raises:
            OSError: it cannot be bound; the door is as it was.
        """
        if _identity(self._path) == self._identity:
            return False
        listener, self._identity = _listening(self._path)
        self._listener.close()  # which takes it out of the epoll
        self._listener = listener
        if not self._muted_until:
            self._epoll.register(listener.fileno(), READ)
        return True

    def turn(self, handle: Callable[[Connection, list[bytes]], bool]) -> None:
        """Let in, listen, answer: once round. `handle` says whether an answer will be sent."""
        self._turn += 1
        if self._muted_until and time.monotonic() >= self._muted_until:
            self._muted_until = 0.0
            self._epoll.register(self._listener.fileno(), READ)
        for connection in list(self._leftover):
            del self._leftover[connection]
            self._listen(connection, handle)
        somebody_knocks = False
        for descriptor, events in self._epoll.poll(0):
            found = self._by_descriptor.get(descriptor)
            if found is not None:
                self._on_event(found, events, handle)
            somebody_knocks |= descriptor == self._listener.fileno()
        if somebody_knocks:  # last: a descriptor must not change hands while events are handled
            self._let_in()

    def send(self, connection: Connection, frames: Sequence[bytes]) -> bool:
        """Answer; False when the peer is gone, or did not read `UNREAD_BYTES_MAX`."""
        self._pay(connection)
        if connection.socket is None:
            return False
        connection.talk.out += zmtp.encode(frames)
        if self._speak(connection) and len(connection.talk.out) > UNREAD_BYTES_MAX:
            self._close(connection)
        return connection.socket is not None

    def statistics(self) -> dict[str, int]:
        """Counts for `velo status`."""
        return {"connections": len(self._by_descriptor), "turned_away": self.turned_away}

    def close(self, *, linger_s: float) -> None:
        """Say what is left to say, for at most `linger_s`, and close everything."""
        self._listener.close()
        deadline = time.monotonic() + linger_s
        talking = [each for each in self._by_descriptor.values() if each.talk.out]
        while talking and time.monotonic() < deadline:
            poller = select.poll()
            for each in talking:
                assert each.socket is not None
                poller.register(each.socket, select.POLLOUT)
            poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            talking = [each for each in talking if self._speak(each)]
        for each in list(self._by_descriptor.values()):
            self._close(each)
        self._epoll.close()

    # ---- coming and going ---------------------------------------------------------------------

    def _let_in(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            full = len(self._by_descriptor) >= self._connections_max
            victim = self._victim() if full else None
            if full and victim is None:
                self._mute()
                return
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return
                if error.errno in NO_ROOM:
                    self._without_descriptors()
                    return
                continue  # the peer was gone before we came to it
            self._turn_away(victim)
            self._welcome(sock)

    def _without_descriptors(self) -> None:
        victim = self._victim()
        self._turn_away(victim)
        if victim is None:
            self._mute()

    def _welcome(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            sock.close()
            return
        pid = _CREDENTIALS.unpack(credentials)[0]
        guest = self._guests.get(pid) or Guest(pid)
        crowded = len(guest.connections) >= GUEST_CONNECTIONS_MAX
        victim = _idle(guest.connections) if crowded else None
        if not self._admits(pid) or (crowded and victim is None):
            self.turned_away += 1
            sock.close()
            return
        self._turn_away(victim)
        connection = Connection(sock, guest, self._message_bytes_max)
        self._guests[pid] = guest
        guest.connections[sock.fileno()] = connection
        self._by_descriptor[sock.fileno()] = connection
        connection.interest = READ
        self._epoll.register(sock.fileno(), READ)
        self._speak(connection)

    def _victim(self) -> Connection | None:
        """Whose place the next may have, as G1 says; None when all are needed."""
        largest = max(self._guests.values(), key=lambda each: len(each.connections), default=None)
        if largest is None:
            return None
        victim = _idle(largest.connections) or _idle(self._by_descriptor)
        if victim is None and len(largest.connections) > FEW:
            victim = next(iter(largest.connections.values()))
        return victim

    def _turn_away(self, connection: Connection | None) -> None:
        if connection is not None:
            self.turned_away += 1
            self._close(connection)

    def _mute(self) -> None:
        self._epoll.unregister(self._listener.fileno())
        self._muted_until = time.monotonic() + MUTED_S

    def _close(self, connection: Connection) -> None:
        sock, connection.socket = connection.socket, None
        if sock is None:
            return
        self._leftover.pop(connection, None)
        del self._by_descriptor[sock.fileno()]
        del connection.guest.connections[sock.fileno()]
        self._forget(connection.guest)
        sock.close()  # which takes it out of the epoll

    def _forget(self, guest: Guest) -> None:
        if not guest.connections and not guest.owed and self._guests.get(guest.pid) is guest:
            del self._guests[guest.pid]

    # ---- listening and speaking ---------------------------------------------------------------

    def _on_event(
        self, connection: Connection, events: int, handle: Callable[[Connection, list[bytes]], bool]
    ) -> None:
        if events & WRITE:
            self._speak(connection)
        if events & READ and connection.interest & READ:
            self._receive(connection, handle)
        elif events & GONE:
            self._close(connection)

    def _receive(
        self, connection: Connection, handle: Callable[[Connection, list[bytes]], bool]
    ) -> None:
        if connection in self._leftover or not self._may_speak(connection.guest):
            return  # the kernel keeps it for the next turn
        assert connection.socket is not None
        try:
            data = connection.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.talk.feed(data)
        self._listen(connection, handle)

    def _listen(
        self, connection: Connection, handle: Callable[[Connection, list[bytes]], bool]
    ) -> None:
        """Hand on what was fed, as far as it is the guest's turn."""
        guest = connection.guest
        while connection.socket is not None and connection.interest & READ:
            if not self._may_speak(guest):
                self._leftover[connection] = None
                return
            try:
                frames = connection.talk.message()
            except zmtp.Broken:
                self._close(connection)
                return
            if frames is None:
                break
            guest.heard += 1
            self._owe(connection)
            if not handle(connection, frames):
                self._pay(connection)
        self._speak(connection)  # a PONG, perhaps

    def _may_speak(self, guest: Guest) -> bool:
        if guest.turn != self._turn:
            guest.turn, guest.heard = self._turn, 0
        return guest.heard < MESSAGES_PER_TURN

    def _owe(self, connection: Connection) -> None:
        """One answer more is owed; a peer that has too many to come is not heard any more."""
        if self._owed_max:
            connection.owed += 1
            connection.guest.owed += 1
            if connection.guest.owed == self._owed_max:
                self._probe_all(connection.guest)

    def _pay(self, connection: Connection) -> None:
        """One answer less is owed; a peer that had too many to come is heard again."""
        if connection.owed:
            connection.owed -= 1
            connection.guest.owed -= 1
            if connection.guest.owed == self._owed_max - 1:
                self._probe_all(connection.guest)
            self._forget(connection.guest)

    def _probe_all(self, guest: Guest) -> None:
        for each in guest.connections.values():
            self._probe(each)

    def _speak(self, connection: Connection) -> bool:
        """Send what the socket takes; True while something is left."""
        out = connection.talk.out
        try:
            while out and connection.socket is not None:
                del out[: connection.socket.send(out, socket.MSG_NOSIGNAL)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._close(connection)
        self._probe(connection)
        return connection.socket is not None and bool(out)

    def _probe(self, connection: Connection) -> None:
        """Poll for what is wanted of this connection now."""
        if connection.socket is None:
            return
        wanted = WRITE if connection.talk.out else 0
        if not wanted and (not self._owed_max or connection.guest.owed < self._owed_max):
            wanted = READ
        if wanted == connection.interest:
            return
        if wanted & READ and connection.talk.has_input:
            self._leftover[connection] = None
        connection.interest = wanted
        self._epoll.modify(connection.socket.fileno(), wanted)


def _idle(pool: dict[int, Connection]) -> Connection | None:
    """The oldest that is owed nothing."""
    return next((each for each in pool.values() if not each.owed), None)


def _listening(path: str) -> tuple[socket.socket, tuple[int, int] | None]:
    """A socket that listens at `path`, whatever was there, and which file that is."""
    with suppress(FileNotFoundError):
        try:
            os.unlink(path)
        except IsADirectoryError:
            os.rmdir(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener, _identity(path)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file `path` is, by lstat: a socket's fstat tells another identity than its name's."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connections_that_fit() -> int:
    """How many connections this process may have; raises its limit of descriptors to that end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, soft - DESCRIPTORS_OF_OTHERS))
