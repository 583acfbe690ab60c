"""The Python door: what velo.h promises, seen from Python, over a real arena."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading

import pytest

from support.inside import MIB, arena
from velo.interpose import core
from velo.interpose.core import BACKED, COLD, DISK, Region, RequestFailed


@pytest.fixture
def inside(tmp_path):
    with arena(tmp_path) as made:
        yield made


def store_by_hand(inside, name: str) -> bytes:
    info = inside.named(name)
    fd = inside.region.open_bytes(info.node)
    digest = hashlib.sha256(os.read(fd, 1 << 20)).digest()
    os.close(fd)
    assert inside.region.stored(info, digest)
    return digest


def test_an_arena_remembers_what_it_was_made_with(inside):
    again = Region.attach(str(inside.arena))

    assert again.workspace == str(inside.workspace)
    assert (again.shards, again.max_memory, again.patterns) == (1, 256 * MIB, ("build/",))
    assert again.socket == str(inside.arena / "router.sock")


@pytest.mark.parametrize("pattern", ["build/", "/out/", "a/b/", "/tmp/somewhere/else/"])
def test_patterns_come_back_as_they_were_given(tmp_path, pattern):
    Region.create(
        str(tmp_path),
        workspace="/nowhere",
        socket="/nowhere/s",
        patterns=[pattern],
        shards=1,
        max_memory=MIB * 16,
    )

    assert Region.attach(str(tmp_path)).patterns == (pattern,)


def test_attach_where_no_arena_is_says_enoent(tmp_path):
    with pytest.raises(FileNotFoundError):
        Region.attach(str(tmp_path))


def test_attach_to_another_build_says_eproto(inside):
    with open(inside.arena / "meta", "r+b") as meta:
        meta.seek(16)  # the layout hash
        meta.write(b"\xff" * 8)

    with pytest.raises(OSError) as caught:
        Region.attach(str(inside.arena))

    assert caught.value.errno == errno.EPROTO


def test_creating_twice_is_refused_and_harmless(inside):
    inside.write("a", b"kept")

    with pytest.raises(FileExistsError):
        Region.create(
            str(inside.arena),
            workspace=str(inside.workspace),
            socket="/s",
            patterns=["build/"],
            shards=1,
            max_memory=MIB * 16,
        )

    assert inside.read("a") == b"kept"


def test_a_file_is_dirty_written_back_stored_and_evicted_to_disk(inside):
    info = inside.write("a", b"hello")
    region = inside.region
    assert (info.state, info.links, info.dirty_disk, info.dirty_store) == (BACKED, 1, True, True)
    assert not (inside.build / "a").exists()

    assert region.writeback(info.node)
    digest = store_by_hand(inside, "a")
    assert region.evict(info.node)

    after = region.info(info.node)
    assert (after.state, after.dirty_disk, after.dirty_store) == (DISK, False, False)
    assert after.digest == digest and after.charged_bytes == 0
    assert (inside.build / "a").read_bytes() == b"hello" == inside.read("a")


def test_a_stored_file_goes_cold_and_comes_back_whole(inside):
    info = inside.write("a", b"hello")
    store_by_hand(inside, "a")
    assert inside.region.evict(info.node)
    cold = inside.region.info(info.node)
    assert cold.state == COLD

    inside.region.load(info.node, lambda fd, *_: os.write(fd, b"hello"))

    after = inside.region.info(info.node)
    assert after.state == BACKED and after.mtime_ns == cold.mtime_ns
    assert inside.read("a") == b"hello"


def test_a_load_that_fails_leaves_the_file_cold_and_nothing_behind(inside):
    info = inside.write("a", b"hello")
    store_by_hand(inside, "a")
    assert inside.region.evict(info.node)

    def fail(fd: int, *_: object) -> None:
        os.write(fd, b"he")
        raise ValueError("the store is broken")

    with pytest.raises(ValueError, match="broken"):
        inside.region.load(info.node, fail)

    assert inside.region.info(info.node).state == COLD
    assert os.listdir(inside.arena / "i") == []


def test_what_was_loaded_for_a_file_is_not_given_to_the_next_in_its_slot(inside):
    # Goal: while the store reads the bytes of "a", it is removed; "b" has its slot, and is in the
    # store only, too.
    old = inside.write("a", b"old")
    store_by_hand(inside, "a")
    assert inside.region.evict(old.node)

    def change_places(fd: int, *_: object) -> None:
        os.write(fd, b"old")
        inside.run("rm build/a")
        inside.region.refresh_attributes(old.node)
        assert inside.write("b", b"new").node == old.node
        store_by_hand(inside, "b")
        assert inside.region.evict(old.node)

    with pytest.raises(OSError, match=os.strerror(errno.EALREADY)):
        inside.region.load(old.node, change_places)

    assert inside.named("b").state == COLD


def test_a_changed_file_is_not_stored_under_its_old_digest(inside):
    info = inside.write("a", b"old")
    inside.write("a", b"new")

    assert not inside.region.stored(info, bytes(32))

    assert inside.region.info(info.node).dirty_store


def test_a_file_is_not_stored_under_the_digest_of_the_one_that_had_its_slot(inside):
    old = inside.write("a", b"old")
    inside.run("rm build/a")
    inside.region.refresh_attributes(old.node)
    new = inside.write("b", b"new")
    assert (new.node, new.version) == (old.node, old.version)

    assert not inside.region.stored(old, bytes(32))

    assert inside.named("b").dirty_store


def test_a_dirty_file_is_not_evicted(inside):
    info = inside.write("a", b"hello")

    assert not inside.region.evict(info.node)

    assert inside.read("a") == b"hello"


def test_flush_writes_everything_back_and_says_how_much(inside):
    inside.run("mkdir build/d; echo one > build/d/one; echo two > build/two; ln -s two build/link")

    done = inside.region.flush()

    assert done.files == 2 and done.failed == 0 and done.first_error == 0
    assert (inside.build / "d/one").read_text() == "one\n"
    assert not any(info.dirty_disk for info in inside.region.scan())


def test_an_unlinked_file_is_freed_by_a_refresh_when_nobody_has_it_open(inside):
    info = inside.write("a", b"hello")
    inside.run("rm build/a")

    freed = inside.region.refresh_attributes(info.node)

    assert freed or inside.region.info(info.node) is None
    assert os.listdir(inside.arena / "i") == []


def test_info_of_something_else_is_none(inside):
    assert inside.region.info(1) is None
    assert inside.region.info(10_000) is None
    assert inside.region.info(2**32 - 1) is None


def test_path_of_a_free_node_says_enoent(inside):
    with pytest.raises(FileNotFoundError):
        inside.region.path_of(10_000)


def test_statistics_have_the_names_that_status_shows(inside):
    inside.write("a", b"hello")

    found = inside.region.statistics()

    assert found["files"] == {"backed": 1, "disk": 0, "cold": 0}
    assert found["dirty_files"] == 1 and found["max_memory_bytes"] == 256 * MIB
    assert set(found["escapes"]) == set(core.ESCAPE_NAMES)
    assert found["interposed"]["cp"]["count"] >= 1
    assert len(found["slice_used_bytes"]) == 1


def test_pulse_moves_when_a_program_changes_something(inside):
    before = inside.region.pulse(0)

    inside.write("a", bytes(100_000))

    after = inside.region.pulse(0)
    assert after.activity != before.activity
    assert after.used_bytes >= before.used_bytes + 100_000
    assert not after.paused


def test_pause_is_seen_by_everybody(inside):
    inside.region.pause(True)

    assert Region.attach(str(inside.arena)).pulse(0).paused


def test_a_pulse_of_a_shard_that_is_not_there_is_a_value_error(inside):
    with pytest.raises(ValueError):
        inside.region.pulse(1)


def test_reconcile_takes_in_what_changed_outside_and_reports_conflicts(inside):
    inside.write("a", b"put")
    inside.region.flush()
    inside.write("a", b"inside")
    (inside.build / "a").write_bytes(b"outside, longer")
    (inside.build / "new").write_bytes(b"new")
    conflicts = []

    done = inside.region.reconcile(conflicts.append)

    assert conflicts == [str(inside.build / "a")] and done.conflicts == 1
    assert inside.read("a") == b"inside"
    assert inside.read("new") == b"new"


def test_an_exception_in_the_conflict_callback_comes_through(inside):
    inside.write("a", b"put")
    inside.region.flush()
    inside.write("a", b"inside")
    (inside.build / "a").write_bytes(b"outside, longer")

    def fail(path: str) -> None:
        raise KeyError(path)

    with pytest.raises(KeyError):
        inside.region.reconcile(fail)


def test_scan_finds_the_files_of_one_shard_or_of_all(tmp_path):
    with arena(tmp_path, shards=4) as inside:
        inside.run("for i in $(seq 600); do : > build/f$i; done")

        parts = [inside.region.scan(home) for home in range(4)]

        assert sum(map(len, parts)) == len(inside.region.scan()) == 600
        assert all(info.home == home for home, part in enumerate(parts) for info in part)


def answer_once(path: str, frames: list[bytes]) -> threading.Thread:
    """A ROUTER that answers one request with `frames` after magic and id."""
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")

    def serve() -> None:
        client, magic, id, *_ = router.recv_multipart()
        router.send_multipart([client, magic, id, *frames])
        context.destroy(linger=1000)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_request_gives_the_payload_of_the_ok_reply(tmp_path):
    thread = answer_once(str(tmp_path / "s"), [b"ok", b"first", b"", b"\0third"])

    assert core.request(str(tmp_path / "s"), "STATUS", timeout_ms=5000) == [
        b"first",
        b"",
        b"\0third",
    ]

    thread.join()


def test_a_refused_request_has_code_and_message(tmp_path):
    thread = answer_once(str(tmp_path / "s"), [b"error", b"28", "memory full: 1 µB".encode()])

    with pytest.raises(RequestFailed, match="memory full: 1 µB") as caught:
        core.request(str(tmp_path / "s"), "SPACE", [b"payload"], timeout_ms=5000)

    assert caught.value.code == errno.ENOSPC
    thread.join()


def test_a_request_to_nobody_is_a_connection_error(tmp_path):
    with pytest.raises(ConnectionError):
        core.request(str(tmp_path / "s"), "HELLO", timeout_ms=1000)


def test_a_request_that_nobody_answers_is_a_timeout_error(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        with pytest.raises(TimeoutError):
            core.request(str(tmp_path / "s"), "HELLO", timeout_ms=50)
