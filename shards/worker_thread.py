"""The shard's second thread: what takes seconds, so that SPACE and LOAD never wait behind it.

    worker --submit(job)--> queue --> thread: job() --> finished(outcome) --wake byte--> worker

In: callables. Out: their results, in the order of submission, and a byte in a pipe for each, so
that the worker's poll wakes. Never: a socket (ZeroMQ sockets have one owner: the worker).

Why a thread and not a process: the work is sha256, lz4, fsync and the core's C, which all let go of
the GIL; and it ends with its shard.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Tag = TypeVar("Tag")
Work = Callable[[], object]


class WorkerThread(Generic[Tag]):
    """One thread that works jobs off. `submit` and `finished` belong to the worker's thread."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Tag, Work] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Tag, object]] = SimpleQueue()
        self.wake_fd, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pending = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def wake_write_fd(self) -> int:
        """Any byte written here makes `wake_fd` readable; for signal.set_wakeup_fd."""
        return self._wake

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet taken from `finished`."""
        return self._pending

    def submit(self, tag: Tag, work: Work) -> None:
        """Have `work` done after all earlier jobs; `finished` gives its result with `tag`."""
        self._pending += 1
        self._jobs.put((tag, work))

    def finished(self) -> list[tuple[Tag, object]]:
        """The jobs that ended since the last call: a result, or the exception it raised."""
        self._drain()
        done = []
        while True:
            try:
                done.append(self._done.get_nowait())
            except Empty:
                self._pending -= len(done)
                return done

    def join(self, timeout_s: float) -> bool:
        """Let the thread end after the jobs it has; True when it did within `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            tag, work = job
            try:
                outcome: object = work()
            except Exception as error:  # the worker decides what becomes of it
                outcome = error
            self._done.put((tag, outcome))
            self._wake_up()

    def _wake_up(self) -> None:
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # full of wake-ups already

    def _drain(self) -> None:
        try:
            while os.read(self.wake_fd, 4096):
                pass
        except BlockingIOError:
            pass
