"""The store stays below its cap, and nothing that somebody needs is removed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from velo.shards import collector, depot, roots
from velo.shards.cas import Store
from velo.shards.collector import collect
from velo.shards.errors import NotAStore, StoreUnusable
from velo.shards.manifest import Manifest
from velo.shards.roots import Pins

BLOB_BYTES = 8192  # of noise: two blocks of any disk
OLD = 1_000_000_000.0


class Filled:
    """A store in `directory`, and what a test says of its blobs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store(directory)

    def put(self, seed: int, *, used_at: float = OLD) -> bytes:
        """Store noise made of `seed`; its digest."""
        source = self.directory.parent / "source"
        source.write_bytes(noise(seed))
        with open(source, "rb") as file:
            digest = self.store.put(file.fileno())
        path = self.store.find(digest)
        assert path is not None
        os.utime(path, (used_at, used_at))
        return digest

    def has(self, *digests: bytes) -> list[bool]:
        """Which of them are there."""
        return [self.store.find(digest) is not None for digest in digests]


def noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOB_BYTES)


@pytest.fixture
def filled(tmp_path):
    made = Filled(tmp_path / "cas")
    yield made
    made.store.close()


def test_a_store_below_its_cap_is_left_alone(filled):
    digest = filled.put(1)

    found = collect(filled.directory, max_bytes=1 << 20)

    assert (found.blobs, found.removed) == (1, 0) and filled.has(digest) == [True]


def test_the_oldest_use_leaves_first_and_no_more_leave_than_must(filled):
    oldest, newest, middle = (filled.put(seed, used_at=OLD + seed) for seed in (1, 3, 2))

    found = collect(filled.directory, max_bytes=2 * BLOB_BYTES)

    assert filled.has(oldest, middle, newest) == [False, True, True]
    assert (found.removed, found.left_bytes) == (1, 2 * BLOB_BYTES)


def test_a_dry_run_says_the_same_and_removes_nothing(filled):
    digests = [filled.put(seed, used_at=OLD + seed) for seed in range(4)]

    said = collect(filled.directory, max_bytes=BLOB_BYTES, dry_run=True)

    assert filled.has(*digests) == [True] * 4
    assert said == collect(filled.directory, max_bytes=BLOB_BYTES)


def test_what_was_used_just_now_stays_and_putting_or_reading_is_a_use(filled, tmp_path):
    put, read, unused = (filled.put(seed) for seed in (1, 2, 3))
    filled.store.put(os.open(tmp_path / "source", os.O_RDONLY))  # 3 again
    with open(os.devnull, "wb") as nowhere:
        filled.store.read_into(read, nowhere.fileno())

    found = collect(filled.directory, max_bytes=0)

    assert filled.has(put, read, unused) == [False, True, True]
    assert found.recent_bytes == 2 * BLOB_BYTES == found.left_bytes


def test_a_pin_keeps_its_blob_whatever_the_cap_is(filled):
    pinned, other = filled.put(1), filled.put(2)
    Pins(filled.directory, "w-0").add([pinned])

    found = collect(filled.directory, max_bytes=0)

    assert filled.has(pinned, other) == [True, False] and found.pinned_bytes == BLOB_BYTES


def test_a_pin_that_is_dropped_keeps_nothing(filled):
    digest = filled.put(1)
    pins = Pins(filled.directory, "w-0")
    pins.add([digest])
    pins.replace([])

    collect(filled.directory, max_bytes=0)

    assert filled.has(digest) == [False] and digest not in pins


def test_one_more_source_of_pins_is_asked(filled, monkeypatch):
    pinned, other = filled.put(1), filled.put(2)
    monkeypatch.setattr(roots, "SOURCES", [lambda store: [pinned]])

    collect(filled.directory, max_bytes=0)

    assert filled.has(pinned, other) == [True, False]


def test_pins_that_cannot_be_read_keep_everything(filled):
    digest = filled.put(1)
    Pins(filled.directory, "w-0").add([digest])
    (filled.directory / "roots/w-0").write_text("rubbish\n")

    with pytest.raises(StoreUnusable, match="no digests"):
        collect(filled.directory, max_bytes=0)

    assert filled.has(digest) == [True]


