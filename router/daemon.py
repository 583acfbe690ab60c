"""A server in the background: detached, logging to the arena, ending by itself when unused.

    velo exec -> python -m velo.router.daemon N SETTINGS -> fork, setsid -> serve

In: settings as JSON, and the writing end of a pipe. Out: `ready`, or `error CODE MESSAGE`, into
the pipe, once; then a server. Never: a child, descriptor, working directory, signal mask or
terminal shared with the command that happened to be the first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from . import limits

DID_NOT_START = 247  # ServerDidNotStart.code; written out, as imports may be what failed


def main(ready_fd: str, settings: str) -> int:
    """The process of `python -m velo.router.daemon`."""
    if os.fork():
        return 0
    _detach()
    limits.lift()
    return _serve(int(ready_fd), settings)


def _detach() -> None:
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


def _serve(ready_fd: int, text: str) -> int:
    answer = _Answer(ready_fd)
    try:
        from velo.shards.errors import VeloError

        from .config import LISTS, Settings
        from .lifecycle import serve

        said = json.loads(text)
        for name in LISTS:
            said[name] = tuple(said[name])
        settings = Settings(**said)
    except Exception as error:  # the door: the command that waits must hear it
        answer.error(DID_NOT_START, f"broken installation: {error!r}")
        return 1
    try:
        left = serve(settings, daemon=True, opened=_log_to, ready=answer.ready, say=_say)
    except VeloError as error:
        answer.error(error.code, str(error))
        return 1
    except OSError as error:
        answer.error(DID_NOT_START, f"server not started: {error}")
        return 1
    return 0 if left is None else 1


class _Answer:
    """The pipe to the command that waits; written once, then closed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)

    def ready(self, notices: Sequence[str] = ()) -> None:
        self._write("\n".join(("ready", *notices)))

    def error(self, code: int, message: str) -> None:
        self._write(f"error {code} {message}")

    def _write(self, text: str) -> None:
        if self._fd < 0:
            _say(text)
            return
        try:
            os.write(self._fd, os.fsencode(text))
        except OSError:
            pass  # it did not wait; the server lives on its own
        os.close(self._fd)
        self._fd = -1


def _log_to(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{stamp} velo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # without the interpreter's own end, 15 ms: nothing is left to do
