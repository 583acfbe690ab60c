"""The dispatcher: who is asked, what becomes of the answers. No sockets, no clock."""

from __future__ import annotations

import json
import random

import pytest

from velo.router.dispatcher import REQUESTS_MAX, Dispatcher, ToClient, ToShard
from velo.router.errors import NoSuchShard, Overloaded
from velo.shards.errors import BytesLost, ProtocolError, UnknownVerb
from velo.shards.verbs import VERBS
from velo.shards.wire import SHARD_AND_NUMBER, Reply, Request, decode_reply, decode_request

ID = b"12345678"


def request(verb, *payload):
    return Request(ID, verb, payload)


def space(shard, wanted=4096):
    return request("SPACE", SHARD_AND_NUMBER.pack(shard, wanted))


def asked(outgoing):
    """{shard: id} of what goes to shards."""
    return {
        item.shard: decode_request(item.frames).id for item in outgoing if isinstance(item, ToShard)
    }


def answer(outgoing):
    """The one reply to the client in `outgoing`."""
    (item,) = [item for item in outgoing if isinstance(item, ToClient)]
    reply = decode_reply(item.frames)
    assert reply.id == ID
    assert item.ok == (reply.error is None)
    return reply


@pytest.fixture
def dispatcher():
    return Dispatcher(4)


@pytest.mark.parametrize("verb", ["LOAD", "WRITEBACK"])
def test_a_request_for_one_shard_goes_to_that_one_and_its_answer_back(dispatcher, verb):
    sent = asked(dispatcher.ask(b"c", request(verb, SHARD_AND_NUMBER.pack(2, 7)), 0))

    assert list(sent) == [2]
    assert answer(dispatcher.answered(2, Reply(sent[2], (b"done",)))).payload == (b"done",)
    dispatcher.check()


@pytest.mark.parametrize("verb", ["BARRIER", "SYNC", "UNLOAD"])
def test_a_request_for_all_is_answered_when_the_last_one_has(dispatcher, verb):
    sent = asked(dispatcher.ask(b"c", request(verb), 0))
    assert sorted(sent) == [0, 1, 2, 3]

    for shard in (3, 0, 2):
        assert dispatcher.answered(shard, Reply(sent[shard])) == []
    assert answer(dispatcher.answered(1, Reply(sent[1]))).error is None
    dispatcher.check()


def test_one_error_among_all_is_the_answer(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("SYNC"), 0))
    for shard in (0, 1, 3):
        dispatcher.answered(shard, Reply(sent[shard]))

    reply = answer(dispatcher.answered(2, Reply(sent[2], (), (203, "store full"))))

    assert reply.error == (203, "store full")


def test_what_was_lost_of_all_shards_is_in_the_answer_beside_all_else(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("SYNC"), 0))
    said = {0: (207, "no space"), 1: (211, "lost a"), 2: (211, "lost b"), 3: (211, "lost a")}

    for shard, error in said.items():
        out = dispatcher.answered(shard, Reply(sent[shard], (), error))

    assert answer(out).error == (211, "lost a; lost b; no space")


def test_what_several_shards_add_to_what_was_lost_is_said_once(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("SYNC"), 0))

    for shard, path in enumerate("abcd"):
        message = str(BytesLost(paths=[path], also="no space for 1 (e); free some"))
        out = dispatcher.answered(shard, Reply(sent[shard], (), (BytesLost.code, message)))

    said = answer(out).error[1]
    assert said.count("(e)") == said.count("free some") == 1
    assert all(said.count(f"({path})") == 1 for path in "abcd")


def test_space_that_the_home_shard_cannot_make_is_asked_of_the_others(dispatcher):
    outgoing = dispatcher.ask(b"c", space(2), 0)
    for shard in (2, 3, 0):
        sent = asked(outgoing)
        assert list(sent) == [shard]
        outgoing = dispatcher.answered(
            shard, Reply(sent[shard], (), (28, f"shard {shard} is full"))
        )
    sent = asked(outgoing)

    reply = answer(dispatcher.answered(1, Reply(sent[1])))

    assert reply.error is None
    dispatcher.check()


def test_space_that_nobody_can_make_is_refused_with_the_home_shards_reason(dispatcher):
    outgoing = dispatcher.ask(b"c", space(1), 0)
    for shard in (1, 2, 3, 0):
        sent = asked(outgoing)
        outgoing = dispatcher.answered(
            shard, Reply(sent[shard], (), (28, f"shard {shard} is full"))
        )

    assert answer(outgoing).error == (28, "shard 1 is full")


def test_status_is_partial_rather_than_late(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("STATUS"), 0))
    dispatcher.answered(0, Reply(sent[0], (b'{"a": 1}',)))
    dispatcher.answered(1, Reply(sent[1], (b"not json",)))

    (outgoing,) = [dispatcher.expired(VERBS["STATUS"].deadline_s)]

    assert json.loads(answer(outgoing).payload[0]) == [{"a": 1}, None, None, None]


def test_a_deadline_that_passes_is_etimedout_and_a_late_answer_is_dropped(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("BARRIER"), 100))
    assert dispatcher.next_deadline() == 100 + VERBS["BARRIER"].deadline_s
    assert dispatcher.expired(101) == []

    reply = answer(dispatcher.expired(100 + VERBS["BARRIER"].deadline_s))

    assert reply.error is not None and reply.error[0] == 110
    assert dispatcher.answered(0, Reply(sent[0])) == []
    assert dispatcher.next_deadline() is None
    dispatcher.check()