def record(path: Path, digest: bytes) -> None:
    manifest = Manifest(path)
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO entries VALUES (?, 'file', 0, 0, 0, 0, 0, ?, NULL, 0, 0, 0, 0)",
            (b"/a", digest),
        )
    database.close()
    manifest.close()


def test_what_a_manifest_knows_leaves_when_all_that_nobody_knows_has_left(filled, tmp_path):
    known, unknown = filled.put(1, used_at=OLD), filled.put(2, used_at=OLD + 1)
    record(tmp_path / "m #1?.sqlite", known)
    roots.register_manifest(filled.directory, tmp_path / "m #1?.sqlite")

    collect(filled.directory, max_bytes=BLOB_BYTES)
    first = filled.has(known, unknown)
    collect(filled.directory, max_bytes=0)

    assert first == [True, False] and filled.has(known) == [False]


@pytest.mark.parametrize("damage", ["gone", "rubbish", "directory"])
def test_a_manifest_that_is_damaged_keeps_nobody(filled, tmp_path, damage):
    digest = filled.put(1)
    path = tmp_path / "m.sqlite"
    if damage == "rubbish":
        path.write_bytes(b"rubbish" * 1000)
    if damage == "directory":
        path.mkdir()
    roots.register_manifest(filled.directory, path)

    assert collect(filled.directory, max_bytes=0).removed == 1
    assert filled.has(digest) == [False]


def test_nothing_that_velo_did_not_make_is_removed(filled, tmp_path):
    filled.put(1)
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    (outside / "ab" / ("c" * 62)).write_text("his")
    theirs = [
        filled.directory / "notes.txt",
        filled.directory / "sha256/README",
        filled.directory / "sha256/zz/notes",
        filled.directory / "sha256/ab/short",
        filled.directory / "sha256/ab" / ("d" * 62 + ".txt"),
        filled.directory / "corrupt/notes",
    ]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        os.utime(path, (OLD, OLD))
    (filled.directory / "sha256/ab" / ("e" * 62)).symlink_to(theirs[0])
    (filled.directory / "sha256/ee").symlink_to(outside / "ab")

    collect(filled.directory, max_bytes=0, grace_s=-1e9)

    assert all(path.read_text() == "mine" for path in theirs)
    assert (filled.directory / "sha256/ab" / ("e" * 62)).is_symlink()
    assert (outside / "ab" / ("c" * 62)).read_text() == "his"


def test_a_directory_without_the_marker_is_refused(tmp_path):
    (tmp_path / "sha256/ab").mkdir(parents=True)
    (tmp_path / "sha256/ab" / ("c" * 62)).write_text("his")

    with pytest.raises(NotAStore):
        collect(tmp_path, max_bytes=0)

    assert (tmp_path / "sha256/ab" / ("c" * 62)).exists()


def test_blobs_that_were_set_aside_as_corrupt_are_removed_too(filled):
    digest = filled.put(1)
    path = filled.store.find(digest)
    path.chmod(0o600)
    path.write_bytes(b"flipped" * 1000)
    assert not filled.store.holds(digest)
    (aside,) = (filled.directory / "corrupt").iterdir()
    os.utime(aside, (OLD, OLD))

    assert collect(filled.directory, max_bytes=0).removed == 1
    assert not aside.exists()


def test_a_blob_that_is_used_after_it_was_chosen_stays(filled, monkeypatch):
    digest = filled.put(1)
    path = filled.store.find(digest)
    locked = depot.exclusively

    def used_just_before(directory):
        os.utime(path)
        return locked(directory)

    monkeypatch.setattr(depot, "exclusively", used_just_before)

    assert collect(filled.directory, max_bytes=0).removed == 0
    assert filled.has(digest) == [True]


def test_while_a_batch_is_open_nothing_is_removed(filled, tmp_path, monkeypatch):
    # Goal: what a batch found to be there is there when it commits, without any grace.
    monkeypatch.setattr(depot, "LOCK_WAIT_S", 0.05)
    digest = filled.put(1)

    with open(tmp_path / "source", "rb") as file, filled.store.batch() as batch:
        assert batch.add(file.fileno()) == digest
        with pytest.raises(StoreUnusable, match="lock"):
            collect(filled.directory, max_bytes=0, grace_s=-1e9)
        batch.commit()
        assert filled.has(digest) == [True]

    collect(filled.directory, max_bytes=0, grace_s=-1e9)
    assert filled.has(digest) == [False]


