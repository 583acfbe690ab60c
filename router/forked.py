"""A server's first shards, as forks of it: eight interpreters that import the same cost 0.9 s of
processor time, one and its forks 0.15 s, and they share its memory.

    server with one thread -> imports the worker -> fork -> lets go of all that is the server's
                                                         -> velo.shards.worker.main

In: a shard's arguments and environment. Out: a child process. Never: a fork of a process that has
more than one thread; a shard that is started again later is a fresh interpreter.
"""

from __future__ import annotations

import _thread
import gc
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

WAIT_POLL_S = 0.005
DESCRIPTORS_MAX = 1 << 30
ARGUMENTS = slice(45, 47)  # arg_start and arg_end, among the fields after the name; proc(5)


class Forked:
    """A child of this process; as much of `subprocess.Popen` as a supervisor needs.

    One thread may signal it while another reaps it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._lock = _thread.allocate_lock()

    def wait(self, timeout: float | None = None) -> int:
        """Reap it; its exit status, or the negative number of the signal that killed it.

        Raises:
            TimeoutExpired: it lives after `timeout` seconds.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while (status := self._reaped()) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(WAIT_POLL_S)
        return status

    def _reaped(self) -> int | None:
        with self._lock:
            if self._status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid else None
            return self._status

    def send_signal(self, number: int) -> None:
        """Nothing is sent to what was reaped, whose pid may be another process's."""
        with self._lock:
            if self._status is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
    """A shard that is told `arguments`, as `python -m velo.shards.worker` is; `ps` shows
    `name`.

    Raises:
        OSError: there may be no more processes, or no more memory.
        ImportError: something that a shard needs is not installed.
    """
    from velo.shards import worker  # once, for all of them; 60 ms

    gc.freeze()  # a collection in a fork would write to, and so copy, every page with an object
    # A signal for a shard must not run a handler of the server's.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _be(lambda: worker.main(list(arguments)), name, environment)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Forked(pid)


def _be(main: Callable[[], int], name: str, environment: Mapping[str, str]) -> NoReturn:
    status = 1
    try:
        _let_go(environment)
        with suppress(OSError, ValueError):
            _show_as(name)
        status = main()
    except BaseException as error:  # it must not go on as a second server
        print(f"velo shard: internal error: {error!r}", file=sys.stderr)
    finally:
        os._exit(status)


def _show_as(name: str) -> None:
    """What `ps` shows: else it would be the server's command line, nine times."""
    with open("/proc/self/comm", "w") as file:
        file.write(name.split()[0])
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    begin, end = map(int, fields[ARGUMENTS])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(os.fsencode(name)[: end - begin - 1].ljust(end - begin, b"\0"))


def _let_go(environment: Mapping[str, str]) -> None:
    """Of sockets, locks, handlers and variables that are the server's; its log stays."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C is for the router, which then flushes
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which forgets one that came before this group
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.closerange(3, DESCRIPTORS_MAX)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
