"""Files of velo's own that somebody replaced: what is none is never waited for."""

from __future__ import annotations

import os
import threading

import pytest

from velo.router import sessions
from velo.router.arena import Arena
from velo.shards import depot, flush, ops, plain, roots
from velo.shards.cas import Store
from velo.shards.errors import StoreUnusable
from velo.shards.flush import Recorder
from velo.shards.manifest import Manifest
from velo.shards.replay import answers, json_files, spool

LIMIT_S = 20.0


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def at_once(work, *arguments, **options):
    """What `work` gives, or raises; the test fails where it waits for somebody who writes."""
    gave = []

    def run():
        try:
            gave.append((work(*arguments, **options), None))
        except Exception as error:
            gave.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert gave, "it waits"
    if gave[0][1] is not None:
        raise gave[0][1]
    return gave[0][0]


@pytest.mark.parametrize("work", [plain.opened, plain.read, plain.read_text, answers._lines])
def test_a_fifo_is_refused(fifo, work):
    with pytest.raises(OSError, match="not a file"):
        at_once(work, fifo)


def test_a_fifo_in_place_of_a_ledger_is_as_if_it_were_damaged(fifo):
    assert at_once(json_files.read, fifo) is None
    json_files.write(fifo, {"a": 1})
    assert json_files.read(fifo) == {"a": 1}


def test_a_fifo_is_no_readiness_and_nobody_inside_and_no_pid(tmp_path):
    os.mkfifo(tmp_path / spool.READY)
    assert not at_once(spool.is_ready, str(tmp_path), "")
    arena = Arena(str(tmp_path), "x")
    os.makedirs(arena.sessions)
    os.mkfifo(os.path.join(arena.sessions, str(os.getpid())))
    os.mkfifo(arena.pid_file)
    assert at_once(sessions.alive, arena) == [] and at_once(arena.read_pid) is None


def test_pins_that_are_a_fifo_keep_everything(tmp_path):
    store = tmp_path / "cas"
    depot.prepare(store)
    pins = store / roots.DIRECTORY / ("a" * 24)
    pins.parent.mkdir()
    os.mkfifo(pins)

    with pytest.raises(StoreUnusable, match="not a file"):
        at_once(roots.pinned, store)


def a_fifo(path):
    os.mkfifo(path)


def a_directory(path):
    path.mkdir()


def a_link_to_nothing(path):
    path.symlink_to("/nonexistent/manifest")


@pytest.mark.parametrize("stands", [a_fifo, a_directory, a_link_to_nothing])
def test_what_stands_where_a_manifest_should_be_is_set_aside(tmp_path, region, stands):
    path = tmp_path / "0.sqlite"
    stands(path)
    recorder = Recorder(path)

    at_once(recorder.record, region, [])

    (notice,) = recorder.notices
    assert "is not a file" in notice and os.path.lexists(path.with_suffix(".unreadable"))
    recorder.close()
    assert Manifest(path).damage is None


@pytest.mark.parametrize("name", ["sha256", "staging"])
def test_a_file_where_a_directory_of_the_store_should_be_gets_another_name(
    tmp_path, region, shard, name
):
    # Given a store that is in use, and a file in place of one of its directories
    node = region.write("a", b"a" * 9000)
    ops.sync(shard)
    store = shard.store.directory
    os.rename(store / name, tmp_path / "away")
    (store / name).write_text("in the way")

    # when something is stored
    ops.sync(shard)

    # then the store is filled anew, and the file is still there
    digest = region.info(node).digest
    assert shard.store.holds(digest) and Store(store).find(digest)
    assert (store / f"{name}.unreadable").read_text() == "in the way"


def test_a_blob_that_is_a_fifo_is_stored_again(region, shard):
    node = region.write("a", b"a" * 9000)
    flush.store_files(region, shard.store, [region.info(node)])
    digest = region.info(node).digest
    blob = shard.store.find(digest)
    blob.unlink()
    os.mkfifo(blob)

    assert not at_once(shard.store.holds, digest) and not depot.has_blob(blob.parents[2], digest)
    fd = region.open_bytes(node)
    assert at_once(shard.store.put, fd) == digest and shard.store.holds(digest)
    os.close(fd)
