"""What stays when there is too much: what was used last; and it answers as before."""

from __future__ import annotations

import pytest

from support.bench import KEY, OWNER, SHORT, STEP, add, output
from velo.shards.replay import analysis, compaction
from velo.shards.replay.analysis import Analysed, Fact
from velo.shards.replay.entries import Reader
from velo.shards.replay.index import FULL_BYTES, Index, empty, image_of

BLOB_BYTES = 100_000


def step(number: int, *, shares: int = 0) -> Analysed:
    """A step with a short and a long output; the long one may be another step's, too."""
    long = str(shares or number).encode().ljust(BLOB_BYTES, b".")
    return STEP._replace(
        facts=[Fact(analysis.CONTENT, f"/w/{number}.c"), Fact(analysis.F_LINK, "/w/l", "a.c")],
        outputs=[output(f"/w/build/{number}.o", SHORT), output(f"/w/build/{number}", long)],
        text=b"said %d" % number,
    )


def key(number: int) -> bytes:
    return number.to_bytes(4, "little") + b"k" * 28


def fill(index: Index, count: int, **kinds: int) -> None:
    for number in range(count):
        add(index, key=key(number), step=step(number, **kinds))
    for entry in index.live():
        index.use(entry, 1000 + entry.number)


def stay(index: Index, max_bytes: int, index_bytes: int = FULL_BYTES) -> list[int]:
    found = compaction.staying(index, max_bytes=max_bytes, index_bytes=index_bytes)
    return [entry.number for entry in found]


def seen(index: Reader, number: int) -> tuple[object, ...]:
    """All that an entry says, without where it says it."""
    (entry,) = index.of_key(key(number))
    facts = [index.fact_at(each) for each in index.facts_of(entry)]
    told = index.outputs_of(entry), index.said_by(entry), index.label_of(entry)
    return facts, *told, index.sizes_of(entry), entry.number, entry.cost_ms, entry.used_at


def test_everything_stays_when_there_is_room(new):
    here = new()
    fill(here, 5)

    assert sorted(stay(here, 1 << 30)) == [0, 1, 2, 3, 4]


def test_what_was_used_last_stays_and_no_more_than_fits(new):
    here = new()
    fill(here, 5)
    (first,) = here.of_key(key(0))
    here.use(first, 5000)

    assert stay(here, here.used + 4 * BLOB_BYTES) == [0, 4, 3]


def test_bytes_that_several_have_count_once(new):
    here = new()
    fill(here, 5, shares=7)

    assert len(stay(here, here.used + BLOB_BYTES)) == 5


def test_one_that_alone_is_too_much_goes_and_the_others_stay(new):
    here = new()
    fill(here, 3)
    large = output("/w/build/large", b"x" * (9 * BLOB_BYTES))
    number = add(here, key=b"l" * 32, step=step(9)._replace(outputs=[large]))

    assert number not in stay(here, here.used + 4 * BLOB_BYTES)
    assert len(stay(here, here.used + 4 * BLOB_BYTES)) == 3


def test_an_index_that_is_too_large_loses_its_oldest(new):
    here = new()
    fill(here, 20)

    left = stay(here, 1 << 30, here.used - 1)

    assert 0 < len(left) < 20 and left == list(range(19, 19 - len(left), -1))


def test_of_one_key_no_more_stay_than_are_looked_at(new):
    here = new()
    for number in range(12):
        add(here, step=step(number))
    add(here, key=key(50), step=step(50))

    assert len(stay(here, 1 << 30)) == 13
    assert len(stay(here, here.used + 12 * BLOB_BYTES)) == 9


@pytest.mark.parametrize("count", [0, 1, 6])
def test_what_stays_is_found_as_before_and_the_rest_is_not(new, tmp_path, count):
    here = new()
    fill(here, 6)
    left = sorted(here.live(), key=lambda entry: -entry.used_at)[:count]
    before = [seen(here, entry.number) for entry in left]

    data = compaction.compacted(here, left, empty(OWNER))

    there = Reader(data)
    assert [seen(there, entry.number) for entry in left] == before
    assert len(there.live()) == count and there.used == len(data)
    assert there.head.entries == here.head.entries  # the next number is new


def test_programs_and_images_have_the_compacted_one_from_then_on(new, tmp_path):
    here = new()
    fill(here, 4)
    left = [entry for entry in here.live() if entry.number in (1, 3)]

    here.replace(compaction.compacted(here, left, empty(OWNER)))

    assert not here.is_current()
    assert len(new().live()) == len(new("another").live()) == 2
    data = image_of(str(tmp_path / "image"), OWNER)
    assert data is not None and len(Reader(data).live()) == 2
    again = new()
    assert add(again, key=key(9), step=step(9)) == 4
    assert again.head.facts == 4  # /w/l is known


def test_what_nobody_names_any_more_takes_no_room(new):
    here = new()
    fill(here, 40)
    left = here.live()[:4]

    assert len(compaction.compacted(here, left, empty(OWNER))) < here.used - 30 * len(SHORT)


def test_a_use_is_seen_by_who_reads(new):
    here = new()
    number = add(here)
    (entry,) = here.of_key(KEY)

    here.use(entry, 77.9)

    assert here.of_key(KEY)[0].used_at == 77 and here.of_key(KEY)[0].number == number