def test_a_server_looks_now_and_then_and_goes_below_the_cap(filled):
    digests = [filled.put(seed, used_at=OLD + seed) for seed in range(20)]

    first = collector.collect_at_times(filled.directory, max_bytes=10 * BLOB_BYTES)
    again = collector.collect_at_times(filled.directory, max_bytes=0)

    assert first is not None and first.left_bytes == 9 * BLOB_BYTES and again is None
    assert filled.has(*digests) == [False] * 11 + [True] * 9


def test_a_look_that_a_clock_put_into_the_future_keeps_no_server_from_looking(filled):
    digest = filled.put(1, used_at=OLD)
    (filled.directory / depot.COLLECTED).touch()
    os.utime(filled.directory / depot.COLLECTED, times=(time.time() + 10**7,) * 2)

    collected = collector.collect_at_times(filled.directory, max_bytes=0)

    assert collected is not None and filled.has(digest) == [False]


def test_a_directory_that_is_no_store_is_not_touched_by_the_end_of_a_server(tmp_path):
    (tmp_path / "his").mkdir()
    (tmp_path / "his/notes").write_text("his")

    assert collector.collect_at_times(tmp_path / "his", max_bytes=0) is None
    assert os.listdir(tmp_path / "his") == ["notes"]


# ---- together ------------------------------------------------------------------------------------

WRITER = """
import os, random, sys, tempfile
from pathlib import Path
from velo.shards.cas import Store
from velo.shards.roots import Pins
directory, index, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, pins = Store(directory), Pins(directory, f"w-{index}")
noise = lambda seed: random.Random(seed).randbytes(8192)
chosen = random.Random(index)
for turn in range(rounds):
    seeds = [chosen.randrange(24) for _ in range(6)]
    with store.batch() as batch:
        digests = []
        for seed in seeds:
            with tempfile.TemporaryFile() as file:
                file.write(noise(seed)); file.flush()
                digests.append(batch.add(file.fileno()))
        batch.commit()
        missing = [seed for seed, digest in zip(seeds, digests) if store.find(digest) is None]
        assert not missing, f"turn {turn}: gone while it was relied on: {missing}"
        pins.replace(digests)
    missing = [seed for seed, digest in zip(seeds, digests) if not store.holds(digest)]
    assert not missing, f"turn {turn}: pinned, and gone: {missing}"
store.close()
"""

COLLECTOR = """
import sys
from pathlib import Path
from velo.shards.collector import collect
print("ready", flush=True)
while True:
    collect(Path(sys.argv[1]), max_bytes=0, grace_s=-1e9)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_four_writers_and_two_collectors_on_one_store_lose_nothing(filled):
    # Goal: no grace, a cap of nothing, blobs that all writers share; what is found in a batch, or
    # pinned, is there. A writer asserts it after each of its batches.
    collectors = [start(COLLECTOR, filled.directory) for _ in range(2)]
    writers = [start(WRITER, filled.directory, index, 40) for index in range(4)]
    try:
        said = [writer.communicate(timeout=300)[1] for writer in writers]
        assert [collector.poll() for collector in collectors] == [None, None]
    finally:
        for process in collectors:
            process.kill()
            process.communicate()

    assert said == [""] * 4 and [writer.returncode for writer in writers] == [0] * 4


def test_a_collector_that_is_killed_leaves_a_store_that_is_whole(filled):
    digests = [filled.put(seed) for seed in range(60)]
    pinned = digests[::7]
    Pins(filled.directory, "w-0").add(pinned)

    for turn in range(5):
        process = start(COLLECTOR, filled.directory)
        assert process.stdout.readline() == "ready\n"
        time.sleep(turn * 0.004)  # not a wait for anything: another moment of its work each time
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for digest in digests:
            assert filled.store.find(digest) is None or filled.store.holds(digest)

    assert all(filled.store.holds(digest) for digest in pinned)
    assert filled.put(999) == hashlib.sha256(noise(999)).digest()
