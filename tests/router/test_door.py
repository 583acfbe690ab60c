"""The server's sockets: what strangers say becomes messages or a closed connection."""

from __future__ import annotations

import os
import random
import socket
import time

import pytest

from support.hostile import GREETING, HELLO, KINDS, connected, frame, request
from velo.router import door, zmtp
from velo.router.door import Door
from velo.router.zmtp import Broken, Conversation

LIMIT_BYTES = 1 << 16
LIMIT_S = 60.0
ASKED = [b"velo1", b"12345678", b"HELLO", b"x" * 300]
SAID = HELLO + request(b"HELLO", b"x" * 300) + frame(b"\x04PING\x00\x01abc", 4) + request(b"BYE")


def messages(pieces):
    talk = Conversation(LIMIT_BYTES)
    found = []
    for piece in pieces:
        talk.feed(piece)
        while (message := talk.message()) is not None:
            found.append(message)
    return found, bytes(talk.out)


@pytest.mark.parametrize("cut", range(0, len(SAID) + 1, 7))
def test_messages_are_the_same_wherever_they_were_torn(cut):
    whole = messages([SAID])

    assert messages([SAID[:cut], SAID[cut:]]) == whole
    assert whole[0] == [ASKED, [b"velo1", b"12345678", b"BYE"]]
    assert whole[1].endswith(frame(b"\x04PONGabc", 4))


def test_rubbish_breaks_a_connection_and_nothing_else():
    seed = random.Random(11)
    for _ in range(3000):
        said = bytearray(seed.choice([b"", GREETING, HELLO, SAID]))
        said += seed.randbytes(seed.randrange(40))
        for _ in range(seed.randrange(3)):
            if said:
                said[seed.randrange(len(said))] = seed.randrange(256)
        try:
            found, _ = messages([bytes(said)])
        except Broken:
            continue
        assert all(1 <= len(message) <= zmtp.FRAMES_MAX for message in found)


@pytest.mark.parametrize(
    "said",
    [
        frame(b"x" * 1000, 1) * 70,
        frame(b"", 1) * 65,
        b"\x03" + (LIMIT_BYTES + 1).to_bytes(8, "big"),
        frame(b"x" * (LIMIT_BYTES - 100), 1) + b"\x00\xff",
        b"\x06" + (zmtp.COMMAND_BYTES_MAX + 1).to_bytes(8, "big"),
    ],
    ids=["too long in all", "too many frames", "a long frame", "the rest too long", "a command"],
)
def test_what_only_promises_to_be_long_is_broken_before_it_comes(said):
    with pytest.raises(Broken):
        messages([HELLO + said])


@pytest.fixture
def opened(tmp_path):
    doors = []

    def make(**limits):
        doors.append(Door(str(tmp_path / "s"), message_bytes_max=LIMIT_BYTES, **limits))
        return doors[-1], str(tmp_path / "s")

    yield make
    for each in doors:
        each.close(linger_s=0)


def turn_until(found, handle, condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        found.turn(handle)


def gone(path):
    os.unlink(path)


def another_socket(path):
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)


def a_directory(path):
    os.unlink(path)
    os.mkdir(path)


@pytest.mark.parametrize("damage", [gone, another_socket, a_directory])
def test_a_socket_whose_name_somebody_took_is_bound_again_and_who_is_inside_stays(opened, damage):
    found, path = opened()
    asked = []
    inside = connected(path, HELLO)
    turn_until(found, lambda *_: True, lambda: found.statistics()["connections"] == 1)
    assert not found.stand()

    damage(path)

    assert found.stand() and not found.stand()
    outside = connected(path, HELLO + request(b"NEW"))
    inside.sendall(request(b"OLD"))
    turn_until(found, lambda who, frames: asked.append(frames[2]) or True, lambda: len(asked) == 2)
    assert sorted(asked) == [b"NEW", b"OLD"]
    outside.close()
    inside.close()


