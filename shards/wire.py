"""Frames: what a request and a reply look like, on every socket of velo.

    request   b"velo1", id (8 bytes, the client's choice), verb, payload...
    reply     b"velo1", id, b"ok", payload...
              b"velo1", id, b"error", code (ascii decimal), message (UTF-8)

In: lists of byte strings as ZeroMQ gives them, without the peer's address. Out: values, and back.
Never: trust a length, a type or a number that came in; each wrong one is a `ProtocolError` that
says which. Lives here because the shards are the lowest room that speaks it. [pure]
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from .errors import ProtocolError, VeloError

MAGIC = b"velo1"
READY = b"READY"  # a shard's first message to the router: MAGIC, READY, index
ID_BYTES = 8
VERB_BYTES_MAX = 16
FRAMES_MAX = 16
SHARD_AND_NUMBER = struct.Struct("<IQ")  # payload of SPACE, LOAD, WRITEBACK, TETHER
PID = struct.Struct("<I")  # how the payload of OPAQUE begins
PID_MAX = 1 << 22  # the kernel's own limit
NAME_BYTES_MAX = 31
STOPPED_S = 5.0  # a process that was stopped for a moment goes on by then


class Request(NamedTuple):
    """One question: a client that asks it again gets the same answer."""

    id: bytes
    verb: str
    payload: tuple[bytes, ...] = ()


class Reply(NamedTuple):
    """One answer: `error` is None for ok, else (code, message)."""

    id: bytes
    payload: tuple[bytes, ...] = ()
    error: tuple[int, str] | None = None


def id_of(frames: Sequence[bytes]) -> bytes | None:
    """The id to answer a broken request under, or None when even that is missing."""
    if len(frames) > 1 and len(frames[1]) == ID_BYTES:
        return bytes(frames[1])
    return None


def decode_request(frames: Sequence[bytes]) -> Request:
    """The request in `frames`.

    Raises:
        ProtocolError: it is not one; `id_of(frames)` says whether it can be answered.
    """
    _check_head(frames, least=3)
    verb = bytes(frames[2])
    if len(verb) > VERB_BYTES_MAX or not verb.isascii() or not verb.isupper():
        raise ProtocolError(f"bad verb: {verb[:VERB_BYTES_MAX]!r}; expected capital letters")
    return Request(bytes(frames[1]), verb.decode(), tuple(bytes(part) for part in frames[3:]))


def encode_request(request: Request) -> list[bytes]:
    """`request` as frames."""
    return [MAGIC, request.id, request.verb.encode(), *request.payload]


def decode_reply(frames: Sequence[bytes]) -> Reply:
    """The reply in `frames`.

    Raises:
        ProtocolError: it is not one.
    """
    _check_head(frames, least=3)
    kind = bytes(frames[2])
    if kind == b"ok":
        return Reply(bytes(frames[1]), tuple(bytes(part) for part in frames[3:]))
    if kind != b"error" or len(frames) != 5:
        raise ProtocolError(f"bad reply: {kind[:VERB_BYTES_MAX]!r}, {len(frames)} frames")
    code = bytes(frames[3])
    if not code.isdigit() or len(code) > 4:
        raise ProtocolError(f"bad error code: {code[:VERB_BYTES_MAX]!r}")
    return Reply(bytes(frames[1]), (), (int(code), bytes(frames[4]).decode(errors="replace")))


def encode_ok(id: bytes, *payload: bytes) -> list[bytes]:
    """An ok reply to request `id`."""
    return [MAGIC, id, b"ok", *payload]


def encode_error(id: bytes, error: VeloError) -> list[bytes]:
    """An error reply to request `id`."""
    return [MAGIC, id, b"error", str(error.code).encode(), os.fsencode(str(error))]


def shard_and_number(payload: Sequence[bytes]) -> tuple[int, int]:
    """The `<IQ` payload: a shard, then bytes (SPACE), a node (LOAD, WRITEBACK), 0 or 1 (TETHER).

    Raises:
        ProtocolError: it is anything else.
    """
    if len(payload) != 1 or len(payload[0]) != SHARD_AND_NUMBER.size:
        sizes = [len(part) for part in payload[:FRAMES_MAX]]
        raise ProtocolError(
            f"bad payload: frames of {sizes} bytes; expected one of {SHARD_AND_NUMBER.size}"
        )
    shard, number = SHARD_AND_NUMBER.unpack(payload[0])
    return shard, number


def pid_and_name(payload: Sequence[bytes]) -> tuple[int, str]:
    """The payload of OPAQUE: a process, `<I`, and what its program is called.

    Raises:
        ProtocolError: it is anything else.
    """
    if len(payload) != 1 or not PID.size <= len(payload[0]) <= PID.size + NAME_BYTES_MAX:
        raise ProtocolError("bad payload: expected a process id and a short name")
    (pid,) = PID.unpack_from(payload[0])
    if not 0 < pid <= PID_MAX:
        raise ProtocolError(f"bad payload: {pid} is no process id")
    return pid, payload[0][PID.size :].replace(b"\0", b"").decode(errors="replace")


def _check_head(frames: Sequence[bytes], *, least: int) -> None:
    if not least <= len(frames) <= FRAMES_MAX:
        raise ProtocolError(f"bad message: {len(frames)} frames; expected {least} to {FRAMES_MAX}")
    if bytes(frames[0]) != MAGIC:
        raise ProtocolError(
            f"bad magic: {bytes(frames[0])[:VERB_BYTES_MAX]!r}; this server speaks {MAGIC!r}"
        )
    if len(frames[1]) != ID_BYTES:
        raise ProtocolError(f"bad id: {len(frames[1])} bytes; expected {ID_BYTES}")
