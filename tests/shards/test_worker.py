"""One real shard process over a real arena; the test plays the router."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from support.inside import MIB, arena
from velo.interpose.core import BACKED, DISK
from velo.shards import ops, wire
from velo.shards.wire import Request

LIMIT_S = 60.0


def until(condition, what="the condition"):
    """Wait for `condition()`, and return what it gave."""
    deadline = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {LIMIT_S} s"
        time.sleep(0.01)
    return value


class Router:
    """The router's side of shards.sock, and the shard process."""

    def __init__(self, inside, tmp_path, *, index: int = 0, idle_flush_s: float = 3600.0):
        self.inside, self.tmp_path = inside, tmp_path
        self.index, self.idle_flush_s = index, idle_flush_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(f"ipc://{inside.arena}/shards.sock")
        self._ids = iter(range(1, 1 << 30))
        self.process = self.start()

    def start(self, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start the shard and wait for its READY."""
        process = subprocess.Popen(
            [
                *wrapper,
                *(sys.executable, "-m", "velo.shards.worker"),
                *("--arena", str(self.inside.arena), "--index", str(self.index)),
                *("--store", str(self.tmp_path / "cas")),
                *("--manifest", str(self.tmp_path / "manifest.sqlite")),
                *("--idle-flush-s", str(self.idle_flush_s)),
            ],
            stderr=open(self.tmp_path / "log", "ab"),
        )
        assert self.receive() == [wire.MAGIC, wire.READY, b"%d" % self.index]
        return process

    def receive(self) -> list[bytes]:
        assert self._socket.poll(LIMIT_S * 1000), (self.tmp_path / "log").read_text()
        identity, *frames = self._socket.recv_multipart()
        assert identity == b"shard-%d" % self.index
        return frames

    def send(self, frames: list[bytes]) -> None:
        self._socket.send_multipart([b"shard-%d" % self.index, *frames])

    def ask(self, verb: str, *payload: bytes) -> wire.Reply:
        id = next(self._ids).to_bytes(8, "little")
        self.send(wire.encode_request(Request(id, verb, payload)))
        reply = wire.decode_reply(self.receive())
        assert reply.id == id
        return reply

    def ok(self, verb: str, *payload: bytes) -> tuple[bytes, ...]:
        reply = self.ask(verb, *payload)
        assert reply.error is None, reply.error
        return reply.payload

    def status(self) -> dict:
        return json.loads(self.ok("STATUS")[0])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._context.destroy(linger=0)


SMALL = pytest.mark.parametrize("inside", [16 * MIB], indirect=True, ids=["16 MiB"])


@pytest.fixture
def inside(tmp_path, request):
    with arena(tmp_path, max_memory=getattr(request, "param", 256 * MIB)) as made:
        (made.arena / "sessions").mkdir()
        yield made


@pytest.fixture
def router(inside, tmp_path):
    made = Router(inside, tmp_path)
    yield made
    made.close()


def number(shard: int, value: int) -> bytes:
    return wire.SHARD_AND_NUMBER.pack(shard, value)


def test_barrier_puts_the_tree_on_disk(inside, router):
    inside.run("mkdir build/d; echo hello > build/d/a; ln build/d/a build/b")

    router.ok("BARRIER")

    assert (inside.build / "d/a").read_text() == "hello\n"
    assert (inside.build / "b").stat().st_nlink == 2


def test_sync_fills_the_store_and_the_manifest(inside, router, tmp_path):
    inside.write("a", b"hello\n" * 100)

    router.ok("SYNC")

    info = inside.named("a")
    assert not info.dirty_store and not info.dirty_disk
    assert [p.name for p in (tmp_path / "cas/sha256").rglob("*.lz4")] == [
        info.digest.hex()[2:] + ".lz4"
    ]
    assert router.status()["stored_files"] == 1


def test_unload_leaves_no_bytes_in_memory_and_all_on_disk(inside, router):
    inside.run("for i in $(seq 50); do echo $i > build/$i; done")

    router.ok("UNLOAD")

    assert os.listdir(inside.arena / "i") == []
    assert {info.state for info in inside.region.scan()} == {DISK}
    assert inside.read("7") == b"7\n" == (inside.build / "7").read_bytes()


@SMALL
def test_space_makes_room_below_the_high_water_mark(inside, router):
    for name in "abcdef":
        inside.write(name, os.urandom(2 * MIB))

    router.ok("SPACE", number(0, 4 * MIB))

    assert inside.region.pulse(0).used_bytes + 4 * MIB <= 0.9 * 16 * MIB
    assert router.status()["evicted_files"] >= 1


@SMALL
def test_space_that_cannot_be_made_is_error_28(inside, router):
    reply = router.ask("SPACE", number(0, 20 * MIB))

    assert reply.error[0] == 28 and "memory full" in reply.error[1]


def test_only_the_last_shard_that_is_asked_for_space_waits_for_files_to_be_closed(tmp_path):
    # Goal: one patience for all shards. Method: shard 0 of two is asked as the first one and as the
    # last one for what can never be made.
    with arena(tmp_path, shards=2, max_memory=16 * MIB) as inside:
        (inside.arena / "sessions").mkdir()
        router = Router(inside, tmp_path)
        wanted = inside.region.pulse(0).limit_bytes
        try:
            took = {home: [] for home in (0, 1)}
            for home in (0, 1) * 5:
                began = time.monotonic()
                assert router.ask("SPACE", number(home, wanted)).error[0] == 28
                took[home].append(time.monotonic() - began)
        finally:
            router.close()

    assert min(took[0]) < ops.SPACE_PATIENCE_S <= min(took[1])


def test_load_brings_a_cold_file_back(inside, router):
    info = inside.write("a", b"hello")
    router.ok("SYNC")
    # The tree is refused from here on: the name on disk is out of date, so eviction means COLD.
    inside.run("touch -d '2001-01-01' build/a")
    again = inside.named("a")
    assert again.version != info.version
    assert inside.region.stored(again, again.digest)
    assert inside.region.evict(again.node)

    router.ok("LOAD", number(0, info.node))

    assert inside.named("a").state == BACKED and inside.read("a") == b"hello"


def test_writeback_puts_one_file_on_disk(inside, router):
    info = inside.write("a", b"a")
    inside.write("b", b"b")

    router.ok("WRITEBACK", number(0, info.node))

    assert (inside.build / "a").exists() and not (inside.build / "b").exists()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"velo9", b"12345678", b"STATUS"], 201),
        ([b"velo1", b"12345678"], 201),
        ([b"velo1", b"12345678", b"DANCE"], 202),
        ([b"velo1", b"12345678", b"SPACE"], 201),
        ([b"velo1", b"12345678", b"LOAD", b"torn"], 201),
    ],
)
def test_nonsense_with_an_id_gets_an_error_and_the_shard_lives(router, frames, code):
    router.send(frames)

    assert wire.decode_reply(router.receive()).error[0] == code
    assert router.status()["index"] == 0


def test_nonsense_without_an_id_is_dropped(router):
    router.send([b"velo1"])
    router.send([b"", b"x"])

    assert router.status()["index"] == 0


def test_when_the_last_client_left_everything_is_flushed(inside, router):
    inside.write("a", b"hello")

    until(lambda: not inside.named("a").dirty_store and not inside.named("a").dirty_disk)

    assert (inside.build / "a").read_bytes() == b"hello"


def test_while_somebody_is_inside_files_rest_for_idle_flush_seconds(inside, tmp_path):
    (inside.arena / "sessions").mkdir(exist_ok=True)
    (inside.arena / "sessions" / str(os.getpid())).write_text("")
    router = Router(inside, tmp_path, idle_flush_s=1.0)
    try:
        inside.write("a", b"hello")
        written = time.monotonic()

        until(lambda: not inside.named("a").dirty_store and not inside.named("a").dirty_disk)

        assert time.monotonic() - written >= 0.9
    finally:
        router.close()


def test_paused_nothing_is_flushed_but_what_is_asked_for_is_done(inside, router):
    inside.region.pause(True)
    inside.write("a", b"hello")
    until(lambda: router.status()["worker_thread"] == "idle")
    time.sleep(1.5)  # longer than the look that would have flushed; nothing can be waited for

    assert inside.named("a").dirty_disk and not (inside.build / "a").exists()
    router.ok("BARRIER")
    assert (inside.build / "a").exists()
    inside.region.pause(False)
    until(lambda: not inside.named("a").dirty_store)


def test_files_unlinked_while_open_are_freed_after_they_are_closed(inside, router):
    inside.run("exec 3> build/a; rm build/a; echo much >&3")

    until(lambda: os.listdir(inside.arena / "i") == [])


def test_a_killed_shard_comes_back_and_finds_its_work(inside, router, tmp_path):
    inside.region.pause(True)
    inside.write("a", b"hello")
    router.process.kill()
    router.process.wait()
    inside.write("b", b"world")

    router.process = router.start()
    router.ok("SYNC")

    assert [inside.named(name).dirty_store for name in "ab"] == [False, False]
    assert (inside.build / "a").read_bytes() == b"hello"


def test_sigterm_lets_the_request_under_way_finish(inside, router):
    for name in range(20):
        inside.write(str(name), os.urandom(200_000))
    router.send(wire.encode_request(Request(b"12345678", "SYNC")))
    router.send(wire.encode_request(Request(b"87654321", "STATUS")))
    first = router.receive()  # whichever: both have arrived there now

    router.process.send_signal(signal.SIGTERM)

    replies = [wire.decode_reply(frames) for frames in (first, router.receive())]
    assert {reply.id for reply in replies} == {b"12345678", b"87654321"}
    assert not any(reply.error for reply in replies)
    assert router.process.wait(LIMIT_S) == 0
    assert not any(info.dirty_store for info in inside.region.scan())


def test_sigint_and_sigio_are_none_of_its_business(router):
    router.process.send_signal(signal.SIGINT)
    router.process.send_signal(signal.SIGIO)

    assert router.status()["pid"] == router.process.pid


def test_it_ends_when_its_parent_dies(inside, router, tmp_path):
    # Method: a shell starts a second shard in the background and is killed.
    router.process.kill()
    router.process.wait()
    parent = subprocess.Popen(
        ["sh", "-c", '"$@" & echo $!; wait', "sh", sys.executable, "-m", "velo.shards.worker"]
        + ["--arena", str(inside.arena), "--index", "0", "--store", str(tmp_path / "cas")]
        + ["--manifest", str(tmp_path / "manifest.sqlite")],
        stdout=subprocess.PIPE,
    )
    pid = int(parent.stdout.readline())
    assert router.receive()[1] == wire.READY

    parent.kill()
    parent.wait()

    until(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid), "the shard's end")
    parent.stdout.close()


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_store_that_cannot_be_opened_is_told_and_does_not_keep_files_from_the_disk(
    inside, tmp_path
):
    # Given a store that cannot be, and something to flush
    (tmp_path / "cas").write_text("in the way")
    made = Router(inside, tmp_path)
    inside.write("a", b"bytes")

    # when a sync is asked for, and again when the way is free
    refused = made.ask("SYNC")
    (tmp_path / "cas").unlink()
    again = made.ask("SYNC")
    made.close()

    # then it says so, the tree is on disk all the same, and later the store has it, too
    assert refused.error is not None and "store unusable" in refused.error[1]
    assert (inside.build / "a").read_bytes() == b"bytes"
    assert again.error is None and len(list((tmp_path / "cas" / "sha256").rglob("*"))) == 2


def test_a_store_that_vanished_is_made_anew_and_filled_and_told_once(inside, tmp_path, router):
    inside.write("a", b"first" * 1000)
    inside.write("b", b"second")
    router.ok("SYNC")
    shutil.rmtree(tmp_path / "cas")
    inside.write("c", b"third")

    (said,) = router.ok("SYNC")

    assert str(tmp_path / "cas") in said.decode() and "2" in said.decode()
    blobs = [path for path in (tmp_path / "cas" / "sha256").rglob("*") if path.is_file()]
    assert len(blobs) == 3 and router.ok("SYNC") == ()


def test_a_damaged_manifest_is_told_once_with_its_path(inside, tmp_path, router):
    inside.write("a", b"bytes")
    router.ok("SYNC")
    (tmp_path / "manifest.sqlite").write_bytes(b"rubbish" * 2000)
    inside.write("b", b"bytes")

    said = router.ok("SYNC")

    assert router.status()["notices"] == []
    assert [str(tmp_path / "manifest.sqlite") in text.decode() for text in said] in ([True], [])
    assert router.ok("SYNC") == ()


@pytest.mark.parametrize(
    "arguments", [[], ["--index"], ["--index", "x"], ["--arena", "/a", "--what", "ever"]]
)
def test_bad_options_end_it_with_one_sentence(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "velo.shards.worker", *arguments], capture_output=True, text=True
    )

    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_an_idle_shard_uses_no_cpu(inside, router):
    inside.write("a", b"hello")
    router.ok("SYNC")
    time.sleep(3)  # until it looks rarely
    before = cpu_s(router.process.pid)
    time.sleep(2)

    assert cpu_s(router.process.pid) - before <= 0.02


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_a_flush_by_itself_set_aside_is_in_the_status_until_a_sync_tells_it(inside, tmp_path):
    (tmp_path / "manifest.sqlite").write_bytes(b"rubbish" * 2000)
    made = Router(inside, tmp_path, idle_flush_s=0.05)
    inside.write("a", b"bytes")

    (notice,) = until(lambda: made.status()["notices"], "the notice")
    told = made.ok("SYNC")
    left = made.status()["notices"]
    made.close()

    assert str(tmp_path / "manifest.sqlite") in notice
    assert [text.decode() for text in told] == [notice] and left == []


def test_a_store_that_vanished_between_two_shards_is_filled_by_the_next(inside, tmp_path):
    # Given files that a shard stored, and a cache that was removed while no shard ran
    inside.write("a", b"first" * 1000)
    made = Router(inside, tmp_path)
    made.ok("SYNC")
    made.close()
    shutil.rmtree(tmp_path / "cas")

    # when the next one syncs
    made = Router(inside, tmp_path)
    (said,) = made.ok("SYNC")
    made.close()

    # then the store has them again
    blobs = [path for path in (tmp_path / "cas" / "sha256").rglob("*") if path.is_file()]
    assert len(blobs) == 1 and "files put back into it: 1" in said.decode()