def test_who_comes_when_it_is_full_takes_the_place_of_the_oldest_idle_one(opened):
    found, path = opened(connections_max=8)
    crowd = [connected(path, HELLO) for _ in range(40)]
    asked = []
    mine = connected(path, HELLO + request(b"HELLO"))

    turn_until(found, lambda who, frames: asked.append(who) or True, lambda: asked)

    assert found.statistics() == {"connections": 8, "turned_away": 33}
    assert found.send(asked[0], [b"yes"])
    mine.settimeout(LIMIT_S)
    assert mine.recv(1000).endswith(frame(b"yes"))
    for each in [*crowd, mine]:
        each.close()


def test_where_all_are_owed_an_answer_one_who_has_many_loses_one(opened):
    found, path = opened(connections_max=8)
    asked = []

    def handle(who, frames):
        asked.append(who)
        return True

    crowd = [connected(path, HELLO + request(b"SYNC")) for _ in range(8)]
    turn_until(found, handle, lambda: len(asked) == 8)
    crowd.append(connected(path, HELLO + request(b"HELLO")))
    turn_until(found, handle, lambda: len(asked) == 9)

    assert found.send(asked[8], [b"yes"]) and not found.send(asked[0], [b"late"])
    for each in crowd:
        each.close()


def test_a_process_is_not_read_from_while_it_is_owed_too_much(opened):
    found, path = opened(owed_max=10)
    asked = []

    def handle(who, frames):
        asked.append(who)
        return True

    crowd = [connected(path, HELLO + request(b"STATUS") * 30) for _ in range(3)]
    for _ in range(50):
        found.turn(handle)
    assert len(asked) == 10

    answered = 0
    while len(asked) < 90:
        found.send(asked[answered], [b"yes"])
        answered += 1
        before = len(asked)
        turn_until(found, handle, lambda n=before: len(asked) == n + 1 or len(asked) == 90)
        assert len(asked) - answered <= 10
    for each in crowd:
        each.close()


def test_who_does_not_read_is_not_listened_to_and_then_gone(opened, monkeypatch):
    monkeypatch.setattr(door, "UNREAD_BYTES_MAX", 1 << 20)
    found, path = opened()
    asked = []
    crowd = [connected(path, HELLO + request(b"STATUS"))]
    turn_until(found, lambda who, frames: asked.append(who) or True, lambda: asked)

    answers = 0
    while found.send(asked[0], [bytes(60_000)]):
        answers += 1
        assert answers < 100

    assert found.statistics()["connections"] == 0
    crowd[0].close()


def test_each_kind_of_stranger_leaves_the_door_open(opened):
    found, path = opened(connections_max=64)
    crowd = [connected(path, said) for said in list(KINDS.values()) * 3]
    asked = []
    mine = connected(path, HELLO + request(b"MINE"))

    def handle(who, frames):
        if frames[-1] == b"MINE":
            asked.append(who)
        found.send(who, [b"no"])
        return True

    turn_until(found, handle, lambda: asked)
    for each in crowd:
        each.close()
    turn_until(found, handle, lambda: found.statistics()["connections"] == 1)
    mine.close()


def test_without_descriptors_it_waits_and_goes_on(opened, monkeypatch):
    found, path = opened()
    mine = connected(path, HELLO + request(b"HELLO"))
    refused = []

    class Poor:
        def __init__(self, listener):
            self._listener = listener

        def __getattr__(self, name):
            return getattr(self._listener, name)

        def accept(self):
            if len(refused) < 3:
                refused.append(1)
                raise OSError(24, "Too many open files")
            return self._listener.accept()

    found._listener = Poor(found._listener)
    asked = []

    turn_until(found, lambda who, frames: asked.append(who) or True, lambda: asked)

    assert len(refused) == 3
    mine.close()


def test_a_process_that_is_not_admitted_is_turned_away(opened):
    found, path = opened(admits=lambda pid: False)
    stranger = connected(path, HELLO)

    turn_until(found, lambda who, frames: True, lambda: found.statistics()["turned_away"] == 1)

    stranger.settimeout(LIMIT_S)
    with pytest.raises((ConnectionError, AssertionError)):
        assert stranger.recv(1)
    stranger.close()
