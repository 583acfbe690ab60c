"""The index and its image: what was added is found; what is damaged or not ours is refused."""

from __future__ import annotations

import hashlib
import os
import struct

import pytest

from support import unit_logs
from support.bench import KEY, LONG, OWNER, SHORT, STEP, add
from velo.shards.replay import analysis, index, json_files
from velo.shards.replay.analysis import Fact, NotCached
from velo.shards.replay.entries import NO_KEY, Made
from velo.shards.replay.index import image_of


def test_what_was_added_is_found(new):
    here = new()
    number = add(here)

    (entry,) = here.of_key(KEY)

    assert (entry.number, entry.cost_ms, here.label_of(entry)) == (number, 9, "cc a.c")
    assert [here.fact_at(each) for each in here.facts_of(entry)] == [
        (analysis.CONTENT, "/w/a.c"),
        (analysis.F_LINK, "/w/l"),
    ]
    assert here.said_by(entry) == (b"said", b"warned")
    mode = unit_logs.FILE_MODE
    assert here.outputs_of(entry) == [
        Made(analysis.FILE, "/w/build/a.o", mode, hashlib.sha256(SHORT).digest()),
        Made(analysis.FILE, "/w/build/a", mode, hashlib.sha256(LONG).digest()),
    ]
    assert here.blobs_of(entry) == {hashlib.sha256(LONG).digest()}


def test_a_fact_is_there_once_also_after_the_image_was_loaded(new):
    here = new()
    add(here)
    add(here, key=b"k" * 32)
    assert here.head.facts == len(STEP.facts)
    here.save()

    again = new("another")
    add(again, key=b"m" * 32)

    assert again.head.facts == len(STEP.facts)
    assert again.fact_numbered(0) == (analysis.CONTENT, "/w/a.c")
    assert again.fact_numbered(99) is None


def asking_for(names: list[str]) -> analysis.Analysed:
    return STEP._replace(facts=[Fact(analysis.CONTENT, f"/w/{name}") for name in names])


def test_an_entry_costs_what_is_new_in_its_list_of_facts(new):
    shared = [f"include/{number}.h" for number in range(1000)]
    here = new()
    add(here, step=asking_for(["a.c", *shared]))
    before = here.used

    add(here, key=b"k" * 32, step=asking_for(["b.c", *shared]))
    added = here.used - before
    add(here, key=b"m" * 32, step=asking_for([*shared[:500], "more.h", *shared[500:], "c.c"]))

    assert added < 2000
    assert here.used - before < 2 * 2000
    for key, first, last in ((KEY, "a.c", 999), (b"k" * 32, "b.c", 999)):
        paths = [here.fact_at(each)[1] for each in here.facts_of(here.of_key(key)[0])]
        assert (paths[0], paths[-1], len(paths)) == (f"/w/{first}", f"/w/include/{last}.h", 1001)


def test_groups_of_facts_are_there_once_also_after_the_image_was_loaded(new):
    step = asking_for([f"{number}.h" for number in range(300)])
    here = new()
    add(here, step=step)
    here.save()

    again = new("another")
    before = again.head.groups
    add(again, key=b"k" * 32, step=step)

    assert again.head.groups == before > 3
    (one,), (other,) = again.of_key(KEY), again.of_key(b"k" * 32)
    assert again.groups_of(one) == again.groups_of(other)


def test_the_newest_entry_of_a_key_is_first(new):
    here = new()
    numbers = [add(here) for _ in range(3)]

    assert [entry.number for entry in here.of_key(KEY)] == numbers[::-1]


def test_a_dropped_entry_is_not_found_and_the_others_are(new):
    here = new()
    first, second = add(here), add(here)

    here.drop(second)

    assert [entry.number for entry in here.of_key(KEY)] == [first]
    assert [entry.number for entry in here.live()] == [first]
    assert here.numbered(second).key == NO_KEY


def test_a_long_text_is_read_whole(new):
    here = new()
    path = "/w/" + "d/" * 2000 + "x"
    body = (analysis.CONTENT, 1, 0, 0, 5, 0, 0, 0, 0, 0, bytes(32))

    assert here.fact_at(here.add_fact(body, path, "")) == (analysis.CONTENT, path)


