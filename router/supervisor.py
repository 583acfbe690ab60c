"""Shards that die and come back.

    start -> running -(process descriptor readable)-> dead -(budget left)-> start again, soon
                                                           -(budget spent)-> given up: its clients
                                                             hear so; tried again now and then

What spends the budget is a shard's own doing: it ended by itself, or so soon that it did nothing.
One that worked for a while until an outsider killed it starts again each time. A client of a shard
that was given up has errors where natively there are none.

A shard is `velo.shards.worker`: at first a fork of the server (forked.py), and in a fresh
interpreter when it starts again, as the server has threads then. It ends by itself when its parent
changes, so a killed router leaves no shards behind for long and a new one starts its own.

In: what the poller says is readable, and the time. Out: shard processes; `lost` and `gave_up`
calls to the owner. Never: a signal to a pid that is not our unreaped child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from . import halted

RESTARTS_MAX = 5  # deaths within BUDGET_WINDOW_S that are forgiven
BUDGET_WINDOW_S = 60.0
BACKOFF_S = (0.0, 0.1, 0.3, 1.0, 3.0)  # before the 1st, 2nd ... restart in one window
PROVEN_S = 1.0  # a shard that worked as long was able to; a SIGKILL after that is no fault of it
RETRY_S = 20.0  # between tries of a shard that was given up: a full disk may be emptied
LAST_WORDS_S = 2.0  # between SIGTERM and SIGKILL when the server ends


class Process(Protocol):
    """A child of ours."""

    pid: int

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int) -> None: ...

    def kill(self) -> None: ...


@dataclass(slots=True)
class Shard:
    """One shard's process, or the gap between two."""

    index: int
    process: Process | None = None
    descriptor: int = -1
    start_at: float | None = None  # when to start it again
    worked_from: float | None = None  # when it first reported
    deaths: list[float] = field(default_factory=list)
    restarts: int = 0
    given_up: bool = False


class Supervisor:
    """Keeps `shard_count` shards running. Owned by one thread.

    Invariant: a shard has a process and a descriptor, or a time to start, or the supervisor is
    ending.
    """

    def __init__(
        self,
        shard_count: int,
        command: Callable[[int], Sequence[str]],
        *,
        fork: Callable[[int], Process] | None = None,
        environment: Mapping[str, str],
        lost: Callable[[int], None],
        gave_up: Callable[[int, int], None],
    ) -> None:
        """`fork` makes the first process of each shard, `command` those after it."""
        self.shards = [Shard(index) for index in range(shard_count)]
        self._fork = fork
        self._command = command
        self._environment = environment
        self._lost = lost
        self._gave_up = gave_up
        self._ending = False

    def start(self) -> None:
        """Start every shard, before this process has threads."""
        for shard in self.shards:
            self._start(shard, self._fork or self._spawn)

    def descriptors(self) -> list[int]:
        """Process descriptors: one becomes readable when its shard has died."""
        return [shard.descriptor for shard in self.shards if shard.descriptor >= 0]

    def knows(self, pid: int) -> bool:
        """True for a process that we started and did not reap; and for ourselves."""
        running = (shard.process.pid for shard in self.shards if shard.process is not None)
        return pid == os.getpid() or pid in running

    def reap(self, descriptor: int) -> None:
        """The shard behind `descriptor` died: note it, plan the next start or give up."""
        for shard in self.shards:
            if shard.descriptor == descriptor and descriptor >= 0:
                self._bury(shard)

    def due(self, now: float) -> None:
        """Start the shards whose time has come."""
        for shard in self.shards:
            if shard.start_at is not None and shard.start_at <= now:
                self._start(shard, self._spawn)

    def next_start(self) -> float | None:
        """When `due` has something to do next."""
        return min((s.start_at for s in self.shards if s.start_at is not None), default=None)

    def end(self, *, timeout_s: float = LAST_WORDS_S) -> None:
        """Ask every shard to end, then make it; returns when all are reaped."""
        self._ending = True
        running = [shard for shard in self.shards if shard.process is not None]
        for shard in running:
            assert shard.process is not None
            shard.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        for shard in running:
            assert shard.process is not None
            try:
                shard.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                shard.process.kill()
                shard.process.wait()
            self._forget(shard)

    def pid(self, index: int) -> int | None:
        """The process of shard `index`; None between two."""
        process = self.shards[index].process
        return process.pid if process is not None else None

    def index_of(self, pid: int) -> int | None:
        """The shard whose process is `pid`; None: no shard's."""
        return next((shard.index for shard in self.shards if self.pid(shard.index) == pid), None)

    def kill(self, index: int) -> None:
        """End the process of shard `index`; another one is started when it is dead."""
        process = self.shards[index].process
        if process is not None:
            process.kill()

    def works(self, index: int) -> None:
        """Shard `index` has reported: it is not given up any more."""
        shard = self.shards[index]
        shard.given_up = False
        if shard.worked_from is None:
            shard.worked_from = time.monotonic()

    def statistics(self) -> list[dict[str, object]]:
        """One object per shard: pid, restarts, whether it was stopped or given up."""
        return [
            {
                "index": shard.index,
                "pid": shard.process.pid if shard.process else None,
                "restarts": shard.restarts,
                "stopped": shard.process is not None and halted.stands(shard.process.pid),
                "given_up": shard.given_up,
            }
            for shard in self.shards
        ]

    def _start(self, shard: Shard, make: Callable[[int], Process]) -> None:
        shard.start_at = shard.worked_from = None
        if self._ending:
            return
        try:
            shard.process = make(shard.index)
        except (OSError, ImportError):
            # No memory, too many processes, a module that is missing (the next interpreter says so
            # in the log): as if it had died at once.
            self._plan(shard, is_counted=True)
            return
        shard.descriptor = os.pidfd_open(shard.process.pid)

    def _spawn(self, index: int) -> Process:
        return subprocess.Popen(
            self._command(index),
            stdin=subprocess.DEVNULL,
            env=dict(self._environment),
            cwd="/",
            process_group=0,  # a terminal's Ctrl-C is for the router, which then flushes
        )

    def _bury(self, shard: Shard) -> None:
        assert shard.process is not None
        status = shard.process.wait()
        self._forget(shard)
        if not self._ending:
            self._lost(shard.index)
            self._plan(shard, is_counted=status != -signal.SIGKILL or not self._was_proven(shard))

    def _was_proven(self, shard: Shard) -> bool:
        return shard.worked_from is not None and time.monotonic() >= shard.worked_from + PROVEN_S

    def _plan(self, shard: Shard, *, is_counted: bool) -> None:
        """Decide when a dead shard starts again."""
        now = time.monotonic()
        shard.deaths = [at for at in shard.deaths if at > now - BUDGET_WINDOW_S]
        if is_counted:
            shard.deaths.append(now)
        shard.restarts += 1
        shard.given_up = len(shard.deaths) > RESTARTS_MAX
        if shard.given_up:
            shard.start_at = now + RETRY_S
            self._gave_up(shard.index, len(shard.deaths))
            return
        shard.start_at = now + BACKOFF_S[min(max(len(shard.deaths), 1), len(BACKOFF_S)) - 1]

    def _forget(self, shard: Shard) -> None:
        if shard.descriptor >= 0:
            os.close(shard.descriptor)
        shard.process, shard.descriptor = None, -1
