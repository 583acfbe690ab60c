"""Frames: what one side encodes the other decodes, and nothing else gets through."""

from __future__ import annotations

import pytest

from velo.shards import wire
from velo.shards.errors import ProtocolError, StoreFull
from velo.shards.wire import Reply, Request

ID = b"12345678"


@pytest.mark.parametrize("payload", [(), (b"",), (b"a", b"\0b", b"c" * 1000)])
def test_requests_and_replies_survive_the_trip(payload):
    request = Request(ID, "SPACE", payload)

    assert wire.decode_request(wire.encode_request(request)) == request
    assert wire.decode_reply(wire.encode_ok(ID, *payload)) == Reply(ID, payload)


def test_an_error_travels_as_code_and_sentence():
    error = StoreFull(directory="/cas", wanted_bytes=3, free_bytes=2)

    assert wire.decode_reply(wire.encode_error(ID, error)).error == (203, str(error))


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"velo1"],
        [b"velo1", ID],
        [b"velo2", ID, b"SPACE"],
        [b"velo1", b"short", b"SPACE"],
        [b"velo1", ID, b"space"],
        [b"velo1", ID, b""],
        [b"velo1", ID, b"A" * 17],
        [b"velo1", ID, b"\xff\xfe"],
        [b"velo1", ID, b"SPACE", *[b""] * 20],
    ],
)
def test_what_is_no_request_is_a_protocol_error(frames):
    with pytest.raises(ProtocolError):
        wire.decode_request(frames)


@pytest.mark.parametrize(
    "frames",
    [
        [b"velo1", ID],
        [b"velo1", ID, b"maybe"],
        [b"velo1", ID, b"error"],
        [b"velo1", ID, b"error", b"twelve", b"text"],
        [b"velo1", ID, b"error", b"-1", b"text"],
        [b"velo1", ID, b"error", b"99999", b"text"],
        [b"velo1", ID, b"error", b"1", b"text", b"more"],
    ],
)
def test_what_is_no_reply_is_a_protocol_error(frames):
    with pytest.raises(ProtocolError):
        wire.decode_reply(frames)


@pytest.mark.parametrize("payload", [[], [b"x" * 11], [b"x" * 13], [b"x" * 12, b""]])
def test_a_torn_number_is_a_protocol_error(payload):
    with pytest.raises(ProtocolError, match="expected one of 12"):
        wire.shard_and_number(payload)


def test_only_an_id_of_the_right_size_can_be_answered():
    assert wire.id_of([b"anything", ID]) == ID
    assert wire.id_of([b"velo1", b"short"]) is None
    assert wire.id_of([]) is None