def test_a_full_index_refuses_and_stays_as_it_was(new, monkeypatch):
    here = new()
    add(here)
    monkeypatch.setattr(index, "MAX_BYTES", here.used + 64)

    with pytest.raises(NotCached):
        add(here, key=b"k" * 32)

    assert here.of_key(b"k" * 32) == [] and len(here.live()) == 1


# ---- the image -----------------------------------------------------------------------------------


@pytest.fixture
def image(new, tmp_path):
    here = new()
    add(here)
    here.save()
    return tmp_path / "image"


def test_a_new_arena_begins_with_the_image(new, image):
    assert len(new("another").of_key(KEY)) == 1


def test_an_image_that_was_cut_is_refused_wherever_and_set_aside(image):
    whole = image.read_bytes()
    for cut in [*range(200), *range(200, len(whole), 997), len(whole) - 1]:
        image.write_bytes(whole[:cut])
        assert image_of(str(image), OWNER) is None
        assert not image.exists()  # it is in image.damaged


def test_an_image_with_one_bit_flipped_is_refused(image):
    whole = image.read_bytes()
    for place in range(0, len(whole), 499):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        image.write_bytes(flipped)
        assert image_of(str(image), OWNER) is None, place


def test_a_new_index_is_made_where_the_image_is_damaged(new, image):
    image.write_bytes(b"nonsense")

    assert new("another").live() == []


@pytest.mark.parametrize("owner", [OWNER._replace(salt=b"t" * 32), OWNER._replace(store="/x")])
def test_entries_of_another_machine_or_store_answer_nothing(new, image, owner):
    assert new("another", owner).live() == []
    assert image_of(str(image), OWNER) is not None  # and are not damaged either


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_an_image_or_index_of_somebody_else_is_refused(new, image, tmp_path):
    try:
        os.chown(image, 12345, 12345)
        os.chown(tmp_path / "index", 12345, 12345)
    except OSError:
        pytest.skip("this root has one user")

    assert image_of(str(image), OWNER) is None
    with pytest.raises(PermissionError):
        new()


def test_a_symlink_or_a_fifo_is_no_image(image, tmp_path):
    whole = tmp_path / "whole"
    image.rename(whole)
    image.symlink_to(whole)
    assert image_of(str(image), OWNER) is None
    image.unlink()
    os.mkfifo(image)
    assert image_of(str(image), OWNER) is None


@pytest.mark.parametrize("stands", [os.symlink, os.link])
def test_nothing_is_written_through_a_link_that_stands_where_a_temporary_file_was(tmp_path, stands):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("image", "report.json"):
        stands(victim, tmp_path / f"{name}.{os.getpid()}")

    index.write_image(str(tmp_path / "image"), b"data")
    json_files.write(tmp_path / "report.json", {"a": 1})

    assert victim.read_text() == "kept" and json_files.read(tmp_path / "report.json") == {"a": 1}


def test_an_image_beyond_the_limit_is_begun_anew(image, monkeypatch):
    monkeypatch.setattr(index, "FULL_BYTES", 100)

    assert image_of(str(image), OWNER) is None


def test_an_index_that_was_cleared_is_not_saved(new, tmp_path):
    here = new()
    add(here)
    (tmp_path / "index").unlink()

    here.save()

    assert not here.is_current() and not (tmp_path / "image").exists()


def test_a_number_in_the_head_is_what_the_library_reads(new):
    here = new()
    add(here)
    magic, buckets, used = struct.unpack_from("<IIQ", here.data)

    assert (magic, buckets) == (index.MAGIC, 16384) and used == len(here.data)


@pytest.mark.parametrize("what", ["magic", "salt", "short"])
def test_an_index_of_another_version_is_begun_anew(new, tmp_path, what):
    """Its server went on while velo was installed anew: programs would find no entry in it."""
    add(new())
    with open(tmp_path / "index", "r+b") as file:
        file.truncate(8) if what == "short" else file.seek(0 if what == "magic" else 32)
        file.write(b"else" if what != "short" else b"")

    later = new()

    assert later.head.entries == 0
    add(later)
    assert new().head.entries == 1
