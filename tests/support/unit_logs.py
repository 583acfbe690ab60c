"""Logs of build steps, made by hand: what the preload library would write of a unit.

In: records, each a kind, a payload and flags. Out: the bytes of a log, as unit_log.read takes
them, or a file of them.
"""

from __future__ import annotations

import hashlib
import stat
import time
from pathlib import Path
from typing import NamedTuple

from velo.shards.replay import unit_log as log

ROOT = 100  # pid of the unit's first process
KEY = hashlib.sha256(b"a step").digest()
REST = bytes(32)
FILE_MODE = stat.S_IFREG | 0o644
BEGAN_NS = 10**18


class Said(NamedTuple):
    """One record to be written."""

    kind: int
    payload: bytes
    flags: int = 0
    process: int = ROOT


def at(kind: int, *paths: str, flags: int = 0, process: int = ROOT) -> Said:
    """A record that names paths."""
    return Said(kind, b"".join(path.encode() + b"\0" for path in paths), flags, process)


def program(path: str, *, process: int = ROOT, flags: int = 0) -> Said:
    return at(log.PROGRAM, path, path.rpartition("/")[2], process=process, flags=flags)


def told(*words: str, cwd: str = "/w", flags: int = 0) -> Said:
    """What the program before it was told."""
    return at(log.WORDS, cwd, *words, flags=flags)


def step(*arguments: str, program: str = "/bin/sh", cwd: str = "/w") -> Said:
    return at(log.KEY, program, cwd, *arguments)


def environment(**variables: str) -> Said:
    return at(log.ENVIRONMENT, *(f"{name}={value}" for name, value in variables.items()))


def hosted(
    path: str, why: int, content: bytes | None = b"", *, mode: int = FILE_MODE, link: str = ""
) -> Said:
    """What was at a hosted path at the end; `content` None: nothing."""
    what = log.HOSTED.pack(
        len(content or b""), 7, BEGAN_NS - 10**9, BEGAN_NS - 10**9,
        mode if content is not None else 0, 1, hashlib.sha256(content or b"").digest(),
    )  # fmt: skip
    return Said(log.HOSTED_PATH, what + path.encode() + b"\0" + link.encode() + b"\0", why)


def data(*records: Said, **head: int) -> bytes:
    """The bytes of a log; `head` has fields of struct velo_log that are to be otherwise."""
    body = b""
    for each in records:
        size = (log.RECORD.size + len(each.payload) + 7) & ~7
        record = log.RECORD.pack(size, each.kind, each.flags, each.process, len(each.payload))
        body += (record + each.payload).ljust(size, b"\0")
    began_ns = head.get("began_ns", BEGAN_NS)
    began_at = began_ns - (time.time_ns() - time.monotonic_ns())  # no clock was set since
    fields = {
        "magic": log.MAGIC, "state": 2, "cursor": log.HEAD.size + len(body), "started": 1,
        "enlisted": 1, "failed": 0, "forked": 0, "vouched": 1, "spoke": 0, "taint": 0,
        "taint_process": 0, "streams": 0, "captured": 1, "root": ROOT, "status": 0,
        "began_ns": began_ns, "ended_ns": began_ns + 1,
        "began_at": began_at, "ended_at": began_at + 50_000_000,
    }  # fmt: skip
    ends = ("alive", "expected", "terminal")
    fields |= {key: value for key, value in head.items() if key not in ends}
    last = [*(head.get(name, 0) for name in ends), REST]
    return log.HEAD.pack(*fields.values(), KEY, REST, *last) + body


def write(path: Path, *records: Said, **head: int) -> Path:
    path.write_bytes(data(*records, **head))
    return path
