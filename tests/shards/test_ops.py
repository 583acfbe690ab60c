"""The verbs, over a Region made of a dict: what leaves memory, in which order, what never."""

from __future__ import annotations

import errno
import hashlib
import threading
from pathlib import Path

import pytest

from support.arena import states
from velo.interpose.core import BACKED, COLD, DISK
from velo.shards import flush, ops
from velo.shards.errors import (
    FlushLockBusy,
    LoadFailed,
    ShardFull,
    StoreFull,
    TreeRefused,
)
from velo.shards.manifest import Manifest


def refuse_store(shard, monkeypatch) -> None:
    def full(batch):
        raise StoreFull(directory="/cas", wanted_bytes=1, free_bytes=0)

    monkeypatch.setattr("velo.shards.cas.Batch.commit", full)


# ---- SPACE ---------------------------------------------------------------------------------------


def test_nothing_leaves_while_there_is_room(region, shard):
    region.write("a", bytes(80_000))

    ops.space(shard, 10_000)

    assert states(region) == {"a": BACKED} and region.writebacks == []


def test_clean_files_leave_first_and_cost_no_write(region, shard):
    region.write("dirty", bytes(45_000))
    clean = region.write("clean", bytes(45_000))
    region.writeback(clean)
    region.writebacks.clear()

    ops.space(shard, 30_000)

    assert states(region) == {"dirty": BACKED, "clean": DISK} and region.writebacks == []


def test_dirty_files_are_put_least_recently_used_first_until_it_fits(region, shard):
    for name in "abc":
        region.write(name, name.encode() * 30_000)
    region.files[1].tick = 99

    ops.space(shard, 20_000)

    assert states(region) == {"a": BACKED, "b": DISK, "c": BACKED}
    assert region.read(2) == b"b" * 30_000


def test_what_leaves_early_takes_its_past_with_it(region, shard):
    # Goal: the tree stays a prefix of history. Method: evict a new file; older ones of all shards
    # must be on disk before it.
    region.write("older elsewhere", b"1", home=1, mtime_ns=10)
    region.write("old", b"2", mtime_ns=20)
    region.write("newer", bytes(95_000), mtime_ns=30)
    region.write("newest", b"4", mtime_ns=40)
    region.files[3].tick = 0

    ops.space(shard, 1_000)

    assert region.writebacks == ["older elsewhere", "old", "newer"]
    assert states(region)["newer"] == DISK and states(region)["newest"] == BACKED


def test_only_own_files_leave(region, shard):
    region.write("mine", bytes(45_000), home=0)
    other = region.write("other", bytes(45_000), home=1)
    region.writeback(other)

    ops.space(shard, 50_000)

    assert states(region) == {"mine": DISK, "other": BACKED}


def test_open_files_stay_and_what_does_not_fit_is_refused_with_numbers(region, shard):
    node = region.write("open", bytes(95_000))
    region.files[node].writers = 1

    with pytest.raises(ShardFull, match="wanted 50000 bytes, 95000 of 100000 used"):
        ops.space(shard, 50_000)

    assert states(region) == {"open": BACKED} and shard.counters.space_refused == 1


def test_a_file_that_is_being_written_is_not_copied_to_disk_in_vain(region, shard):
    node = region.write("open", bytes(95_000))
    region.files[node].writers = 1

    with open(region.root / "memory" / str(node), "ab"), pytest.raises(ShardFull):
        ops.space(shard, 50_000)

    assert region.writebacks == []


def test_it_is_enough_when_it_fits_at_all(region, shard):
    node = region.write("open", bytes(95_000))
    region.files[node].writers = 1

    ops.space(shard, 5_000)


def test_a_file_that_is_closed_soon_is_waited_for(region, shard, monkeypatch):
    monkeypatch.setattr(ops, "SPACE_PATIENCE_S", 10.0)
    node = region.write("open", bytes(95_000))
    region.files[node].writers = 1
    closing = threading.Timer(0.1, lambda: setattr(region.files[node], "writers", 0))
    closing.start()

    ops.space(shard, 50_000)

    assert states(region) == {"open": DISK}
    closing.join()


def test_unlinked_and_closed_files_are_freed_instead(region, shard):
    node = region.write("gone", bytes(95_000))
    region.files[node].links = 0

    ops.space(shard, 50_000)

    assert region.files == {} and shard.counters.freed_files == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_when_the_tree_refuses_files_go_cold_and_come_back(region, shard, code):
    node = region.write("a", b"a" * 95_000)
    region.refuse_writeback = code

    ops.space(shard, 50_000)
    assert states(region) == {"a": COLD}

    ops.load(shard, node)
    assert region.read(node) == b"a" * 95_000
    assert shard.evicting.as_json()["code"] == TreeRefused.code


