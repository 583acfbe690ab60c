"""A server does not keep the resource limits of the command that happened to start it.

A server that inherits `ulimit -n 8`, a file size or a CPU limit dies of it, and with it the shards
of all commands. So limits are lifted as far as the kernel allows: in the server for its life, in
`velo exec` for the moment in which it starts a server. The command runs with the limits that it was
given.

In: this process's limits. Out: higher ones. Never: an error; a limit that cannot be lifted stays.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

DESCRIPTORS = 65536  # enough for any number of shards and connections
BY_SHARDS = {  # limit: the shell's letter for it, what a server needs, and each shard more
    "NOFILE": ("n", 32, 3),
    "NPROC": ("u", 32, 4),  # threads count
}
LEAST = {"FSIZE": 1 << 30, "CPU": 3600, "AS": 2 << 30}  # of what ends a server early
TELLING = {  # error: limit, and the shell's letter for it
    errno.ENOMEM: ("AS", "v"),
    errno.EFBIG: ("FSIZE", "f"),
    errno.EMFILE: ("NOFILE", "n"),
    errno.EAGAIN: ("NPROC", "u"),
}
NAMES = ("NOFILE", "FSIZE", "CPU", "AS", "DATA", "NPROC", "RSS", "MEMLOCK", "SIGPENDING")
NUMBERS = [
    getattr(resource, "RLIMIT_" + name) for name in NAMES if hasattr(resource, "RLIMIT_" + name)
]


def lift() -> None:
    """Raise every limit of this process that can kill a server."""
    for number in NUMBERS:
        soft, hard = resource.getrlimit(number)
        wanted = resource.RLIM_INFINITY
        if number == resource.RLIMIT_NOFILE:
            wanted = max(DESCRIPTORS, hard)
        if soft in (wanted, resource.RLIM_INFINITY):
            continue
        try:
            resource.setrlimit(number, (wanted, wanted))
        except (ValueError, OSError):  # not root: as far as it was meant to go
            with suppress(ValueError, OSError):
                resource.setrlimit(number, (hard, hard))


def lacking(shards: int) -> str | None:
    """What keeps this process from starting a server, in words; after `lift`."""
    for name, (flag, least, a_shard) in BY_SHARDS.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        needed = least + a_shard * shards
        if hard != resource.RLIM_INFINITY and hard < needed:
            return f"'ulimit -{flag}' is {hard}, and a server with {shards} shards needs {needed}"
    for name, least in LEAST.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        if hard != resource.RLIM_INFINITY and hard < least:
            return f"the limit {name} (ulimit) is {hard}, and a server needs {least}"
    return None


def behind(number: int | None) -> str:
    """The limit of this process that an error of the kernel tells of, in words; empty: none."""
    name, flag = TELLING.get(number or 0, ("", ""))
    if not name:
        return ""
    most = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]
    if most == resource.RLIM_INFINITY:
        return ""
    return f"the limit {name} ('ulimit -{flag}') is {most}"


@contextmanager
def lifted() -> Iterator[None]:
    """`lift()`, and the old limits again afterwards."""
    before = {number: resource.getrlimit(number) for number in NUMBERS}
    lift()
    try:
        yield
    finally:
        for number, pair in before.items():
            with suppress(ValueError, OSError):
                resource.setrlimit(number, pair)
