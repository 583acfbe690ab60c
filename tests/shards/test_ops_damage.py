"""The verbs where something is wrong: damaged blobs, holes, names that cannot be said."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from support.arena import states
from velo.interpose.core import BACKED, COLD, DISK
from velo.shards import flush, ops
from velo.shards.collector import collect
from velo.shards.errors import BytesLost, FilesLost, ShardFull, TreeRefused

LIMIT_S = 10.0


def flipped(blob):
    whole = bytearray(blob.read_bytes())
    whole[len(whole) // 2] ^= 1
    blob.write_bytes(whole)


def cut(blob):
    blob.write_bytes(blob.read_bytes()[:-3])


def missing(blob):
    blob.unlink()


def damage_blob(shard, data: bytes, damage) -> None:
    blob = shard.store.find(hashlib.sha256(data).digest())
    blob.chmod(0o600)
    damage(blob)


def cold(region, shard, name: str, data: bytes) -> int:
    """A file that is in the store only."""
    node = region.write(name, data)
    flush.store_files(region, shard.store, [region.info(node)])
    region.evict(node)
    assert states(region)[name] == COLD
    return node


@pytest.mark.parametrize("damage", [flipped, cut, missing])
def test_files_whose_blobs_are_lost_are_named_and_keep_no_other_from_the_disk(
    region, shard, damage
):
    lost = [cold(region, shard, name, name.encode() * 500) for name in ("lost1", "lost2")]
    cold(region, shard, "kept", b"kept" * 500)
    region.write("warm", b"warm")
    for name in ("lost1", "lost2"):
        damage_blob(shard, name.encode() * 500, damage)

    with pytest.raises(FilesLost) as caught:
        ops.barrier(shard)

    assert all(region.path_of(node) in str(caught.value) for node in lost)
    assert Path(region.workspace, "kept").read_bytes() == b"kept" * 500
    assert Path(region.workspace, "warm").read_bytes() == b"warm"


@pytest.mark.parametrize("damage", [flipped, cut])
def test_a_damaged_blob_is_not_relied_on_when_it_would_be_the_only_copy(region, shard, damage):
    # Given a store with a blob that is rubbish, and a new file of the bytes that it should have
    data = b"0123456789" * 9500
    first = region.write("first", data)
    flush.store_files(region, shard.store, [region.info(first)])
    del region.files[first]
    damage_blob(shard, data, damage)
    node = region.write("again", data)
    region.refuse_writeback = errno.ENOSPC

    # when the file leaves memory for the store alone
    ops.space(shard, 50_000)

    # then it comes back as it was
    assert states(region) == {"again": COLD}
    ops.load(shard, node)
    assert region.read(node) == data


# ---- somebody removes what memory holds ----------------------------------------------------------


@pytest.mark.parametrize("verb", [ops.barrier, ops.sync, ops.unload])
def test_files_removed_from_memory_are_saved_where_they_are_or_named_once(region, shard, verb):
    # Given files that are on disk, in the store, and in memory only
    nodes = {name: region.write(name, name.encode() * 9) for name in ("disk", "store", "lost")}
    region.write("kept", b"kept")
    region.writeback(nodes["disk"])
    flush.store_files(region, shard.store, [region.info(nodes["store"])])
    for node in nodes.values():
        region.remove_from_memory(node)
    path = region.path_of(nodes["lost"])

    # when everything is to be put
    with pytest.raises(BytesLost) as caught:
        verb(shard)

    # then the one that was nowhere else is named, and all others are on disk
    assert path in str(caught.value) and "of 1 that" in str(caught.value)
    assert states(region).keys() == {"disk", "store", "kept"}
    tree = {path.name: path.read_bytes() for path in Path(region.workspace).iterdir()}
    assert tree == {"disk": b"disk" * 9, "store": b"store" * 9, "kept": b"kept"}
    verb(shard)


def test_what_the_background_found_lost_is_told_to_who_asks_next(region, shard):
    node = region.write("lost", b"lost")
    path = region.path_of(node)
    region.remove_from_memory(node)

    ops.idle_flush(shard, stop=flush.never)

    with pytest.raises(BytesLost, match=path):
        ops.sync(shard)
    ops.sync(shard)


def test_a_client_that_misses_a_file_gets_it_from_where_it_is(region, shard):
    node = region.write("a", b"a")
    flush.store_files(region, shard.store, [region.info(node)])
    region.remove_from_memory(node)

    ops.writeback(shard, node)

    assert region.read(node) == b"a"


def test_eviction_goes_on_past_files_that_were_removed_from_memory(region, shard):
    gone = region.write("gone", b"x" * 50_000)
    region.write("there", b"y" * 45_000)
    region.remove_from_memory(gone)

    ops.space(shard, 50_000)

    assert states(region) in ({"there": DISK}, {"there": BACKED})
    assert len(shard.lost) == 1


def test_eviction_ends_where_the_store_has_what_was_removed_from_memory(region, shard):
    # Given a full memory, and a file of it that was removed there and is in the store
    gone = region.write("gone", b"x" * 50_000)
    region.write("there", b"y" * 45_000)
    flush.store_files(region, shard.store, [region.info(gone)])
    region.remove_from_memory(gone)

    # when room is made
    eviction = threading.Thread(target=ops.make_room, args=(shard, 50_000), daemon=True)
    eviction.start()
    eviction.join(LIMIT_S)

    # then it is not waited for by the eviction itself, and the next flush puts it
    assert not eviction.is_alive() and not shard.lost
    ops.barrier(shard)
    assert Path(region.workspace, "gone").read_bytes() == b"x" * 50_000


def removed_by_the_collector(shard):
    """All of the store that may go, although it was used just now."""
    return collect(shard.store.directory, max_bytes=0, grace_s=-1e9).removed


def test_what_leaves_memory_for_the_store_alone_is_pinned_until_it_is_on_disk(region, shard):
    node = region.write("a", os.urandom(95_000))
    data = region.read(node)
    region.refuse_writeback = errno.ENOSPC
    ops.space(shard, 50_000)
    assert states(region) == {"a": COLD}

    assert removed_by_the_collector(shard) == 0

    region.refuse_writeback = 0
    ops.sync(shard)
    assert Path(region.path_of(node)).read_bytes() == data
    assert removed_by_the_collector(shard) == 1


def test_a_file_whose_blob_the_collector_removed_is_stored_again_before_it_leaves(region, shard):
    # Given a file that the store had, and that the tree does not take
    node = region.write("a", os.urandom(95_000))
    data = region.read(node)
    flush.store_files(region, shard.store, [region.info(node)])
    assert removed_by_the_collector(shard) == 1
    region.refuse_writeback = errno.ENOSPC

    # when it leaves memory for the store alone
    ops.space(shard, 50_000)

    # then it comes back
    assert states(region) == {"a": COLD}
    ops.load(shard, node)
    assert region.read(node) == data


def test_a_file_stays_in_memory_when_its_blob_cannot_be_pinned(region, shard, monkeypatch):
    node = region.write("a", os.urandom(95_000))
    region.refuse_writeback = errno.ENOSPC

    def refuse(digests):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(shard.pins, "replace", refuse)

    with pytest.raises(ShardFull, match="Read-only"):
        ops.space(shard, 50_000)

    assert states(region) == {"a": BACKED} and len(region.read(node)) == 95_000


def test_a_file_that_is_mostly_hole_is_on_disk_and_not_hashed(region, shard):
    node = region.write("image", b"data")
    small = region.write("small", b"small")
    os.truncate(region._memory(node), 1 << 41)
    region.files[node].disk_version = region.files[node].version  # it was put; not by this fake

    began = time.monotonic()
    ops.sync(shard)

    assert time.monotonic() - began < 20
    assert region.info(node).dirty_store and not region.info(small).dirty_store
    assert ops.status(shard)["mostly_hole_files"] == 1


def test_a_path_that_cannot_be_said_stops_nothing(region, shard, monkeypatch):
    node = region.write("deep", b"deep")
    short = region.write("short", b"short")
    say = region.path_of

    def path_of(asked):
        if asked == node:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return say(asked)

    def open_bytes(asked):
        if asked == node:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return opened(asked)

    opened = region.open_bytes
    monkeypatch.setattr(region, "path_of", path_of)
    monkeypatch.setattr(region, "open_bytes", open_bytes)

    ops.sync(shard)
    ops.unload(shard)

    assert shard.recorder._manifest().paths() == {os.fsencode(say(short))}
    region.rewrite(node, b"more")
    region.refuse_writeback = errno.ENOSPC
    with pytest.raises(TreeRefused, match="File name too long"):
        ops.barrier(shard)