def test_when_tree_and_store_refuse_nothing_is_dropped_and_the_answer_says_why(
    region, shard, monkeypatch
):
    node = region.write("a", b"a" * 95_000)
    region.refuse_writeback = errno.ENOSPC
    refuse_store(shard, monkeypatch)

    with pytest.raises(ShardFull, match="store full"):
        ops.space(shard, 50_000)

    assert region.read(node) == b"a" * 95_000 and states(region) == {"a": BACKED}


def test_eviction_by_itself_writes_nothing_when_it_may_not(region, shard):
    region.write("dirty", bytes(50_000))
    region.writeback(region.write("clean", bytes(45_000)))
    region.writebacks.clear()

    ops.make_room(shard, may_write=False)

    assert states(region) == {"dirty": BACKED, "clean": DISK} and region.writebacks == []


# ---- LOAD, WRITEBACK ---------------------------------------------------------------------------


def test_load_is_ok_when_there_is_nothing_to_do(region, shard):
    node = region.write("a", b"a")

    ops.load(shard, node)
    ops.load(shard, 999)

    assert region.read(node) == b"a"


def test_load_makes_room_for_itself(region, shard):
    cold = region.write("cold", bytes(60_000))
    ops.sync(shard)
    region.files[cold].disk_version = 0
    region.evict(cold)
    region.write("warm", bytes(80_000))

    ops.load(shard, cold)

    assert states(region) == {"cold": BACKED, "warm": DISK}


def test_load_brings_the_file_that_has_the_slot_when_there_is_room(region, shard, monkeypatch):
    # Goal: while room is made for a file, it is removed, and a new one has its slot and leaves
    # memory. Method: the two change places at that moment.
    nodes = [region.write(name, name.encode() * 100) for name in "ab"]
    ops.sync(shard)
    for node in nodes:
        region.files[node].disk_version = 0
        region.evict(node)
    first, second = (region.files[node] for node in nodes)

    def space(shard, wanted_bytes):
        first.digest, second.digest = second.digest, first.digest

    monkeypatch.setattr(ops, "space", space)
    ops.load(shard, nodes[0])

    assert region.read(nodes[0]) == b"b" * 100


def test_load_of_a_damaged_blob_is_an_io_error_that_names_it(region, shard):
    node = region.write("a", b"a" * 1000)
    ops.sync(shard)
    region.files[node].disk_version = 0
    region.evict(node)
    blob = shard.store.find(region.files[node].digest)
    blob.chmod(0o600)
    blob.write_bytes(b"rubbish")

    with pytest.raises(LoadFailed, match="blob corrupt") as caught:
        ops.load(shard, node)

    assert caught.value.code == errno.EIO and region.files[node].state == COLD


def test_writeback_puts_one_file_on_disk_and_is_harmless_twice(region, shard):
    node = region.write("a", b"a")
    region.write("b", b"b")

    ops.writeback(shard, node)
    ops.writeback(shard, node)

    assert not region.info(node).dirty_disk and region.info(2).dirty_disk


def test_writeback_on_a_full_disk_says_so(region, shard):
    node = region.write("a", b"a")
    region.refuse_writeback = errno.ENOSPC

    with pytest.raises(TreeRefused, match="No space left"):
        ops.writeback(shard, node)


# ---- BARRIER, SYNC, UNLOAD, idle -----------------------------------------------------------------


def test_barrier_puts_all_shards_files_and_stores_nothing(region, shard):
    region.write("mine", b"m")
    region.write("theirs", b"t", home=1)

    ops.barrier(shard)

    assert region.writebacks == ["mine", "theirs"]
    assert all(info.dirty_store for info in region.scan())


def test_barrier_waits_for_the_flush_lock_and_then_gives_up(region, shard, monkeypatch):
    region.write("a", b"a")
    region.flush_lock_taken = True
    monkeypatch.setattr(ops, "BARRIER_TIMEOUT_MS", 30)

    with pytest.raises(FlushLockBusy):
        ops.barrier(shard)


def test_barrier_brings_back_what_the_tree_once_refused(region, shard):
    node = region.write("a", b"a" * 95_000)
    region.refuse_writeback = errno.ENOSPC
    ops.space(shard, 50_000)
    assert states(region) == {"a": COLD}
    region.refuse_writeback = 0

    ops.barrier(shard)

    assert (Path(region.workspace) / "a").read_bytes() == b"a" * 95_000
    assert not region.info(node).dirty_disk


