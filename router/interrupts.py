"""Ctrl-C, from the first instruction of the interpreter to its last: death by SIGINT, no traceback.

The launcher starts the interpreter with SIGINT held back (`-X velo_held`), for an interrupt while
modules are imported is a traceback of the import system's.

In: that option. Out: a signal mask. Never: import more than the interpreter has already.
"""

from __future__ import annotations

import os
import signal
import sys

HELD = "velo_held"
INTERRUPTED = 128 + signal.SIGINT


def release() -> None:
    """Let through what was held back; a waiting Ctrl-C is a KeyboardInterrupt here."""
    if HELD in sys._xoptions:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def hold() -> None:
    """From here on to the end of the process there is nothing to interrupt."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def die() -> int:
    """End as a program does that Ctrl-C kills; the exit status, should the signal not come."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.kill(os.getpid(), signal.SIGINT)
    return INTERRUPTED
