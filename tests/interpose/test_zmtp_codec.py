"""The codec of the ZMTP client alone: every cut of the peer's bytes gives the same answer."""

from __future__ import annotations

import errno
import struct
import subprocess
import time

import pytest

from support.zmtp_peers import (
    COMMAND,
    HEAD,
    ID,
    LONG,
    MORE,
    OPENING,
    PING,
    READY,
    Driver,
    command,
    frame,
    greeting,
    message,
    packed,
    prop,
)

WHOLE = {
    "nothing in it": (message(*HEAD, b"ok"), packed()),
    "one empty frame": (message(*HEAD, b"ok", b""), packed(b"")),
    "three frames": (message(*HEAD, b"ok", b"a", b"", b"ccc"), packed(b"a", b"", b"ccc")),
    "255 bytes": (message(*HEAD, b"ok", b"x" * 255), packed(b"x" * 255)),
    "256 bytes": (message(*HEAD, b"ok", b"x" * 256), packed(b"x" * 256)),
    "long form of a short frame": (
        message(*HEAD)[:-10] + frame(ID, MORE | LONG) + frame(b"ok", LONG),
        packed(),
    ),
    "pings": (PING * 3 + message(*HEAD, b"ok", b"a") + PING, packed(b"a")),
    "a ping inside": (frame(b"velo1", MORE) + PING + message(ID, b"ok"), packed()),
    "subscriptions": (
        command(b"SUBSCRIBE", b"x") + command(b"CANCEL") + message(b"\1x") + message(*HEAD, b"ok"),
        packed(),
    ),
    "an unknown long command": (command(b"NEW", b"x" * 9000) + message(*HEAD, b"ok"), packed()),
    "a second READY": (READY + message(*HEAD, b"ok"), packed()),
    "other requests' replies": (
        message(b"velo1", b"87654321", b"ok", b"late")
        + message(b"velo1", b"1234567", b"ok")
        + message(b"velo1", ID + b"9", b"error", b"5", b"x")
        + message(*HEAD, b"ok", b"mine"),
        packed(b"mine"),
    ),
    "other magic": (
        message(b"velo2", ID, b"ok") + message(b"") + message(b"velo1") + message(*HEAD, b"ok"),
        packed(),
    ),
    "a flood's limit": (command(b"X") * 4000 + message(*HEAD, b"ok"), packed()),
}
OPENINGS = {
    "3.1": OPENING,
    "3.0": greeting(version=b"\3\0") + READY,
    "a later version": greeting(version=b"\4\7") + READY,
    "a padded signature": b"\xff12345678" + OPENING[9:],
    "no properties": greeting() + command(b"READY"),
    "a DEALER": greeting() + command(b"READY", prop(b"socket-TYPE", b"DEALER")),
    "a REP": greeting() + command(b"READY", prop(b"Socket-Type", b"REP")),
    "many properties": greeting()
    + command(
        b"READY", b"".join(prop(b"X-%d" % i, b"v" * i) for i in range(60)) + prop(b"Last", b"x")
    ),
    "a long property": greeting() + command(b"READY", prop(b"X", b"v" * 5000)),
    "commands before READY": greeting() + PING + command(b"HELLO", b"x") + READY,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_reply_is_the_same_wherever_it_is_cut(codec: Driver, name: str):
    # The driver itself feeds the bytes whole, in two parts cut everywhere, and one by one.
    bytes_said, reply = WHOLE[name]

    fed = codec.feed(OPENING + bytes_said)

    assert (fed.result, fed.code, fed.reply) == (1, 0, reply)


@pytest.mark.parametrize("name", OPENINGS)
def test_every_peer_of_version_3_with_null_is_understood(codec: Driver, name: str):
    fed = codec.feed(OPENINGS[name] + message(*HEAD, b"ok", b"hello"))

    assert (fed.result, fed.code, fed.reply) == (1, 0, packed(b"hello"))


BROKEN = {  # each is refused at its last byte
    "another signature": b"\xfe",
    "http": b"H",
    "the signature's end": b"\xff" + bytes(8) + b"\x7e",
    "version 2": b"\xff" + bytes(8) + b"\x7f\2",
    "mechanism PLAIN": greeting(mechanism=b"PLAIN")[:13],
    "mechanism NULLX": greeting(mechanism=b"NULLX")[:17],
    "no mechanism": greeting(mechanism=b"")[:13],
    "a message before READY": greeting() + b"\0\5",
    "ERROR for READY": greeting() + command(b"ERROR", b"\4nope"),
    "ERROR later": OPENING + command(b"ERROR", b"\4nope"),
    "an empty command": OPENING + frame(b"", COMMAND),
    "a reserved flag": OPENING + b"\x08",
    "a command with more": OPENING + b"\5",
    "2^63 bytes": OPENING + struct.pack(">BQ", LONG, 1 << 63),
    "2^64 bytes": OPENING + struct.pack(">BQ", LONG | MORE, (1 << 64) - 1),
    "a command of 2^63 bytes": OPENING + struct.pack(">BQ", LONG | COMMAND, 1 << 63),
    "a command of 64 KiB and one": OPENING + struct.pack(">BQ", LONG | COMMAND, 65537),
    "a READY of 2^62 bytes": greeting() + struct.pack(">BQ", LONG | COMMAND, 1 << 62),
    "a PUB": greeting() + command(b"READY", prop(b"Socket-Type", b"PUB")),
    "a torn property": greeting() + command(b"READY", prop(b"Socket-Type", b"ROUTER")[:-1]),
    "a huge property": greeting() + command(b"READY", b"\1X\xff\xff\xff\xff"),
    "a property without value": greeting() + command(b"READY", b"\1X"),
    "a ping without a time": OPENING + command(b"PING", b"\0"),
    "no status": OPENING + message(*HEAD),
    "another status": OPENING + message(*HEAD, b"okay"),
    "an error without code": OPENING + message(*HEAD, b"error"),
    "an error without message": OPENING + message(*HEAD, b"error", b"28"),
    "an error with a third part": OPENING
    + message(*HEAD, b"error", b"28", b"x", b"")[:-2].removesuffix(b"\0"),
    "code 0": OPENING + message(*HEAD, b"error", b"0", b"")[:-2],
    "code 00000": OPENING + message(*HEAD, b"error", b"00000", b"")[:-2],
    "code -1": OPENING + message(*HEAD, b"error", b"-1", b"")[:-2],
    "code 12345": OPENING + message(*HEAD, b"error", b"12345", b"")[:-2],
    "no code": OPENING + message(*HEAD, b"error", b"", b"")[:-2],
    "a flood of commands": OPENING + command(b"X") * 4095 + b"\4\2",
    "a flood of messages": OPENING + message(b"X") * 4095 + b"\0\1",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_peer_is_refused_at_the_first_byte_that_tells(codec: Driver, name: str):
    fed = codec.feed(BROKEN[name])

    assert fed.result == -errno.EPROTO
    assert fed.consumed == len(BROKEN[name])


@pytest.mark.parametrize("text", [b"no space left", b"", b"k\xc3\xa4se"])
def test_an_error_reply_gives_its_code_and_its_plain_message(codec: Driver, text: bytes):
    fed = codec.feed(OPENING + message(*HEAD, b"error", b"28", text))

    assert (fed.result, fed.code, fed.reply) == (1, 28, text)


@pytest.mark.parametrize("size", range(10))
def test_a_long_error_message_is_cut_between_characters(codec: Driver, size: int):
    text = "aé€😀z"  # 1 + 2 + 3 + 4 + 1 bytes

    fed = codec.feed(OPENING + message(*HEAD, b"error", b"9999", text.encode()), reply_size=size)

    whole = [text[:end].encode() for end in range(len(text) + 1)]
    assert (fed.result, fed.code) == (1, 9999)
    assert fed.reply == max((part for part in whole if len(part) <= size), key=len)


@pytest.mark.parametrize("frames", [[b""], [b"abc"], [b"a" * 300, b"", b"bc"]])
def test_a_reply_fits_to_the_byte_or_is_refused(codec: Driver, frames: list[bytes]):
    said, reply = OPENING + message(*HEAD, b"ok", *frames), packed(*frames)

    assert codec.feed(said, reply_size=len(reply)).reply == reply
    for size in range(len(reply)):
        assert codec.feed(said, reply_size=size).result == -errno.EMSGSIZE


@pytest.mark.parametrize("size", [(1 << 32) - 4, 1 << 32, (1 << 32) + 1, (1 << 63) - 1])
def test_a_reply_of_gigabytes_is_refused_by_its_head(codec: Driver, size: int):
    said = OPENING + message(*HEAD, b"ok")[:-4] + frame(b"ok", MORE)
    fed = codec.feed(said + struct.pack(">BQ", LONG, size))

    assert fed.result == -errno.EMSGSIZE


def test_what_we_say_is_zmtp_to_the_byte(codec: Driver):
    # Sent one byte at a time, to a peer that is cut into bytes as well.
    fed = codec.feed(OPENING + PING + message(*HEAD, b"ok"))

    assert fed.said == (
        greeting()
        + command(b"READY", prop(b"Socket-Type", b"DEALER"))
        + message(*HEAD, b"LOAD", b"abc", b"")
        + command(b"PONG", b"context")
    )


def test_nothing_of_the_request_is_said_before_the_peer_is_ready(codec: Driver):
    fed = codec.feed(OPENING[:-1])

    assert fed.said == greeting() + command(b"READY", prop(b"Socket-Type", b"DEALER"))


@pytest.mark.parametrize("seed", [1, 20, 300, None])
def test_mutated_conversations_end_well_and_the_same_however_cut(checked_program, seed: int | None):
    seed = seed or time.time_ns() % (1 << 32)
    print(f"seed {seed}")  # and again with: zmtp_driver fuzz SEED 5000
    subprocess.run([checked_program, "fuzz", str(seed), "5000"], check=True, timeout=120)
