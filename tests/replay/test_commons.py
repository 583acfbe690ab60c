"""Workspaces of a store share blobs: none goes that an entry names, what is left over goes."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from support.bench import LONG, Bench
from velo.shards import collector, depot
from velo.shards.replay import commons, ledger
from velo.shards.replay.commons import sweep

OLD = 1_000_000_000.0
OTHER = b"o" * 6000


@pytest.fixture
def benches(tmp_path):
    """Two workspaces with one store."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = Bench(tmp_path / "one"), Bench(tmp_path / "two")
    depot.prepare(first.store)
    (Path(first.store) / "sha256").mkdir()
    second.store = first.store
    return first, second


def build(bench: Bench, *contents: bytes) -> None:
    sealer = bench.sealer()
    for content in contents:
        bench.unit(content=content)
    sealer.finish(["ninja"])


def blobs(bench: Bench) -> set[bytes]:
    return {Path(each.path).read_bytes() for each in commons.blobs_in(replay_of(bench))}


def replay_of(bench: Bench) -> Path:
    return bench.ledger().directory


def age(bench: Bench) -> None:
    for path in replay_of(bench).rglob("*"):
        os.utime(path, (OLD, OLD))


def test_what_nobody_names_goes_when_it_is_not_new(benches):
    first, _ = benches
    build(first, LONG, OTHER)
    Path(first.ledger().image).unlink()
    Path(first.memory, "r/index").unlink()

    assert sweep(replay_of(first)).files == 0
    age(first)
    found = sweep(replay_of(first))

    assert found.files == 2 and found.bytes >= len(LONG) + len(OTHER) and blobs(first) == set()


def test_what_a_living_index_names_stays_although_no_image_does(benches):
    first, second = benches
    sealer = first.sealer()
    first.unit(content=LONG)
    sealer._seal_all()
    assert not Path(first.ledger().image).exists()
    build(second, LONG)
    age(first)

    second.upkeep().clear()
    sweep(replay_of(first))

    assert blobs(first) == {LONG}


def test_a_workspace_that_is_gone_loses_what_it_had_and_no_other_does(benches):
    first, second = benches
    build(first, LONG, OTHER)
    build(second, LONG)
    shutil.rmtree(first.root)
    assert sweep(replay_of(first)).workspaces == 0  # somebody was here minutes ago
    age(first)

    dry = sweep(replay_of(first), dry_run=True)
    found = sweep(replay_of(first))

    assert dry == found and found.workspaces == 1
    assert blobs(second) == {LONG}
    assert not Path(first.ledger().image).exists() and second.upkeep().status().entries == 1


def test_a_workspace_that_cannot_be_looked_at_is_not_gone(benches):
    first, _ = benches
    build(first, LONG)
    age(first)
    shutil.rmtree(first.root)
    first.root.symlink_to(first.root)  # what root may not look at either

    assert sweep(replay_of(first)).workspaces == 0


def test_what_killed_writers_left_goes_and_strangers_stay(benches):
    first, _ = benches
    build(first, LONG)
    (blob,) = (Path(each.path) for each in commons.blobs_in(replay_of(first)))
    name = Path(first.ledger().image).name.partition(".")[0]
    left = [
        blob.with_name(f"{blob.name}.{'0f' * 8}"),
        replay_of(first) / f"{name}.index.4711",
        replay_of(first) / f"{name}.report.json.12",
    ]
    strange = [blob.with_name("README"), replay_of(first) / "notes.txt"]
    for path in left + strange:
        path.write_bytes(b"half")
    age(first)

    sweep(replay_of(first))

    assert [path.exists() for path in left + strange] == [False] * 3 + [True] * 2
    assert first.upkeep().verify().unsound == 0


