"""The index and its image: what was added is found; what is damaged or not ours is refused."""

from __future__ import annotations

import hashlib
import os
import struct

import pytest

from support import unit_logs
from velo.shards.replay import analysis, index
from velo.shards.replay.analysis import Analysed, Fact, NotCached, Output
from velo.shards.replay.entries import NO_KEY, Made
from velo.shards.replay.index import Index, Owner, image_of
from velo.shards.replay.unit_log import Hosted

OWNER = Owner(b"s" * 32, "/store/replay/blobs")
KEY, REST = unit_logs.KEY, unit_logs.REST
SHORT, LONG = b"short", b"l" * 5000


def output(path: str, content: bytes) -> Output:
    digest = hashlib.sha256(content).digest()
    what = Hosted(len(content), 1, 2, 3, unit_logs.FILE_MODE, True, digest, "")
    return Output(analysis.FILE, path, what)


STEP = Analysed(
    facts=[Fact(analysis.CONTENT, "/w/a.c"), Fact(analysis.F_LINK, "/w/l", "a.c")],
    before=[],
    outputs=[output("/w/build/a.o", SHORT), output("/w/build/a", LONG)],
    hosted={},
    text=b"said",
    errors=b"warned",
    needs_rest=False,
    provisional=False,
)
INLINE = {hashlib.sha256(SHORT).digest(): SHORT}


@pytest.fixture
def new(tmp_path):
    """An index; another name is another arena with the same image."""
    opened = []

    def make(name: str = "index", owner: Owner = OWNER) -> Index:
        image = str(tmp_path / "image")
        opened.append(Index(str(tmp_path / name), owner=owner, image=image))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def add(to: Index, *, key: bytes = KEY, step: Analysed = STEP) -> int:
    body = (1, 1, 0, 0, 5, 0, 0, unit_logs.FILE_MODE, 0, 0, bytes(32))
    facts = [to.add_fact((fact.kind, *body[1:]), fact.path, fact.link) for fact in step.facts]
    return to.add_entry(
        key=key, rest=REST, facts=facts, analysed=step, label="cc a.c", cost_ms=9, inline=INLINE
    )


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