def test_sync_stores_own_files_under_their_sha256_and_records_them(region, shard, tmp_path):
    node = region.write("mine", b"mine")
    region.write("theirs", b"theirs", home=1)

    ops.sync(shard)

    info = region.info(node)
    assert info.digest == hashlib.sha256(b"mine").digest()
    assert not info.dirty_store and region.info(2).dirty_store
    entry = Manifest(tmp_path / "0.sqlite").entry(str(Path(region.workspace) / "mine").encode())
    assert entry.digest == info.digest and entry.disk_inode


def test_sync_forgets_files_that_are_gone(region, shard, tmp_path):
    node = region.write("a", b"a")
    ops.sync(shard)
    del region.files[node]

    ops.sync(shard)

    assert Manifest(tmp_path / "0.sqlite").paths() == set()


def test_sync_on_a_full_store_keeps_everything_puts_the_tree_and_says_so(
    region, shard, monkeypatch
):
    node = region.write("a", b"a")
    refuse_store(shard, monkeypatch)

    with pytest.raises(StoreFull):
        ops.sync(shard)

    assert region.info(node).dirty_store and not region.info(node).dirty_disk
    assert ops.status(shard)["trouble"]["code"] == StoreFull.code


def test_trouble_is_over_when_the_same_work_succeeds(region, shard):
    region.write("a", b"a")
    region.refuse_writeback = errno.ENOSPC
    with pytest.raises(TreeRefused):
        ops.sync(shard)
    region.refuse_writeback = 0

    ops.sync(shard)

    assert ops.status(shard)["trouble"] is None


def test_a_file_that_changes_while_it_is_stored_stays_dirty_and_is_tried_again(region, shard):
    node = region.write("a", b"old")
    changes = iter([b"new"])

    def change(changed: int) -> None:
        for data in changes:
            region.rewrite(changed, data)

    region.while_stored = change

    ops.sync(shard)

    assert region.info(node).digest == hashlib.sha256(b"new").digest()
    assert not region.info(node).dirty_store
    assert shard.counters.changed_while_stored == 1


def test_a_file_that_never_stops_changing_does_not_keep_sync_for_ever(region, shard):
    node = region.write("a", b"x")
    region.while_stored = lambda changed: region.rewrite(changed, b"x")

    ops.sync(shard)

    assert region.info(node).dirty_store


def test_unload_leaves_nothing_of_ours_in_memory(region, shard):
    region.write("mine", b"m")
    region.write("theirs", b"t", home=1)

    ops.unload(shard)

    assert states(region) == {"mine": DISK, "theirs": BACKED}


def test_unload_leaves_a_file_that_nothing_pins_in_memory(region, shard, monkeypatch):
    # Goal: a new file that has the slot of one that was to leave, stored, not on disk yet, stays:
    # a collector could take its blob. Method: it comes right after what is there was pinned.
    node = region.write("a", b"a" * 100)

    def pin(*_):
        region.files[node].disk_version = 0

    monkeypatch.setattr(flush, "pin", pin)
    ops.unload(shard)

    assert states(region) == {"a": BACKED}


def test_idle_flush_does_nothing_when_nothing_is_dirty(region, shard):
    ops.idle_flush(shard, stop=flush.never)

    assert shard.counters.flushes == 0


def test_idle_flush_stores_even_while_another_shard_puts(region, shard):
    node = region.write("a", b"a")
    region.flush_lock_taken = True

    with pytest.raises(FlushLockBusy):
        ops.idle_flush(shard, stop=flush.never)

    assert not region.info(node).dirty_store


def test_idle_flush_gives_way_between_files(region, shard):
    for number in range(10):
        region.write(f"f{number}", b"%d" % number)
    calls = iter(range(100))

    ops.idle_flush(shard, stop=lambda: next(calls) > 4)

    stored = [info for info in region.scan() if not info.dirty_store]
    assert 0 < len(stored) < 10


def test_a_disk_that_fills_up_half_way_keeps_the_first_half(region, shard, monkeypatch):
    from velo.shards.cas import Batch

    for number in range(4):
        region.write(f"f{number}", b"%d" % number)
    real, calls = Batch.add, iter(range(100))

    def add(batch, fd):
        if next(calls) == 2:
            raise StoreFull(directory="/cas", wanted_bytes=1, free_bytes=0)
        return real(batch, fd)

    monkeypatch.setattr(Batch, "add", add)

    with pytest.raises(StoreFull):
        flush.store_files(region, shard.store, shard.mine())

    assert [info.dirty_store for info in region.scan()] == [False, False, True, True]
