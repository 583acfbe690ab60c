"""The store's directory: only one that velo made, and only what velo made is removed there."""

from __future__ import annotations

import os
import threading

import pytest

from velo.shards import depot
from velo.shards.cas import Store
from velo.shards.errors import NotAStore


@pytest.fixture
def place(tmp_path):
    made = tmp_path / "place"
    made.mkdir()
    return made


def tree(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("before", ["nothing", "an empty directory"])
def test_a_new_store_says_that_velo_made_it(place, before):
    directory = place / "deep" / "store"
    if before != "nothing":
        directory.mkdir(parents=True)

    Store(directory).close()

    assert (directory / depot.MARKER).read_bytes() == depot.MARKER_TEXT
    assert tree(directory) == ["sha256", "staging", depot.MARKER]


@pytest.mark.parametrize(
    "stranger", ["thesis.tex", "sha256/ab/../../notes/x", ".hidden", "sha256/mine/x", "staging/x"]
)
def test_a_directory_with_other_things_in_it_is_refused_and_untouched(place, stranger):
    path = place / stranger
    os.makedirs(os.path.dirname(os.path.normpath(path)), exist_ok=True)
    with open(os.path.normpath(path), "w") as file:
        file.write("mine")
    before = tree(place)

    with pytest.raises(NotAStore, match="VELO_CAS_DIR"):
        Store(place)

    assert tree(place) == before


def test_a_store_of_an_earlier_velo_is_adopted(place):
    for name in ("sha256/ab", "sha256/00", "staging/0123456789abcdef", "corrupt"):
        (place / name).mkdir(parents=True)
    (place / "corrupt" / "x").touch()

    store = Store(place)

    assert (place / depot.MARKER).is_file() and store.sweep() == 1
    store.close()


@pytest.mark.parametrize(
    "kept",
    [
        "staging/notes/a",
        "staging/0123456789abcdef/notes",
        "staging/0123456789abcdef/3/deep",
        "staging/0123456789abcde/0",
    ],
)
def test_what_velo_did_not_make_is_not_swept(place, kept):
    store = Store(place)
    path = place / kept
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    (path.parent / "7.lz4").touch()

    store.sweep()
    store.close()

    assert path.read_text() == "mine"


def test_a_staging_directory_that_is_a_link_is_not_followed(place):
    store = Store(place / "store")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1").write_text("mine")
    (place / "store" / "staging" / "0123456789abcdef").symlink_to(elsewhere)

    store.sweep()
    store.close()

    assert (elsewhere / "1").read_text() == "mine"


def test_what_is_put_into_a_writers_directory_by_somebody_else_stays(place):
    store = Store(place)
    (own,) = (place / "staging").iterdir()
    (own / "notes").write_text("mine")
    (own / "5").touch()

    store.close()

    assert tree(own) == ["notes"]


def test_many_writers_may_make_the_same_store_at_once(place):
    problems = []

    def one():
        try:
            Store(place / "store").close()
        except Exception as error:
            problems.append(error)

    crowd = [threading.Thread(target=one) for _ in range(16)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()

    assert not problems and tree(place / "store") == ["sha256", "staging", depot.MARKER]
