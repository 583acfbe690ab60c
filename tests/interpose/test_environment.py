"""What a child finds in its environment, so that it is entered, or is not (environment.c).

In: environments written by hand. Out: what is given instead. The library is a file of the test,
said as /v/libvelo.so here; the arena is /dev/shm/a (environment_driver.c).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.drivers import answers, compiled
from support.shared import made_once

US = "/v/libvelo.so"
ARENA = "VELO_ARENA=/dev/shm/a"
SAME = ["="]

ENTERED = {
    # what it is: what comes first, the environment, what is given
    "nothing": ("-", [], [f"LD_PRELOAD={US}", ARENA]),
    "both are there": ("-", [f"LD_PRELOAD={US}", ARENA], SAME),
    "only the library": ("-", [f"LD_PRELOAD={US}"], [f"LD_PRELOAD={US}", ARENA]),
    "only the arena": ("-", [ARENA], [ARENA, f"LD_PRELOAD={US}"]),
    "another arena is believed": ("-", ["VELO_ARENA=/x"], ["VELO_ARENA=/x", f"LD_PRELOAD={US}"]),
    "others keep their order": (
        "-",
        ["B=2", "A=1", ARENA],
        ["B=2", "A=1", ARENA, f"LD_PRELOAD={US}"],
    ),
    "another library comes first": (
        "-",
        ["LD_PRELOAD=/a.so", ARENA],
        [ARENA, f"LD_PRELOAD=/a.so:{US}"],
    ),
    "it was put behind us": (
        "-",
        [f"LD_PRELOAD={US}:/a.so", ARENA],
        [ARENA, f"LD_PRELOAD=/a.so:{US}"],
    ),
    "with a space between": ("-", [f"LD_PRELOAD=/a.so {US}", ARENA], SAME),
    "one before and one behind": (
        "-",
        [f"LD_PRELOAD=/a.so:{US}:/b.so", ARENA],
        [ARENA, f"LD_PRELOAD=/a.so:/b.so:{US}"],
    ),
    "we are there twice": ("-", [f"LD_PRELOAD={US}:{US}", ARENA], [ARENA, f"LD_PRELOAD={US}"]),
    "a name that only begins as ours": (
        "-",
        [f"LD_PRELOAD={US}.old", ARENA],
        [ARENA, f"LD_PRELOAD={US}.old:{US}"],
    ),
    "a name that only ends as ours": (
        "-",
        [f"LD_PRELOAD=/w{US}", ARENA],
        [ARENA, f"LD_PRELOAD=/w{US}:{US}"],
    ),
    "an empty list": ("-", ["LD_PRELOAD=", ARENA], [ARENA, f"LD_PRELOAD={US}"]),
    "colons only": ("-", ["LD_PRELOAD=::", ARENA], [ARENA, f"LD_PRELOAD={US}"]),
    "another variable's name": (
        "-",
        ["LD_PRELOADS=x", ARENA],
        ["LD_PRELOADS=x", ARENA, f"LD_PRELOAD={US}"],
    ),
    "no variable at all": ("-", ["LD_PRELOAD", ARENA], ["LD_PRELOAD", ARENA, f"LD_PRELOAD={US}"]),
    # The loader reads all of them, and believes the last.
    "two lists, we are in the first": (
        "-",
        [f"LD_PRELOAD={US}", "LD_PRELOAD=/a.so", ARENA],
        [ARENA, f"LD_PRELOAD=/a.so:{US}"],
    ),
    "switched off": ("-", ["VELO_DISABLE=1"], SAME),
    "not switched off": (
        "-",
        ["VELO_DISABLE=0", ARENA],
        ["VELO_DISABLE=0", ARENA, f"LD_PRELOAD={US}"],
    ),
    "a sanitizer": ("libasan.so.8", [ARENA], [ARENA, f"LD_PRELOAD=libasan.so.8:{US}"]),
    "a sanitizer that is there": (
        "libasan.so.8",
        [f"LD_PRELOAD=/usr/lib/libasan.so.8:{US}", ARENA],
        SAME,
    ),
    "a sanitizer before another": (
        "libasan.so.8",
        [f"LD_PRELOAD=/a.so:{US}", ARENA],
        [ARENA, f"LD_PRELOAD=libasan.so.8:/a.so:{US}"],
    ),
}
OPAQUE = {
    "nothing": ([], SAME),
    "we are not there": (["LD_PRELOAD=/a.so", ARENA], SAME),
    "only us": (["A=1", f"LD_PRELOAD={US}", ARENA], ["A=1", ARENA]),
    "us behind another": ([f"LD_PRELOAD=/a.so:{US}"], ["LD_PRELOAD=/a.so"]),
    "us before another": ([f"LD_PRELOAD={US}:/a.so"], ["LD_PRELOAD=/a.so"]),
    "us between": ([f"LD_PRELOAD=/a.so:{US} /b.so"], ["LD_PRELOAD=/a.so:/b.so"]),
    "us twice": ([f"LD_PRELOAD={US}:/a.so:{US}"], ["LD_PRELOAD=/a.so"]),
    "us only, twice": ([f"LD_PRELOAD={US}:{US}"], [""]),
    "us in the second list": (["LD_PRELOAD=/a.so", f"LD_PRELOAD={US}:/b.so"], ["LD_PRELOAD=/b.so"]),
}
LEFT = {
    "nothing": ([], [""]),
    "others": (["LD_PRELOAD=/a.so", "A=1"], ["LD_PRELOAD=/a.so", "A=1"]),
    "only us": (["A=1", f"LD_PRELOAD={US}", "B=2"], ["A=1", "B=2"]),
    "us behind another": ([f"LD_PRELOAD=/a.so:{US}", "A=1"], ["LD_PRELOAD=/a.so", "A=1"]),
    "us before another": ([f"LD_PRELOAD={US}:/a.so"], ["LD_PRELOAD=/a.so"]),
    "us between": ([f"LD_PRELOAD=/a.so:{US}:/b.so"], ["LD_PRELOAD=/a.so:/b.so"]),
    "us twice": ([f"LD_PRELOAD={US}:/a.so:{US}"], ["LD_PRELOAD=/a.so"]),
    "us in two lists": ([f"LD_PRELOAD={US}", f"LD_PRELOAD={US}:/a.so"], ["LD_PRELOAD=/a.so"]),
}
STARTED = {
    "a sanitizer before us": ([f"LD_PRELOAD=libasan.so.8:{US}"], [f"LD_PRELOAD={US}"]),
    "and another behind": (
        [f"LD_PRELOAD=libasan.so.8:{US}:/a.so"],
        [f"LD_PRELOAD={US}:/a.so"],
    ),
    "one that the program named itself": (
        [f"LD_PRELOAD=/usr/lib/libasan.so.8:{US}"],
        [f"LD_PRELOAD=/usr/lib/libasan.so.8:{US}"],
    ),
    "another before us": ([f"LD_PRELOAD=/a.so:{US}"], [f"LD_PRELOAD=/a.so:{US}"]),
    "a sanitizer alone": (["LD_PRELOAD=libasan.so.8"], ["LD_PRELOAD=libasan.so.8"]),
}
PRELOADS = {
    "nothing": ([], False),
    "only us": ([f"LD_PRELOAD={US}"], False),
    "us, and colons": ([f"LD_PRELOAD=:{US}:"], False),
    "another": (["LD_PRELOAD=/a.so"], True),
    "another before us": ([f"LD_PRELOAD=/a.so:{US}"], True),
    "another behind us": ([f"LD_PRELOAD={US}:/a.so"], True),
    "us twice": ([f"LD_PRELOAD={US}:{US}"], False),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = ("environment_driver.c", "program/sanitizer.c")
    return made_once(tmp_path_factory, "environment", lambda to: compiled(to, *files))


def given(
    driver: Path, questions: dict[str, list[str]], *, there: bool = True
) -> dict[str, list[str]]:
    library = driver.with_name("libvelo.so" if there else "none.so")
    driver.with_name("libvelo.so").touch()
    lines = ["\t".join(words).replace(US, str(library)) for words in questions.values()]
    said = [line.replace(str(library), US) for line in answers(driver, str(library), lines=lines)]
    return {name: line.split("\t") for name, line in zip(questions, said, strict=True)}


def test_a_child_that_is_entered_finds_us_last_and_the_arena(driver: Path) -> None:
    asked = {name: ["enter", first, *all_] for name, (first, all_, _) in ENTERED.items()}

    assert given(driver, asked) == {name: expected for name, (_, _, expected) in ENTERED.items()}


def test_what_a_child_is_given_is_right_as_it_is(driver: Path) -> None:
    again = {
        name: ["enter", first, *(all_ if expected == SAME else expected)]
        for name, (first, all_, expected) in ENTERED.items()
    }

    assert given(driver, again) == dict.fromkeys(ENTERED, SAME)


@pytest.mark.parametrize(
    ("verb", "table"), [("opaque", OPAQUE), ("leave", LEFT), ("start", STARTED)]
)
def test_we_are_not_where_we_should_not_be(
    driver: Path, verb: str, table: dict[str, tuple[list[str], list[str]]]
) -> None:
    asked = {name: [verb, *all_] for name, (all_, _) in table.items()}

    assert given(driver, asked) == {name: expected for name, (_, expected) in table.items()}


@pytest.mark.parametrize("verb", ["become", "heir"])
def test_another_users_process_is_given_the_mark_of_the_arena_alone(driver: Path, verb) -> None:
    mark = "VELO_ARENA=@1"
    table = {
        "both": (["A=1", f"LD_PRELOAD={US}", ARENA], ["A=1", mark]),
        "not preloaded": ([ARENA, "A=1"], [mark, "A=1"]),
        "twice": ([ARENA, ARENA], [mark, mark]),
    }
    asked = {name: [verb, *all_] for name, (all_, _) in table.items()}

    assert given(driver, asked) == {name: expected for name, (_, expected) in table.items()}
    assert given(driver, {"marked": ["heir", mark]}) == {"marked": SAME}


def test_others_that_are_preloaded_are_seen(driver: Path) -> None:
    asked = {name: ["preloads", *all_] for name, (all_, _) in PRELOADS.items()}

    found = {name: words == ["1"] for name, words in given(driver, asked).items()}
    assert found == {name: expected for name, (_, expected) in PRELOADS.items()}


def test_a_library_that_is_gone_is_given_to_nobody(driver: Path) -> None:
    asked = {
        "we were there": ["enter", "-", f"LD_PRELOAD=/a.so:{US}", ARENA],
        "not": ["enter", "-"],
    }

    assert given(driver, asked, there=False) == {
        "we were there": [ARENA, "LD_PRELOAD=/a.so"],
        "not": SAME,
    }
