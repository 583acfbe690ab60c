"""A shard that was stopped (SIGSTOP) inside the lock of the tree, for which every program waits.

    each PROBE_S: the lock's owner -> a shard of ours -> it has stood still for STOPPED_S -> killed

In: the arena, the shards. Out: such a shard is dead, and the next to take the lock makes whole what
it left, as of any shard that dies. Never: a program killed, or a shard that is stopped elsewhere,
for which no program waits. A thread of its own, because the server's may wait for the lock itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from velo.interpose.core import Region
from velo.shards import deaf, plain
from velo.shards.wire import STOPPED_S

from .halted import Halted
from .supervisor import Supervisor

PROBE_S = 2.0


class LockWatch:
    """Watches from `start` to `end`; both are called by one thread."""

    def __init__(self, region: Region, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        self._region = region
        self._supervisor = supervisor
        self._say = say
        self._halted = Halted()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Without a thread, where no more may be had, nothing is watched."""
        with deaf.starting_threads(), suppress(RuntimeError):
            self._thread.start()

    def end(self) -> None:
        """It looks no more when this returns."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PROBE_S):
            self._probe(time.monotonic())

    def _probe(self, now: float) -> None:
        pid = _process_of(self._region.lock_owner())
        shard = self._supervisor.index_of(pid)
        if shard is None:
            return
        stood_s = self._halted.seconds(pid, now)
        if stood_s is not None and stood_s >= STOPPED_S:
            self._supervisor.kill(shard)
            self._say(f"shard {shard} (pid {pid}) was stopped inside the lock: killed")


def _process_of(thread: int) -> int:
    """The process of a thread; 0: of none."""
    with suppress(OSError, ValueError, IndexError):
        words = plain.read(f"/proc/{thread}/status").split()
        return int(words[words.index(b"Tgid:") + 1])
    return 0
