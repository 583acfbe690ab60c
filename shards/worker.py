"""`python -m velo.shards.worker`: one shard's process.

    shards.sock --DEALER--> wire.decode -> ops.<verb> ---------------> wire.encode --> shards.sock
                                        -> Background -> ops.<verb> -^
    clock -> Schedule -> refresh, make_room, idle_flush
    SIGTERM, the parent's death -> finish what was asked for, exit

In: requests from the router, one message each. Out: one reply to each, also to nonsense that has
an id. Never: an exception that ends the loop, a signal that ends a request half-way. Killing this
process at any instruction loses nothing: the arena is the kernel's, and a new one starts from it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zmq

from . import ops, reaper, wire
from .errors import FlushLockBusy, UnknownVerb, VeloError
from .ops import Shard
from .schedule import SLEEP_MIN_S, Schedule
from .verbs import VERBS, Audience, Thread, Verb
from .worker_thread import WorkerThread

TETHERING = 0  # the shard that takes directories while programs write in them
ROOTS_EVERY_S = 1.0  # one lstat for each hosted directory
JOIN_S = 1800.0  # as long as the router waits for a SYNC
PARENT_DEAD_JOIN_S = 5.0  # the router is gone: its successor wants to start a shard of its own
TICKS_PER_S = 1e9  # access ticks are CLOCK_MONOTONIC in ns, as time.monotonic() is in s
EVICT_SLICE_S = 0.05  # unasked eviction works so long before it looks for messages
SEND_LINGER_MS = 1000
RECEIVE_MAX = 256  # messages handled before the clock is looked at


# Of the second thread's jobs: id and verb of a request; or the activity when an idle flush began;
# or None for a job that no client asked for.
Tag = tuple[bytes, Verb] | int | None


@dataclass(frozen=True, slots=True)
class Hungry:
    """One SPACE request that waits for files to be closed."""

    id: bytes
    wanted_bytes: int
    deadline: float
    is_last: bool  # no other shard is asked when this one refuses


class Worker:
    """The loop around one Shard. One thread, apart from Background's.

    Invariant: each request received is answered once, by this process or, when it is killed, by
    the next, which the router asks again.
    """

    def __init__(
        self, shard: Shard, socket: zmq.Socket[bytes], *, arena: str, idle_flush_s: float
    ) -> None:
        self.shard = shard
        self.arena = arena
        self._socket = socket
        self._worker_thread: WorkerThread[Tag] = WorkerThread(f"shard-{shard.index}")
        self._schedule = Schedule(
            shards=shard.region.shards, idle_flush_s=idle_flush_s, now=time.monotonic()
        )
        self._idle_flush_runs = False
        self._roots_at = 0.0
        self._hungry: list[Hungry] = []
        self._feed_at = 0.0
        self._ending = False

    def run(self, parent: int) -> None:
        """Serve until SIGTERM or until the process `parent` is dead."""
        self._catch_signals()
        parent_fd = _descriptor_of_parent(parent)
        poller = zmq.Poller()
        for readable in (self._socket, self._worker_thread.wake_fd, parent_fd):
            poller.register(readable, zmq.POLLIN)
        mounts = _descriptor_of_mounts() if self.shard.index == 0 else None
        if mounts is not None:
            poller.register(mounts, zmq.POLLPRI)
            # A command may have begun, and a mount have been made, before this shard was there.
            self._worker_thread.submit(None, self.shard.region.mounts_changed)
        self._socket.send_multipart([wire.MAGIC, wire.READY, b"%d" % self.shard.index])
        while not self._ending:
            events = dict(poller.poll(int(self._sleep_s() * 1000)))
            if parent_fd in events or os.getppid() != parent:
                self._ending = True
                self._worker_thread.join(PARENT_DEAD_JOIN_S)
                return
            if mounts in events:
                self._worker_thread.submit(None, self.shard.region.mounts_changed)
            self._answer_finished()
            self._receive()
            self._feed()
            self._tick()
        self._finish()

    # ---- requests --------------------------------------------------------------------------------

    def _sleep_s(self) -> float:
        sleep_s = self._schedule.sleep_s()
        if self.shard.index == TETHERING and reaper.sessions_alive(self.arena):
            sleep_s = min(sleep_s, SLEEP_MIN_S)
        if not self._hungry:
            return sleep_s
        return max(0.001, min(sleep_s, self._feed_at - time.monotonic()))

    def _receive(self) -> None:
        for _ in range(RECEIVE_MAX):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._handle(frames)

    def _handle(self, frames: list[bytes]) -> None:
        id = wire.id_of(frames)
        if id is None:
            return  # no client could tell to which request an answer belongs
        try:
            request = wire.decode_request(frames)
            verb = VERBS.get(request.verb)
            if verb is None or verb.audience is Audience.SERVER:
                raise UnknownVerb(request.verb)
            if verb.thread is Thread.LOOP:
                self._wants_space(request)
                return
            work = work_of(verb, self.shard, request)
            if verb.thread is Thread.WORKER:
                self._worker_thread.submit(
                    (id, verb), partial(self._named, verb.name.lower(), work)
                )
                return
            said = work()
        except Exception as error:  # a door: whatever went wrong is the answer
            self._send(wire.encode_error(id, as_velo_error(error)))
        else:
            self._send(wire.encode_ok(id, *([] if said is None else [json.dumps(said).encode()])))

    def _wants_space(self, request: wire.Request) -> None:
        """SPACE: any shard may be asked, whichever shard needs it; each evicts its own.

        A client that waits does not keep others waiting: `_feed` tries for all together. Only the
        last shard that is asked waits for files to be closed, so that the patience is one for all.
        """
        home, wanted_bytes = wire.shard_and_number(request.payload)
        ops.space_asked(self.shard, wanted_bytes)
        is_last = (self.shard.index + 1) % self.shard.region.shards == home
        deadline = time.monotonic() + (ops.SPACE_PATIENCE_S if is_last else 0.0)
        self._hungry.append(Hungry(request.id, wanted_bytes, deadline, is_last))

    def _feed(self) -> None:
        """Make room for clients that want it, and answer those that have it, or wait too long."""
        began = time.monotonic()
        if not self._hungry or began < self._feed_at:
            return
        hungry, self._hungry = self._hungry, []
        try:
            fitting = ops.make_space(
                self.shard,
                [each.wanted_bytes for each in hungry],
                thorough=any(each.is_last for each in hungry),
            )
        except Exception as error:  # a door: whatever went wrong is the answer
            for each in hungry:
                self._send(wire.encode_error(each.id, as_velo_error(error)))
            return
        now = time.monotonic()
        for each, fits in zip(hungry, fitting, strict=True):
            if fits:
                self._send(wire.encode_ok(each.id))
            elif now >= each.deadline or self._ending:
                refused = ops.space_refused(self.shard, each.wanted_bytes)
                self._send(wire.encode_error(each.id, refused))
            else:
                self._hungry.append(each)
        pause_s = max(ops.SPACE_POLL_S, (now - began) / ops.SPACE_SHARE)
        self._feed_at = now + pause_s if self._hungry else 0.0

    def _named(self, name: str, work: Callable[[], object]) -> object:
        self.shard.worker_thread = name
        try:
            return work()
        finally:
            self.shard.worker_thread = "idle"

    def _answer_finished(self) -> None:
        for tag, outcome in self._worker_thread.finished():
            if tag is None:
                if isinstance(outcome, Exception):
                    as_velo_error(outcome)  # for the log: no client waits for it
            elif isinstance(tag, int):
                self._idle_flush_ended(tag, outcome)
            else:
                self._send(self._answer(*tag, outcome))

    def _answer(self, id: bytes, verb: Verb, outcome: object) -> list[bytes]:
        """The answer to the request; with the notices, once, if a user asked."""
        if isinstance(outcome, Exception):
            return wire.encode_error(id, as_velo_error(outcome))
        if not verb.tells:
            return wire.encode_ok(id)
        notices = self.shard.recorder.notices
        said = list(map(os.fsencode, notices))
        notices.clear()
        return wire.encode_ok(id, *said)

    def _send(self, frames: list[bytes]) -> None:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            pass  # the router is gone or does not listen; it asks again if it cares

    # ---- by itself -------------------------------------------------------------------------------

    def _tick(self) -> None:
        try:
            pulse = self.shard.region.pulse(self.shard.index)
            now = time.monotonic()
            self._schedule.see(pulse.activity, pressed=ops.is_pressed(self.shard, pulse))
            if self._schedule.tether_due(now):
                self._tether(now)
            if self._schedule.refresh_due(now):
                self._refresh_attributes(now)
            if self._schedule.evict_due(now):
                self._evict(may_write=not pulse.paused)
            if self.shard.index == TETHERING and now >= self._roots_at:
                self._probe_roots(now)
            if not pulse.paused and self._flush_due(now):
                self._start_idle_flush(pulse.activity)
        except Exception as error:  # a door: the loop goes on, and status tells
            self._trouble(error)

    def _tether(self, now: float) -> None:
        """One shard takes tethers for all; the others let go of those that their flushes took."""
        ops.tether(self.shard, self.shard.index == TETHERING)
        after = time.monotonic()
        self._schedule.tethered(after - now, after)

    def _probe_roots(self, now: float) -> None:
        """No process inside sees to it: were hosted directories removed meanwhile?"""
        self._roots_at = now + ROOTS_EVERY_S
        region = self.shard.region
        if reaper.sessions_alive(self.arena) or not region.lost_roots():
            return
        if not reaper.anybody_inside(region, self.arena):
            forget = partial(ops.forget_lost_roots, self.shard)
            self._worker_thread.submit(None, partial(self._named, "forget", forget))

    def _refresh_attributes(self, now: float) -> None:
        region, counters = self.shard.region, self.shard.counters
        counters.freed_files += reaper.refresh_attributes(region, self.shard.mine())
        after = time.monotonic()
        self._schedule.refreshed(region.pulse(self.shard.index).activity, after - now, after)

    def _evict(self, *, may_write: bool) -> None:
        """Unasked, before clients have to ask; for a moment at a time."""
        deadline = time.monotonic() + EVICT_SLICE_S
        before = self.shard.counters.evicted_files
        fits = ops.make_room(
            self.shard, may_write=may_write, stop=lambda: time.monotonic() >= deadline
        )
        useful = fits or self.shard.counters.evicted_files != before
        self._schedule.evicted(useful, time.monotonic())

    def _flush_due(self, now: float) -> bool:
        if self._idle_flush_runs or not self._schedule.probe_due(now):
            return False
        if not reaper.anybody_inside(self.shard.region, self.arena):
            return True
        if not self._schedule.may_be_quiet(now):
            return False
        ticks = (info.access_tick for info in self.shard.mine())
        return self._schedule.used(max(ticks, default=0) / TICKS_PER_S, now)

    def _start_idle_flush(self, activity: int) -> None:
        self._idle_flush_runs = True
        flush = partial(ops.idle_flush, self.shard, stop=self._gives_way)
        self._worker_thread.submit(activity, partial(self._named, "flush", flush))

    def _gives_way(self) -> bool:
        """Background flushing ends early for a request that waits behind it, a pause, the end."""
        return (
            self._ending
            or self._worker_thread.pending > 1
            or self.shard.region.pulse(self.shard.index).paused
        )

    def _idle_flush_ended(self, activity: int, outcome: object) -> None:
        self._idle_flush_runs = False
        if not isinstance(outcome, Exception):
            self._schedule.flushed(activity)
            self.shard.flushing.is_over()
            self.shard.counters.swept_files += self.shard.region.sweep()
            return
        self._schedule.flush_failed(time.monotonic())
        if not isinstance(outcome, FlushLockBusy):
            self._trouble(outcome)

    def _trouble(self, error: Exception) -> None:
        self._schedule.flush_failed(time.monotonic())
        self.shard.flushing.happened(as_velo_error(error))

    # ---- the end ---------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the router
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # a process waits for a lease of ours
        signal.signal(signal.SIGTERM, self._end)
        signal.set_wakeup_fd(self._worker_thread.wake_write_fd, warn_on_full_buffer=False)

    def _end(self, _number: int, _frame: object) -> None:
        self._ending = True

    def _finish(self) -> None:
        """Answer what was received before SIGTERM, then leave."""
        self._receive()
        self._feed_at = 0.0
        self._feed()
        self._worker_thread.join(JOIN_S)
        self._answer_finished()
        self.shard.store.close()
        self.shard.recorder.close()


def work_of(verb: Verb, shard: Shard, request: wire.Request) -> Callable[[], object]:
    """What `request` asks of `shard`: the function of `ops` that is called as `verb` is.

    Raises:
        ProtocolError: its payload is not one of `verb`.
    """
    work: Callable[..., object] = getattr(ops, verb.name.lower())
    if not verb.numbered:
        return partial(work, shard)
    _, number = wire.shard_and_number(request.payload)
    return partial(work, shard, number)


def as_velo_error(error: Exception) -> VeloError:
    """What to answer for `error`; our own mistakes also go to the server's log, with a trace."""
    if isinstance(error, VeloError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return VeloError(f"refused by the kernel: {error}", code=error.errno)
    import traceback  # rarely needed, and 3 ms

    traceback.print_exception(error, file=sys.stderr)
    return VeloError(f"internal error: {error!r}; nothing is lost, see the server's log")


def _raise_descriptor_limit() -> None:
    """Each directory in which something waits to be put takes one."""
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _descriptor_of_parent(parent: int) -> int:
    """Readable when `parent` is dead; when it is already, a descriptor that is readable now."""
    try:
        return os.pidfd_open(parent)
    except ProcessLookupError:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def _descriptor_of_mounts() -> int | None:
    """A descriptor that is urgent (POLLPRI) whenever something is mounted or unmounted here."""
    with suppress(OSError):
        return os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    return None


@dataclass(frozen=True, slots=True)
class Options:
    """What the server tells a shard."""

    arena: str  # directory
    index: int  # which shard, from 0
    socket: str  # the router's, shards.sock in the arena unless said otherwise
    store: Path  # directory of the CAS
    manifest: Path  # this shard's sqlite file
    idle_flush_s: float
    parent: int  # pid of the router


def parse(arguments: list[str]) -> Options:
    """`--name value` pairs. Not argparse: eight shards would spend 50 ms of CPU on importing it.

    Raises:
        ValueError: says which option is missing, unknown or not a number.
    """
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    required = {"--arena", "--index", "--store", "--manifest"}
    known = required | {"--socket", "--idle-flush-s", "--parent"}
    if len(arguments) % 2 or given.keys() - known or required - given.keys():
        raise ValueError(f"options are {', '.join(sorted(known))}, each with a value")
    arena = given["--arena"]
    return Options(
        arena=arena,
        index=int(given["--index"]),
        socket=given.get("--socket") or os.path.join(arena, "shards.sock"),
        store=Path(given["--store"]),
        manifest=Path(given["--manifest"]),
        idle_flush_s=float(given.get("--idle-flush-s", "30")),
        # Not what getppid says now: a router killed while we started would never be missed.
        parent=int(given.get("--parent", os.getppid())),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one shard until its server ends it.

    Exit status: 0 ended as asked, 1 could not start, 2 not started the way the server does it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        given = parse(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        print(f"velo shard: {error}; only 'velo serve' starts this", file=sys.stderr)
        return 2
    try:
        shard = Shard.open(
            arena=given.arena, index=given.index, cas_dir=given.store, manifest=given.manifest
        )
        with suppress(OSError):
            shard.store.sweep()
    except (VeloError, OSError) as error:
        print(f"velo shard {given.index}: {error}", file=sys.stderr)
        return 1
    _raise_descriptor_limit()
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, b"shard-%d" % given.index)
    socket.setsockopt(zmq.LINGER, SEND_LINGER_MS)
    socket.connect(b"ipc://" + os.fsencode(given.socket))  # type: ignore[arg-type]
    worker = Worker(shard, socket, arena=given.arena, idle_flush_s=given.idle_flush_s)
    worker.run(given.parent)
    context.destroy(linger=SEND_LINGER_MS)
    return 0


if __name__ == "__main__":
    os._exit(main())  # without the interpreter's own end, 15 ms: nothing is left to do
