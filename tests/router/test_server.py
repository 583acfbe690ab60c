"""The server, between real sockets: clients on one side, stand-in shards on the other."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from support.fakes import FakeRegion, FakeShard, Peer
from velo.router import config, server, sessions
from velo.router.arena import Arena, ensure_runtime_root
from velo.shards.errors import BytesLost, VeloError
from velo.shards.wire import SHARD_AND_NUMBER, encode_error, encode_ok

LIMIT_S = 60.0
SLEEP = ["sleep", "1000"]


def until(condition, limit_s=LIMIT_S):
    """Wait for `condition()`, and return what it gave."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)
    return value


class Running:
    """A Server on a thread of its own. Signals are written to its wake-up pipe by hand."""

    def __init__(self, arena, region, **settings):
        self.said, self.left, self.shards = [], "running", []
        self.arena, self.region = arena, region
        chosen = config.load(settings, environment={})
        self.server = server.Server(
            chosen,
            arena,
            region,
            daemon=bool(settings),
            say=self.said.append,
            shard_command=lambda index: SLEEP,
        )
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.ready.wait(LIMIT_S)
        self.peer = Peer(arena.router_socket)

    def _run(self):
        self.left = self.server.run(ready=self.ready.set)

    def shard(self, index, *answer):
        self.shards.append(FakeShard(self.server.shards_socket, index, *answer))
        return self.shards[-1]

    def signal(self, number):
        os.write(self.wakeup, bytes([number]))

    def ended(self):
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the server did not end"
        return self.left

    def close(self):
        if self._thread.is_alive():
            with contextlib.suppress(OSError):  # it may have ended before the second one
                self.signal(signal.SIGTERM)
                self.signal(signal.SIGTERM)
        self.ended()
        self.peer.close()
        for shard in self.shards:
            shard.die()


