"""Connections that mean no good, or that were cut off: raw bytes for the router's socket.

In: a socket's path. Out: what a crowd of strangers says there. Never: wait for an answer.

As a program: `python hostile.py SOCKET COUNT SEED` keeps COUNT connections of all kinds open, goes
on flooding, and prints "ready" when all were opened once. It ends when its standard input does.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import sys
import time
from contextlib import suppress

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | 2,)) + len(body).to_bytes(8, "big") + body


READY = frame(
    b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00",
    4,
)
HELLO = GREETING + READY


def request(verb: bytes, *payload: bytes, id: bytes = b"12345678") -> bytes:
    parts = [b"velo1", id, verb, *payload]
    return b"".join(frame(part, 1) for part in parts[:-1]) + frame(parts[-1])


NUMBER = struct.Struct("<IQ")
KINDS = {
    "nothing at all": b"",
    "half a greeting": GREETING[:9],
    "another protocol": b"GET / HTTP/1.1\r\nHost: velo\r\n\r\n",
    "another mechanism": GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32) + READY,
    "an old version": b"\xff" + bytes(8) + b"\x7f\x01" + bytes(53),
    "a greeting and no more": GREETING,
    "idle": HELLO,
    "a message before READY": GREETING + request(b"HELLO"),
    "an endless length": HELLO + b"\x02\x7f" + b"\xff" * 7,
    "a gigabyte promised": HELLO + b"\x02" + (1 << 30).to_bytes(8, "big") + bytes(1000),
    "an endless message": HELLO + frame(b"more", 1) * 5000,
    "a huge command": HELLO + b"\x06" + (1 << 20).to_bytes(8, "big") + bytes(5000),
    "bad flags": HELLO + b"\xff\xff",
    "pings": HELLO + frame(b"\x04PING\x00\x01context", 4) * 500,
    "an unknown verb": HELLO + request(b"DANCE") * 50,
    "no id": HELLO + frame(b"velo1", 1) + frame(b"", 1) + frame(b"HELLO"),
    "the same id again": HELLO + request(b"HELLO") * 200,
    "status": HELLO + request(b"STATUS") * 200,
    "flushes": HELLO + request(b"SYNC") * 50 + request(b"BARRIER") * 50,
    "more space than there is": HELLO + request(b"SPACE", NUMBER.pack(0, 1 << 62)) * 100,
    "a file that is none": HELLO + request(b"LOAD", NUMBER.pack(0, 0xFFFFFFFF)) * 100,
    "a shard that is none": HELLO + request(b"SPACE", NUMBER.pack(77, 1)) * 100,
    "half a request": HELLO + request(b"STATUS")[:-3],
    "stop, while programs run": HELLO + request(b"STOP") * 20,
}


def connected(path: str, said: bytes, *, timeout_s: float = 30.0) -> socket.socket:
    """A connection that said `said`, as far as the other side takes it at once."""
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(timeout_s)
    raw.connect(path)
    raw.setblocking(False)
    with suppress(OSError):
        raw.send(said)
    return raw


def main(path: str, count: int, seed: int) -> None:
    choice = random.Random(seed)
    kinds = list(KINDS.values())
    crowd: list[socket.socket] = []
    announced, until = False, time.monotonic() + 300
    opened = 0
    while not select.select([sys.stdin], [], [], 0)[0] and time.monotonic() < until:
        with suppress(OSError):
            crowd.append(connected(path, choice.choice(kinds), timeout_s=1.0))
        opened += 1
        if len(crowd) > count:
            crowd.pop(choice.randrange(len(crowd))).close()
        if opened >= count and not announced:
            announced = True
            print("ready", flush=True)
        if crowd:
            with suppress(OSError):
                choice.choice(crowd).send(request(b"STATUS") * 20)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
