"""Where the library and the sealer meet: a directory in an arena's memory.

    PID.COUNT.u, .t    logs of units that run          *.f    units that wait to be sealed
    DIGEST.b           bytes of their outputs          answers    which entries answered
    index              what programs look entries up in
    ready              by which settings the index was made ready for them

In: an arena's memory. Out: whether there is anything to do. Never: an import of the sealer, which
a command without steps need not pay for.
[touches disk]
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from velo.interpose import core
from velo.shards import plain

VERSION = b"velo-replay-20"
FROZEN = ".f"
ANSWERS, READY = "answers", "ready"
SUFFIX = ".b"


def directory_of(memory: str) -> str:
    """Where the library and the sealer meet, in an arena's memory."""
    return os.path.join(memory, "r")


def salt() -> bytes:
    """Entries of another processor, kernel or version of this code answer nothing here. The name of
    the machine is not in it (variables.py)."""
    cpu: set[str] = set()
    wanted = ("model name", "flags", "CPU part", "Features")
    with suppress(OSError), open("/proc/cpuinfo") as file:
        cpu = {line for line in file if line.startswith(wanted)}
    system = os.uname()
    machine = "\0".join([system.sysname, *system[2:], *sorted(cpu)])
    return core.sha256(VERSION + machine.encode())


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """While one seals, clears or checks, the others wait.

    Raises:
        OSError: there is no such directory.
    """
    path = os.path.join(directory, "lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_idle(directory: str) -> bool:
    """Nothing waits to be sealed, and nothing was answered since the last report."""
    return not any(
        name.endswith(FROZEN) or name.startswith(ANSWERS) for name in os.listdir(directory)
    )


def has_units(directory: str) -> bool:
    """Units wait to be sealed."""
    return any(name.endswith(FROZEN) for name in os.listdir(directory))


def has_answers_alone(directory: str) -> bool:
    """Steps were answered, and no unit that ended has left anything."""
    names = os.listdir(directory)
    return ANSWERS in names and not any(name.endswith((FROZEN, SUFFIX)) for name in names)


def is_ready(directory: str, settings: str) -> bool:
    """The index was made ready by these settings, on this machine."""
    try:
        return plain.read_text(os.path.join(directory, READY)) == _readiness(settings)
    except (OSError, ValueError):
        return False


def set_ready(directory: str, settings: str) -> None:
    """Say so. After a kill before that, it does not count as ready.

    Raises:
        OSError: it cannot be said.
    """
    plain.write(os.path.join(directory, READY), _readiness(settings).encode())


def _readiness(settings: str) -> str:
    return f"{salt().hex()} {settings}"
