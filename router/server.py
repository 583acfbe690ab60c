"""The router's process: one thread, one poll, everything that happens to a server.

    clients --DEALER-- router.sock --+                        +-- shards.<pid>.sock -- shards
                                     +-- dispatcher (open requests) +
    signals, deaths, timers ---------+                        +-- arena, sessions

It answers from the first moment; what a shard is not there for yet waits for it.

In: messages, signals, deaths, the time. Out: answers, and why the arena stays when it ends
(`ending.py`). Never: a request without an answer, an exception of one that ends the loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from velo.interpose import launch
from velo.interpose.core import Region, layout_hash
from velo.shards.errors import ProtocolError, VeloError
from velo.shards.wire import (
    MAGIC,
    READY,
    STOPPED_S,
    Request,
    decode_reply,
    decode_request,
    encode_error,
    encode_ok,
    id_of,
    pid_and_name,
)

from . import VERSION, adoption, forked, kept, sessions
from .arena import Arena
from .config import Settings, default_cache_dir
from .dispatcher import Dispatcher, Outgoing, ToClient, ToShard
from .door import Connection, Door, connections_that_fit
from .ending import Ending, State
from .errors import Leaving, ShardGone
from .halted import Halted
from .lock_watch import LockWatch
from .report import assemble
from .supervisor import Process, Supervisor
from .units import format_size

QUESTION_BYTES_MAX = 1 << 16  # from clients; all that they ask is far smaller
ANSWER_BYTES_MAX = 1 << 24  # from shards
SHARD_CONNECTIONS_MAX = 64 + 16  # as many as shards, and a few that are just ending
TICK_S = 2.0
OWED_S = 0.25  # a shard that owes an answer for so long: was it stopped?
SHARDS_READY_S = 30.0
LINGER_S = 1.0
MYSELF = None  # the client of the server's own requests
OWN_ID = bytes(8)
NOWHERE, UNKNOWN = (0, 0), (0, 1)  # no directory's device and inode
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Server:
    """One router process. Everything happens in `run`, on one thread.

    Invariant: while `run` runs, the server lock is held and both sockets are bound.
    """

    def __init__(
        self,
        settings: Settings,
        arena: Arena,
        region: Region,
        *,
        still_ours: Callable[[], bool] = lambda: True,
        daemon: bool,
        say: Callable[[str], None],
        shard_command: Callable[[int], Sequence[str]] | None = None,
    ) -> None:
        self.settings = settings
        self.arena = arena
        self.region = region
        self.daemon = daemon
        self.say = say
        self._still_ours = still_ours
        self.shards_socket = arena.shards_socket(os.getpid())
        self.started_at = time.monotonic()
        self.dispatcher = Dispatcher(region.shards)
        self.front: Door
        self.back: Door
        self._shard_environment = launch.without_velo(os.environ)
        self.supervisor = Supervisor(
            region.shards,
            shard_command or self._shard_command,
            fork=None if shard_command else self._fork_shard,
            environment=self._shard_environment,
            lost=self._shard_lost,
            gave_up=self._shard_given_up,
        )
        self._names: dict[int, Connection] = {}  # shard: its connection to the back door
        self._status: tuple[bytes, bytes] = b"", b""  # what the shards said last, what became of it
        self._made = adoption.recorded_settings(arena, region)
        self._announced = False
        self._workspace = _identity(region.workspace)
        self._used_at = time.monotonic()
        self._doors_at = 0.0  # when to look again whether our sockets have their names
        self._owed_at = 0.0  # when to look again whether a shard was stopped
        self._halted = Halted()
        self._by_itself: dict[str, Callable[[Connection, Request], None]] = {
            "HELLO": self._on_hello,
            "STOP": lambda client, request: self.ending.stop(client, request),
            "OPAQUE": self._on_opaque,
            "PAUSE": self._on_pause,
            "RESUME": self._on_pause,
        }
        self.ending = Ending(
            arena,
            region,
            store=settings.cas_dir,
            flush=self._ask_for_last_flush,
            reply=self._reply,
            say=say,
        )

    # ---- life ---------------------------------------------------------------------------------

    def run(self, *, ready: Callable[[], None]) -> VeloError | None:
        """Serve until told to end; `ready` runs once, when requests are accepted.

        Returns None when the arena was removed, else the reason why it was left in place.
        """
        wakeup_read, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = LockWatch(self.region, self.supervisor, self.say)
        try:
            with _signals_to(wakeup_write):
                self._open_doors()
                sessions.opened(self.arena)
                self._write_pid()
                ready()
                self.supervisor.start()
                watch.start()
                self._loop(wakeup_read)
            self.supervisor.end()
            return self.ending.left
        finally:
            watch.end()
            self.supervisor.end(timeout_s=0)
            self._close_doors()
            os.close(wakeup_read)
            os.close(wakeup_write)

    def _open_doors(self) -> None:
        self.front = Door(
            self.arena.router_socket,
            message_bytes_max=QUESTION_BYTES_MAX,
            connections_max=connections_that_fit(),
        )
        self.back = Door(
            self.shards_socket,
            message_bytes_max=ANSWER_BYTES_MAX,
            connections_max=SHARD_CONNECTIONS_MAX,
            owed_max=0,
            admits=self.supervisor.knows,
        )

    def _close_doors(self) -> None:
        for name in ("front", "back"):
            door = getattr(self, name, None)  # none, when it could not be opened
            if door is not None:
                door.close(linger_s=LINGER_S)

    def _loop(self, wakeup: int) -> None:
        poller = select.poll()
        for readable in (self.front, self.back, wakeup):
            poller.register(readable, select.POLLIN)
        polled: set[int] = set()
        while not self.ending.done:
            descriptors = set(self.supervisor.descriptors())
            for descriptor in polled - descriptors:
                poller.unregister(descriptor)
            for descriptor in descriptors - polled:
                poller.register(descriptor, select.POLLIN)
            polled = descriptors
            events = dict(poller.poll(self._wait_ms()))
            for descriptor in polled & events.keys():
                poller.unregister(descriptor)
                polled = polled - {descriptor}
                self.supervisor.reap(descriptor)
            if wakeup in events:
                self._on_signals(os.read(wakeup, 64))
            self.back.turn(self._on_shard)
            self.front.turn(self._on_client)
            self._on_time(time.monotonic())

    def _wait_ms(self) -> int:
        now = time.monotonic()
        times = [now + TICK_S, self.dispatcher.next_deadline(), self.supervisor.next_start()]
        if self.dispatcher.waits:
            times.append(max(self._owed_at, now + OWED_S / 2))
        waits = [time - now for time in times if time is not None]
        waits += [
            wait for wait in (self.front.wait_s(now), self.back.wait_s(now)) if wait is not None
        ]
        shortest = min(waits)
        return int(shortest * 1000) + 1 if shortest > 0 else 0

    def _on_time(self, now: float) -> None:
        self._send(self.dispatcher.expired(now))
        if now >= self._owed_at:
            self._owed_at = now + OWED_S
            self._probe_who_owes(now)
        self.supervisor.due(now)
        if not self._announced and now - self.started_at > SHARDS_READY_S:
            self._announced = True
            missing = sorted(set(range(self.region.shards)) - self._names.keys())
            self.say(f"shards {missing} did not report within {SHARDS_READY_S:.0f} s")
        if not self._still_ours():
            self.ending.vanished()
            return
        if now >= self._doors_at:
            self._doors_at = now + TICK_S
            self._stand_in_doors()
        gone = self._what_is_gone() if self.ending.state is State.SERVING else ""
        if gone:
            if not self._anybody_inside():
                self.ending.idle(f"its {gone} was moved or removed")
        elif self.daemon and self.ending.state is State.SERVING and not self._has_losses_to_tell():
            self._maybe_idle(now)

    def _probe_who_owes(self, now: float) -> None:
        """A stopped shard delays no request for longer than the request would wait for it.

        And not the end of the server: killed, it leaves its locks and its work to the next one.
        """
        for shard in self.dispatcher.owing(now - OWED_S):
            pid = self.supervisor.pid(shard)
            stood_s = None if pid is None else self._halted.seconds(pid, now)
            if pid is None or stood_s is None:
                continue
            if self.ending.state is not State.FLUSHING:
                self._send(self.dispatcher.stopped(shard, pid, stood_s))
            elif stood_s >= STOPPED_S:
                self.supervisor.kill(shard)
                self.ending.hears(f"shard {shard} (pid {pid}) was stopped, and had to be killed")

    def _write_pid(self) -> None:
        with open(self.arena.pid_file, "w") as file:
            file.write(f"{os.getpid()}\n")

    def _stand_in_doors(self) -> None:
        """Removed sockets keep all clients out: no other server starts, we have the lock.

        So does a removed directory of theirs. A door that cannot be opened is tried at each tick;
        clients hear that no server answers.
        """
        with contextlib.suppress(OSError):
            if self.arena.make_again(self.region.directory):
                adoption.record(self.arena, self._made)
                self._write_pid()
                sessions.opened(self.arena)
        for door, path in (
            (self.front, self.arena.router_socket),
            (self.back, self.shards_socket),
        ):
            with contextlib.suppress(OSError):
                if door.stand():
                    self.say(f"{path} was removed or replaced; it is there again")

    def _maybe_idle(self, now: float) -> None:
        if now - self._used_at < self.settings.idle_exit:
            return
        self._used_at = now
        if not self._anybody_inside():
            self.ending.idle()

    def _anybody_inside(self) -> bool:
        return bool(sessions.alive(self.arena) or self.region.statistics()["live_processes"])

    def _what_is_gone(self) -> str:
        """No command comes in where the workspace's path leads to another directory, or to none.

        Nor without memory; but a server that lost files by that stays, to say which.
        """
        if _identity(self.region.workspace) not in (self._workspace, UNKNOWN):
            return "workspace"
        return "" if not self._has_no_memory() or self._has_losses_to_tell() else "memory"

    def _has_no_memory(self) -> bool:
        return not os.path.exists(self.region.directory)

    def _has_losses_to_tell(self) -> bool:
        """The next command hears of them."""
        if not self._has_no_memory():
            return False
        return kept.examine(self.region, self.settings.cas_dir).files > 0

    # ---- messages -----------------------------------------------------------------------------

    def _on_client(self, client: Connection, frames: list[bytes]) -> bool:
        """One message of a client; True when it gets an answer, now or later."""
        id = id_of(frames)
        if id is None:
            return False
        try:
            request = decode_request(frames)
            self._used_at = time.monotonic()
            self._serve(client, request)
        except VeloError as error:
            self._reply(client, encode_error(id, error))
        except Exception as error:  # a door: no question may end a server
            self.say(f"internal error: {frames[2][:16]!r}: {error!r}")
            self._reply(client, encode_error(id, VeloError(f"internal error: {error!r}")))
        return True

    def _serve(self, client: Connection, request: Request) -> None:
        own = self._by_itself.get(request.verb)
        if own is not None:
            own(client, request)
        else:
            self._send(self.dispatcher.ask(client, request, time.monotonic()))

    def _on_hello(self, client: Connection, request: Request) -> None:
        if self.ending.state is not State.SERVING:
            raise Leaving
        self._reply(client, encode_ok(request.id, json.dumps(self.hello()).encode()))

    def _on_pause(self, client: Connection, request: Request) -> None:
        """Stop or resume flushing in the background; what is asked for is done all the same."""
        self.region.pause(request.verb == "PAUSE")
        self._reply(client, encode_ok(request.id))

    def _on_opaque(self, client: Connection, request: Request) -> None:
        """A program inside could not attach: it waits for the tree, and its end is watched."""
        pid, name = pid_and_name(request.payload)
        self.region.opaque_await_exit(pid, name)
        barrier = Request(request.id, "BARRIER")
        self._send(self.dispatcher.ask(client, barrier, time.monotonic()))

    def hello(self) -> dict[str, Any]:
        """What is served, by which process: enough for a client to decide whether to come in."""
        return {
            "version": VERSION,
            "layout": layout_hash(),
            "pid": os.getpid(),
            "pid_namespace": os.stat("/proc/self/ns/pid").st_ino,
            "daemon": self.daemon,
            "workspace": self.region.workspace,
            "shards": self.region.shards,
            "max_memory": self.region.max_memory,
            "settings": self._made,
        }

    def _on_shard(self, peer: Connection, frames: list[bytes]) -> bool:
        if len(frames) >= 3 and frames[0] == MAGIC and frames[1] == READY:
            self._on_ready(peer, frames)
            return False
        shard = next((index for index, name in self._names.items() if name is peer), None)
        if shard is None:
            return False
        try:
            self._send(self.dispatcher.answered(shard, decode_reply(frames)))
        except ProtocolError as error:
            self.say(f"shard {shard} sent nonsense: {error}")
        return False

    def _on_ready(self, peer: Connection, frames: list[bytes]) -> None:
        if not frames[2].isdigit() or int(frames[2]) >= self.region.shards:
            self.say(f"a stranger said it was shard {frames[2][:16]!r}")
            return
        shard = int(frames[2])
        if self._names.get(shard) is peer:
            return
        self._names[shard] = peer
        self.supervisor.works(shard)
        self._send(self.dispatcher.found(shard))
        if not self._announced and len(self._names) == self.region.shards:
            self._announced = True
            self.say(
                f"serving {self.region.workspace} ({self.region.shards} shards,"
                f" {format_size(self.region.max_memory)}) pid {os.getpid()}"
            )

    def _send(self, outgoing: list[Outgoing]) -> None:
        for item in outgoing:
            if isinstance(item, ToShard):
                self._to_shard(item)
            elif item.client is MYSELF:
                self.ending.flushed(item.frames, ok=item.ok)
            else:
                self._reply(item.client, self._finished(item))

    def _finished(self, item: ToClient) -> list[bytes]:
        if item.request.verb == "STATUS" and item.ok:
            if item.frames[3] is not self._status[0]:  # one walk for all that asked together
                shards = json.loads(item.frames[3])
                self._status = item.frames[3], json.dumps(self.status(shards)).encode()
            return [*item.frames[:3], self._status[1]]
        return item.frames

    def status(self, shards: list[Any]) -> dict[str, Any]:
        """What `velo status --json` prints."""
        return assemble(
            hello=self.hello(),
            uptime_s=time.monotonic() - self.started_at,
            daemon=self.daemon,
            arena=self.arena.directory,
            statistics=self.region.statistics(),
            processes=self.supervisor.statistics(),
            shards=shards,
            dispatcher={**self.dispatcher.statistics(), **self.front.statistics()},
            sessions=sessions.alive(self.arena),
        )

    def _to_shard(self, item: ToShard) -> None:
        name = self._names.get(item.shard)
        if name is None:
            return  # it is asked again when it reports
        if not self.back.send(name, item.frames):
            self._names.pop(item.shard, None)

    def _reply(self, client: Any, frames: list[bytes]) -> None:
        self.front.send(client, frames)  # a client that is gone needs no answer

    # ---- shards -------------------------------------------------------------------------------

    def _shard_command(self, index: int) -> list[str]:
        return [*launch.PYTHON, "-m", "velo.shards.worker", *self._shard_arguments(index)]

    def _fork_shard(self, index: int) -> Process:
        name, arguments = f"velo-shard-{index} {self.arena.directory}", self._shard_arguments(index)
        return forked.start(name, arguments, self._shard_environment)

    def _shard_arguments(self, index: int) -> list[str]:
        return [
            "--parent",  # told, not asked: a shard whose router is killed meanwhile would ask late
            str(os.getpid()),
            "--arena",
            self.arena.directory,
            "--index",
            str(index),
            "--socket",
            self.shards_socket,
            "--store",
            self.settings.cas_dir,
            "--manifest",
            os.path.join(default_cache_dir(), "manifests", self.arena.id, f"{index}.sqlite"),
            "--idle-flush-s",
            str(self.settings.idle_flush),
        ]

    def _shard_lost(self, shard: int) -> None:
        self._names.pop(shard, None)
        self.say(f"shard {shard} died; it starts again and loses nothing")

    def _shard_given_up(self, shard: int, deaths: int) -> None:
        self.say(str(ShardGone(index=shard, restarts=deaths)))
        self._send(self.dispatcher.gave_up(shard, deaths))

    # ---- the end ------------------------------------------------------------------------------

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in ENDING_SIGNALS:
                self.ending.signalled(signal.Signals(number).name)

    def _ask_for_last_flush(self) -> None:
        self._send(self.dispatcher.ask(MYSELF, Request(OWN_ID, "SYNC"), time.monotonic()))


def _identity(path: str) -> tuple[int, int]:
    """Which directory `path` is; NOWHERE when none, UNKNOWN when we are not let through to it."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return NOWHERE
    except OSError:
        return UNKNOWN
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _signals_to(descriptor: int) -> Iterator[None]:
    """The signals that end a server become bytes on `descriptor`."""
    before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