def test_a_shard_that_comes_back_is_asked_again_what_it_owes(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("SYNC"), 0))
    dispatcher.answered(1, Reply(sent[1]))

    assert asked(dispatcher.found(0)) == {0: sent[0]}
    assert dispatcher.found(1) == []


def test_a_shard_that_was_given_up_answers_with_an_error_now_and_later(dispatcher):
    dispatcher.ask(b"c", request("LOAD", SHARD_AND_NUMBER.pack(3, 1)), 0)

    now = answer(dispatcher.gave_up(3, restarts=6))
    later = answer(dispatcher.ask(b"c", request("LOAD", SHARD_AND_NUMBER.pack(3, 1)), 0))

    assert now.error == later.error and now.error is not None and now.error[0] == 251
    dispatcher.check()


def test_space_goes_past_a_shard_that_was_given_up(dispatcher):
    dispatcher.gave_up(0, restarts=6)

    assert list(asked(dispatcher.ask(b"c", space(0), 0))) == [1]


def test_all_shards_given_up_is_an_answer_at_once(dispatcher):
    for shard in range(4):
        dispatcher.gave_up(shard, restarts=6)

    for verb in ("SYNC", "STATUS", "BARRIER"):
        answer(dispatcher.ask(b"c", request(verb), 0))
    answer(dispatcher.ask(b"c", space(2), 0))
    dispatcher.check()


def test_what_nobody_asked_for_is_dropped(dispatcher):
    sent = asked(dispatcher.ask(b"c", space(1), 0))

    assert dispatcher.answered(2, Reply(sent[1])) == []  # another shard answers in its place
    assert dispatcher.answered(1, Reply(b"87654321")) == []
    dispatcher.check()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (request("DANCE"), UnknownVerb),
        (space(4), NoSuchShard),
        (space(2**32 - 1), NoSuchShard),
        (request("SPACE"), ProtocolError),
        (request("LOAD", b"short"), ProtocolError),
        (request("LOAD", bytes(12), bytes(12)), ProtocolError),
    ],
)
def test_a_request_that_means_nothing_is_refused_and_forgotten(dispatcher, bad, error):
    with pytest.raises(error):
        dispatcher.ask(b"c", bad, 0)

    assert dispatcher.next_deadline() is None
    dispatcher.check()


def test_there_is_a_limit_to_what_is_under_way():
    dispatcher = Dispatcher(1)
    for _ in range(REQUESTS_MAX):
        dispatcher.ask(b"c", space(0), 0)

    with pytest.raises(Overloaded):
        dispatcher.ask(b"c", space(0), 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_request_is_answered_exactly_once(seed):
    # Goal: no answer lost or doubled. Method: random requests, answers, deaths, returns and
    # deadlines; at the end everything expires; then count.
    random_ = random.Random(seed)
    dispatcher, pending, out, now = Dispatcher(3), [], [], 0.0
    asked_count = 0
    for _ in range(400):
        now += random_.random() * 5
        choice = random_.random()
        if choice < 0.4:
            asked_count += 1
            verb = random_.choice(["SYNC", "STATUS", "BARRIER", "SPACE", "LOAD"])
            payload = (
                [SHARD_AND_NUMBER.pack(random_.randrange(3), 1)] if verb in "SPACELOAD" else []
            )
            new = dispatcher.ask(asked_count, Request(ID, verb, tuple(payload)), now)
        elif choice < 0.85 and pending:
            shard, id = pending.pop(random_.randrange(len(pending)))
            error = (28, "full") if random_.random() < 0.3 else None
            new = dispatcher.answered(shard, Reply(id, () if error else (b"{}",), error))
        elif choice < 0.9:
            new = dispatcher.found(random_.randrange(3))
        elif choice < 0.92:
            new = dispatcher.gave_up(random_.randrange(3), 6)
        else:
            new = dispatcher.expired(now)
        pending += asked(new).items()
        out += [item.client for item in new if isinstance(item, ToClient)]
        dispatcher.check()
    out += [item.client for item in dispatcher.expired(1e9)]

    assert sorted(out) == list(range(1, asked_count + 1)), f"seed {seed}"
    assert dispatcher.statistics()["under_way"] == 0


def test_a_shard_that_is_stopped_is_waited_for_as_long_as_the_verb_says(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("SYNC"), 0))
    for shard in (0, 1, 3):
        dispatcher.answered(shard, Reply(sent[shard]))
    assert dispatcher.owing(0) == {2}

    assert dispatcher.stopped(2, 77, VERBS["SYNC"].stopped_s - 0.1) == []
    reply = answer(dispatcher.stopped(2, 77, VERBS["SYNC"].stopped_s))

    assert reply.error is not None and "shard 2 (pid 77) is stopped" in reply.error[1]
    assert dispatcher.answered(2, Reply(sent[2])) == [] and not dispatcher.waits
    dispatcher.check()


def test_status_does_not_wait_for_a_shard_that_is_stopped(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("STATUS"), 0))
    for shard in (0, 2, 3):
        dispatcher.answered(shard, Reply(sent[shard], (b"{}",)))

    payload = answer(dispatcher.stopped(1, 77, 0.0)).payload

    assert json.loads(payload[0]) == [{}, None, {}, {}]


def test_what_only_a_stopped_shard_can_do_waits_for_it(dispatcher):
    sent = asked(dispatcher.ask(b"c", request("LOAD", SHARD_AND_NUMBER.pack(2, 7)), 0))

    assert dispatcher.owing(10) == set() and dispatcher.stopped(2, 77, 1000.0) == []
    assert answer(dispatcher.answered(2, Reply(sent[2]))).error is None