@pytest.fixture
def arena(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Arena.of(str(tmp_path))
    ensure_runtime_root(found.root)
    os.mkdir(found.directory, 0o700)
    return found


@pytest.fixture
def start(arena, tmp_path, monkeypatch):
    """Start a server; `set_wakeup_fd` works on the main thread only, so take its place."""
    started = []

    def begin(shards=2, **settings):
        running = None
        wakeups = []

        class Handed:
            def __init__(self, descriptor):
                wakeups.append(descriptor)

            def __enter__(self):
                pass

            def __exit__(self, *_):
                pass

        monkeypatch.setattr(server, "_signals_to", Handed)
        running = Running(arena, FakeRegion(str(tmp_path), shards=shards), **settings)
        running.wakeup = wakeups[0]
        started.append(running)
        return running

    yield begin
    for running in started:
        running.close()


def test_hello_is_answered_before_any_shard_is_there(start):
    running = start()

    said = json.loads(running.peer.ask("HELLO").payload[0])

    assert said["pid"] == os.getpid()
    assert (said["shards"], said["max_memory"]) == (2, 1 << 30)
    assert said["workspace"] == running.region.workspace


def test_what_a_shard_is_not_there_for_yet_waits_for_it(start):
    running = start()
    threading.Timer(0.1, lambda: [running.shard(0), running.shard(1)]).start()

    assert running.peer.ask("BARRIER").error is None
    until(lambda: any("serving" in line for line in running.said))


def test_load_goes_to_the_home_shard_alone(start):
    running = start()
    first, second = running.shard(0), running.shard(1)

    assert running.peer.ask("LOAD", SHARD_AND_NUMBER.pack(1, 77)).error is None

    assert not first.asked
    assert [(r.verb, SHARD_AND_NUMBER.unpack(r.payload[0])) for r in second.asked] == [
        ("LOAD", (1, 77))
    ]


def test_space_is_offered_to_the_other_shards(start):
    running = start()
    full = running.shard(0, lambda request: encode_error(request.id, VeloError("full", code=28)))
    other = running.shard(1)

    assert running.peer.ask("SPACE", SHARD_AND_NUMBER.pack(0, 4096)).error is None

    assert [r.verb for r in full.asked] == [r.verb for r in other.asked] == ["SPACE"]


def test_a_dead_shard_is_started_again_and_asked_again(start):
    running = start()
    running.shard(1)
    silent = running.shard(0, lambda request: None)
    asked_by = threading.Thread(
        target=lambda: replies.append(running.peer.ask("BARRIER")), daemon=True
    )
    replies: list = []
    asked_by.start()
    until(lambda: silent.asked)
    process = running.server.supervisor.shards[0].process

    silent.die()
    running.shards.remove(silent)
    process.kill()
    until(lambda: running.server.supervisor.shards[0].restarts == 1)
    until(lambda: running.server.supervisor.shards[0].process not in (None, process))
    back = running.shard(0)

    asked_by.join(LIMIT_S)
    assert replies and replies[0].error is None
    assert [r.verb for r in back.asked] == ["BARRIER"]


def test_status_joins_what_everybody_knows(start):
    running = start()
    running.shard(0, lambda request: encode_ok(request.id, b'{"index": 0}'))
    running.shard(1, lambda request: encode_ok(request.id, b'{"index": 1}'))

    status = json.loads(running.peer.ask("STATUS").payload[0])

    assert [shard["worker"] for shard in status["shards"]] == [{"index": 0}, {"index": 1}]
    assert status["processes"]["interposed"]["cc1"]["count"] == 3
    assert status["escapes"]["direct"] == 1


def test_pause_reaches_the_arena_too(start):
    running = start()
    running.shard(0), running.shard(1)

    running.peer.ask("PAUSE")
    assert running.region.paused
    running.peer.ask("RESUME")
    assert not running.region.paused


def test_stop_flushes_answers_and_leaves_the_arena_to_be_removed(start):
    running = start()
    first, second = running.shard(0), running.shard(1)

    assert running.peer.ask("STOP").error is None

    assert running.ended() is None
    assert [r.verb for r in first.asked] == [r.verb for r in second.asked] == ["SYNC"]


def test_stop_is_refused_while_somebody_is_inside_and_life_goes_on(start):
    running = start()
    running.shard(0), running.shard(1)
    session = sessions.Session(running.arena, os.getpid())
    session.enter()

    refused = running.peer.ask("STOP")

    assert refused.error is not None and refused.error[0] == 250
    assert str(os.getpid()) in refused.error[1]
    assert running.peer.ask("BARRIER").error is None
    session.leave()
    assert running.peer.ask("STOP").error is None
    assert running.ended() is None


def test_stop_that_cannot_flush_is_refused_and_life_goes_on(start):
    running = start()
    full = VeloError("tree not complete: no space", code=207)
    answers = [encode_error, encode_ok]
    running.shard(0)
    running.shard(
        1,
        lambda request: (
            encode_error(request.id, full) if answers[0] is encode_error else encode_ok(request.id)
        ),
    )
    running.region.refused = 1
    running.region.numbers["dirty_files"] = 1

    refused = running.peer.ask("STOP")

    assert refused.error is not None and "not complete: no space" in refused.error[1]
    answers[0] = encode_ok
    running.region.refused = 0
    running.region.numbers["dirty_files"] = 0
    sessions.Session(running.arena, os.getpid()).enter()  # the door is open again
    sessions.Session(running.arena, os.getpid()).leave()
    assert running.peer.ask("STOP").error is None
    assert running.ended() is None


@pytest.mark.parametrize("code", [203, 204, 208, 209])
def test_stop_tells_of_a_store_that_cannot_be_written_and_ends_when_the_tree_is_on_disk(
    start, code
):
    running = start()
    running.shard(0)
    running.shard(1, lambda request: encode_error(request.id, VeloError("store: no", code=code)))

    told = running.peer.ask("STOP")

    assert told.error is None and told.payload == (b"everything is on disk, but store: no",)
    assert running.ended() is None


def test_stop_ends_the_server_and_fails_when_something_was_lost(start):
    running = start()
    running.shard(0)
    running.shard(1, lambda request: encode_error(request.id, BytesLost(paths=["/w/build/a"])))

    told = running.peer.ask("STOP")

    assert told.error is not None and told.error[0] == BytesLost.code
    assert "/w/build/a" in told.error[1] and "on disk, but" not in told.error[1]
    assert running.ended() is None


def test_what_any_shard_has_to_say_is_in_the_answer_to_sync_and_stop(start):
    running = start()
    running.shard(0, lambda request: encode_ok(request.id, b"one"))
    running.shard(1, lambda request: encode_ok(request.id, b"two", b"one"))

    assert running.peer.ask("SYNC").payload == (b"one", b"two")
    assert running.peer.ask("STOP").payload == (b"one", b"two")
    assert running.ended() is None


@pytest.mark.parametrize("kept", [{"dirty_files": 3}, {"live_processes": 1}])
def test_a_signal_leaves_an_arena_that_is_still_needed(start, kept):
    running = start()
    running.shard(0), running.shard(1)
    running.region.numbers.update(kept)

    running.signal(signal.SIGTERM)

    assert "left in place" in str(running.ended())


def test_a_second_signal_hurries_and_leaves_the_arena(start):
    running = start()
    running.shard(0, lambda request: None)

    running.signal(signal.SIGTERM)
    until(lambda: any("flushing" in line for line in running.said))
    running.signal(signal.SIGTERM)

    assert "second signal" in str(running.ended())


def test_while_it_leaves_nobody_comes_in(start):
    running = start()
    running.shard(0, lambda request: None)
    running.signal(signal.SIGTERM)
    until(lambda: any("flushing" in line for line in running.said))

    reply = running.peer.ask("HELLO")

    assert reply.error is not None and reply.error[0] == 252
    with pytest.raises(sessions.NobodyHome):
        sessions.Session(running.arena, os.getpid()).enter()


def test_an_unused_daemon_ends_by_itself(start):
    running = start(idle_exit="50ms")
    running.shard(0), running.shard(1)

    assert running.ended() is None


def test_a_daemon_that_is_used_stays(start, monkeypatch):
    monkeypatch.setattr(server, "TICK_S", 0.01)
    running = start(idle_exit="50ms")
    running.region.numbers["live_processes"] = 1
    running.shard(0), running.shard(1)

    with pytest.raises(AssertionError):
        until(lambda: running.left != "running", limit_s=0.5)
    running.region.numbers["live_processes"] = 0


def test_a_daemon_that_lost_files_stays_until_it_has_told_and_one_that_lost_none_ends(
    start, monkeypatch
):
    monkeypatch.setattr(server, "TICK_S", 0.01)
    running = start(idle_exit="50ms")
    running.shard(0), running.shard(1)
    running.region.numbers["dirty_files"] = 1
    running.region.directory = "/nowhere"

    with pytest.raises(AssertionError):
        until(lambda: running.left != "running", limit_s=0.5)
    running.region.numbers["dirty_files"] = 0
    assert running.ended() is None and any("its memory was" in said for said in running.said)


HOSTILE = [
    ([], None),
    ([b""], None),
    ([b"velo1"], None),
    ([b"velo1", b"short", b"HELLO"], None),
    ([b"velo1", b"12345678"], 201),
    ([b"velo2", b"12345678", b"HELLO"], 201),
    ([b"velo1", b"12345678", b"hello"], 201),
    ([b"velo1", b"12345678", b""], 201),
    ([b"velo1", b"12345678", b"X" * 1000], 201),
    ([b"velo1", b"12345678", b"\xff\xfe"], 201),
    ([b"velo1", b"12345678", b"DANCE"], 202),
    ([b"velo1", b"12345678", b"READY", b"0"], 202),
    ([b"velo1", b"12345678", b"SPACE"], 201),
    ([b"velo1", b"12345678", b"SPACE", bytes(11)], 201),
    ([b"velo1", b"12345678", b"SPACE", SHARD_AND_NUMBER.pack(99, 1)], 22),
    ([b"velo1", b"12345678", b"LOAD", bytes(12), bytes(12)], 201),
    ([b"velo1", b"12345678", *[b"HELLO"] * 40], 201),
]


@pytest.mark.parametrize(("frames", "code"), HOSTILE)
def test_nonsense_gets_an_error_when_it_has_an_id_and_never_ends_the_server(start, frames, code):
    running = start()
    if frames:
        running.peer.socket.send_multipart(frames)

    if code is not None:
        reply = running.peer.receive()
        assert reply.id == b"12345678"
        assert reply.error is not None and reply.error[0] == code

    assert running.peer.ask("HELLO").error is None


def test_bytes_that_are_not_zeromq_do_not_end_the_server(start):
    running = start()
    seed = random.Random(7)
    for size in (0, 1, 9, 10, 63, 64, 65, 5000):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(running.arena.router_socket)
        raw.send(seed.randbytes(size))
        raw.close()

    assert running.peer.ask("HELLO").error is None


def test_a_message_too_large_costs_its_sender_the_connection_only(start):
    running = start()
    rude = Peer(running.arena.router_socket)
    rude.socket.send_multipart([b"velo1", b"12345678", b"HELLO", bytes(2 << 20)])

    assert running.peer.ask("HELLO").error is None
    rude.close()


def test_a_stranger_on_the_shards_side_is_nobody(start):
    running = start()
    for frames in ([b"velo1", b"READY", b"9"], [b"velo1", b"READY", b"x"], [b"velo1"], [b"", b""]):
        stranger = Peer(running.server.shards_socket)
        stranger.socket.send_multipart(frames)
        stranger.socket.send_multipart(encode_ok((1).to_bytes(8, "little")))
    running.shard(0), running.shard(1)

    assert running.peer.ask("BARRIER").error is None


def test_no_process_is_left_when_the_server_has_ended(start):
    running = start()
    running.shard(0), running.shard(1)
    until(lambda: all(shard.process for shard in running.server.supervisor.shards))
    pids = [shard.process.pid for shard in running.server.supervisor.shards]

    running.peer.ask("STOP")
    running.ended()

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_daemon_entry_answers_through_its_pipe_even_when_it_is_broken():
    read, write = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "velo.router.daemon", str(write), "{}"],
        pass_fds=[write],
        timeout=LIMIT_S,
    )
    os.close(write)

    assert done.returncode == 0
    assert os.read(read, 4096).startswith(b"error 247 ")
    os.close(read)