def test_above_its_size_a_workspace_loses_what_was_used_longest_ago(benches, monkeypatch):
    first, second = benches
    large = [bytes([number]) * 100_000 for number in range(5)]
    build(second, large[1])
    build(first, *large[:4])
    for entry, used_at in zip(first.sealer()._there().live(), (1, 2, 3, 4), strict=True):
        sealer = first.sealer()
        sealer._there().use(entry, used_at)
    before = first.upkeep().status()

    sealer = first.sealer(max_bytes=before.bytes)
    first.unit(content=large[4])
    sealer.finish(["ninja"])

    after = first.upkeep().status()
    assert after.bytes <= before.bytes and 0 < after.entries < 5
    assert large[1] in blobs(first) and large[4] in blobs(first)
    assert len(blobs(first)) == after.blobs + (large[1] not in kept_by(first))
    assert first.upkeep().verify().dropped == 0


def kept_by(bench: Bench) -> set[bytes]:
    index = bench.sealer()._there()
    names = commons.names_in(index)
    found = commons.blobs_in(replay_of(bench))
    return {Path(each.path).read_bytes() for each in found if each.digest in names}


def test_a_use_is_kept_and_counts(benches):
    first, _ = benches
    build(first, LONG, OTHER)
    sealer = first.sealer()
    entries = sealer._there().live()
    for entry in entries:
        sealer._there().use(entry, 1)
    age(first)
    Path(first.memory, "r/answers").write_text(f"{entries[0].number} 9 1\n")

    sealer.finish(["ninja"])

    again = first.sealer()._there().live()
    assert sorted(entry.used_at > time.time() - 600 for entry in again) == [False, True]
    fresh = [each.used_at > OLD for each in commons.blobs_in(replay_of(first))]
    assert sorted(fresh) == [False, True]
    Path(first.memory, "r/index").unlink()  # it is in the image, too
    assert {entry.used_at for entry in first.sealer()._there().live()} > {1}


def test_an_index_that_a_killed_session_filled_is_made_smaller(benches, monkeypatch):
    first, _ = benches
    sealer = first.sealer()
    for number in range(20):
        first.unit(content=b"%d" % number)
    sealer._seal_all()
    used = sealer._there().used
    monkeypatch.setattr("velo.shards.replay.sealer.FULL_BYTES", used - 1)

    left = first.sealer()._there()

    assert left.used < used and 0 < len(left.live()) < 20
    assert Path(first.ledger().image).exists()


def test_the_collector_counts_outputs_and_takes_the_unnamed_first(benches):
    first, second = benches
    build(first, LONG)
    build(second, OTHER)
    shutil.rmtree(second.root)
    second.ledger().clear()
    Path(second.memory, "r/index").unlink()
    age(first)

    found = collector.collect(first.store, max_bytes=8192)

    assert (found.outputs, found.removed) == (2, 1) and blobs(first) == {LONG}
    assert "2 of them, 16384, were outputs of steps" in collector.sentence(found, "x", str)
    assert collector.collect(first.store, max_bytes=0).removed == 1
    assert first.upkeep().verify().dropped == 1


def test_nobody_removes_while_somebody_is_about_to_name(benches):
    first, _ = benches
    build(first, LONG)
    (digest,) = (each.digest for each in commons.blobs_in(replay_of(first)))
    first.ledger().clear()
    Path(first.memory, "r/index").unlink()
    freed: list[int] = []
    remover = threading.Thread(
        target=lambda: freed.append(commons.remove_unnamed(replay_of(first), {digest}))
    )
    with commons.naming(replay_of(first)):
        remover.start()
        remover.join(0.05)
        assert remover.is_alive() and blobs(first) == {LONG}
        sealer = first.sealer()
        first.unit(content=LONG)
        sealer._seal_all()  # shared with ours
    remover.join(60)

    assert freed == [0] and blobs(first) == {LONG}


@pytest.mark.parametrize("text", ["", "[]", "null", '{"index": 3}', '{"index": "/dev/zero"}', "x"])
def test_a_damaged_place_names_nothing_and_hurts_nobody(benches, text):
    first, second = benches
    build(first, LONG)
    build(second, OTHER)
    for path in replay_of(first).glob(f"*{ledger.PLACE}"):
        path.write_text(text)

    assert len(commons.named(replay_of(first))) == 2  # by the images
