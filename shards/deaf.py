"""Threads that take no signal: the main thread, which waits for signals, gets each.

A process's signal goes to any thread that does not block it, and a thread has the mask of the
thread that starts it. A thread that was started before its process began to wait (`sigtimedwait`)
takes the signal away from it: Python then interrupts the main thread, where the command was to be
told.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting_threads() -> Iterator[None]:
    """A thread that is started within blocks all signals; the caller's mask is as before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
