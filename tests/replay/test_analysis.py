"""From a log to facts and outputs, or to the reason why there are none."""

from __future__ import annotations

import pytest

from support import unit_logs
from support.unit_logs import Said, at, hosted, program, told
from velo.shards.replay import analysis
from velo.shards.replay import unit_log as log
from velo.shards.replay.analysis import Fact, NotCached

GCC = program("/usr/bin/gcc")
OURS = program("/w/tools/gen")  # of the build, so nothing is known of it
OUT = "/w/build/a.o"
MADE = (at(log.WRITE, OUT, flags=log.NEW), hosted(OUT, log.OUTPUT, b"o"))


def facts_of(found: analysis.Analysed) -> set[Fact]:
    return {fact for fact in found.facts if not fact.path.startswith("/usr/bin/")}


def test_what_is_read_is_an_input_and_what_is_made_an_output(analysed):
    found = analysed(GCC, at(log.READ, "/w/a.c"), *MADE)

    assert facts_of(found) == {Fact(analysis.CONTENT, "/w/a.c")}
    assert [(each.kind, each.path) for each in found.outputs] == [(analysis.FILE, OUT)]


def test_who_waits_and_makes_nothing_is_run(analysed):
    sleep = program("/usr/bin/sleep")
    analysed(sleep, *MADE)  # it may be older than what it waited for

    with pytest.raises(NotCached, match="waits"):
        analysed(sleep)


def test_what_a_unit_wrote_first_is_no_input_of_it(analysed):
    found = analysed(GCC, *MADE, at(log.READ, OUT), at(log.STAT, OUT))

    assert facts_of(found) == set()


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        (at(log.ABSENT, "/w/x.h", flags=log.OPENED), Fact(analysis.F_ABSENT, "/w/x.h")),
        (at(log.ABSENT, "/w/x.h", flags=log.ITSELF), Fact(analysis.LABSENT, "/w/x.h")),
        (at(log.STAT, "/w/x.h"), Fact(analysis.F_STAT, "/w/x.h")),
        (at(log.ACCESS, "/w/x.h"), Fact(analysis.F_STAT, "/w/x.h")),
        (at(log.LSTAT, "/w/x.h"), Fact(analysis.F_LSTAT, "/w/x.h")),
        (at(log.LINK, "/w/l", "x.h"), Fact(analysis.F_LINK, "/w/l", "x.h")),
        (at(log.NO_LINK, "/w/x.h"), Fact(analysis.F_NO_LINK, "/w/x.h")),
        (at(log.LIST, "/w/src"), Fact(analysis.F_NAMES, "/w/src")),
        (at(log.READ, "/w//src/./x.h"), Fact(analysis.CONTENT, "/w/src/x.h")),
    ],
    ids=lambda each: str(getattr(each, "kind", "")),
)
def test_each_question_is_a_fact(analysed, record, fact):
    assert fact in facts_of(analysed(GCC, record, *MADE))


def test_times_are_inputs_of_a_program_of_the_build_and_not_of_a_compiler(analysed):
    questions = (at(log.STAT, "/w/a.c"), *MADE)

    ours, gccs = analysed(OURS, *questions), analysed(GCC, *questions)

    assert Fact(analysis.TIMES, "/w/a.c") in ours.facts
    assert Fact(analysis.F_STAT, "/w/a.c") in gccs.facts
    assert ours.needs_rest and not gccs.needs_rest


@pytest.mark.parametrize(
    ("text", "shells", "own", "tools"),
    [
        ("ld -r a.o -o b; sort -u c", False, False, False),
        ("cp -u a b", False, False, True),
        ("[ a -nt b ] && cat c", True, False, True),
        ("[ $a -nt b ] && cat c", True, True, True),
        ("[ ../d -nt b ] && cat c", True, True, True),
    ],
)
def test_times_of_where_a_shell_stands_are_an_input_when_it_may_compare_them(
    analysed, text, shells, own, tools
):
    words = ("sh", "-c", text)
    shell = (
        program("/bin/sh"),
        told(*words, cwd="/w/d"),
        at(log.STAT, "/w/d"),
        at(log.STAT, "/w/s"),
    )
    cat = (program("/bin/cat", process=7), at(log.STAT, "/w/c", process=7))

    found = analysed(*shell, *cat, *MADE, words=words, enlisted=2, started=2, vouched=2)

    times = {fact.path for fact in found.facts if fact.kind == analysis.TIMES}
    assert times == {
        p for p, is_one in (("/w/d", own), ("/w/s", shells), ("/w/c", tools)) if is_one
    }


def test_node_may_open_its_own_program_or_not(analysed):
    words = ("node", "-e", "fs.fstatSync(3)")
    node = program("/usr/bin/node", flags=log.GIVEN_TEXT), told(*words)
    opens = at(log.READ, "/usr/bin/node")

    found = [{*analysed(*node, *more, *MADE, words=words).facts} for more in ((), (opens,))]

    assert found[0] == found[1]
    assert Fact(analysis.TIMES, "/usr/bin/node") in found[0]


@pytest.mark.parametrize("path", ["/bin/sh", "/usr/bin/perl"])
def test_a_program_may_have_used_times_of_what_another_opened_for_it(analysed, path):
    opens = program(path), at(log.READ, "/w/in")
    gzip = program("/usr/bin/gzip", process=101)

    found = [
        {*analysed(*opens, gzip, *asks, *MADE).facts}
        for asks in ((), (Said(log.FSTAT, b"", process=101),))
    ]

    assert Fact(analysis.TIMES, "/w/in") in found[1] - found[0]


def test_a_program_that_becomes_a_runtime_may_have_used_times_of_open_files(analysed):
    asks = at(log.READ, "/w/in"), Said(log.FSTAT, b"")

    found = analysed(program("/w/gen"), *asks, program("/usr/bin/perl"), *MADE)

    assert Fact(analysis.TIMES, "/w/in") in found.facts


def forked(parent: int, *, process: int) -> Said:
    return Said(log.FORKED, parent.to_bytes(4, "little"), process=process)


BASH = program("/bin/bash")
STANDS = at(log.STAT, "/w/d")
AGAIN = at(log.STAT, "/w/d", process=101)


@pytest.mark.parametrize(
    ("asked", "is_fact"),
    [
        ((STANDS, forked(100, process=101), AGAIN), False),
        ((STANDS, forked(100, process=7), forked(7, process=101), AGAIN), False),
        ((forked(100, process=101), AGAIN, STANDS), True),
        ((STANDS, forked(1, process=101), AGAIN), True),
        ((STANDS, Said(log.FORKED, b"", process=101), AGAIN), True),
        ((STANDS, BASH, forked(100, process=101), AGAIN), True),
        ((STANDS, forked(100, process=101), program("/w/own", process=101), AGAIN), True),
        ((at(log.STAT, "/w"), forked(100, process=101), AGAIN), True),
    ],
    ids=[
        "its parent asked",
        "its grandparent did",
        "its parent asked later",
        "its parent is not known",
        "it did not say its parent",
        "its parent is another program since",
        "it is another program since",
        "another question",
    ],
)
def test_what_a_fork_asks_that_its_parent_asked_before_is_not_its_own(analysed, asked, is_fact):
    cat = program("/bin/cat", process=101)

    found = analysed(BASH, *asked, cat, *MADE)

    times = {fact.path for fact in found.facts if fact.kind == analysis.TIMES}
    assert times == ({"/w/d"} if is_fact else set())


def test_what_a_fork_does_that_its_parent_did_before_is_done_twice(tmp_path):
    twice = at(log.RENAME, "/w/a", "/w/b"), at(log.RENAME, "/w/a", "/w/b", process=101)
    records = (BASH, STANDS, twice[0], forked(100, process=101), AGAIN, twice[1])

    unit = log.read(str(unit_logs.write(tmp_path / "u", *records)))

    assert [record.kind for record in unit.deeds].count(log.RENAME) == 2
    assert [len(life.questions) for life in unit.lives] == [2, 0]


def test_a_program_is_an_input(analysed):
    assert Fact(analysis.CONTENT, "/usr/bin/gcc") in analysed(GCC, *MADE).facts


def test_a_file_that_is_made_and_renamed_is_one_output(analysed):
    found = analysed(
        GCC,
        at(log.WRITE, "/w/build/t", flags=log.NEW),
        at(log.RENAME, "/w/build/t", OUT),
        hosted(OUT, log.OUTPUT, b"o"),
        hosted("/w/build/t", log.OUTPUT, None),
    )

    assert [each.path for each in found.outputs] == [OUT]


def test_a_removal_is_an_output_and_one_of_a_temporary_file_is_none(analysed):
    found = analysed(
        program("/usr/bin/rm"),
        at(log.GONE, "/w/build/old"),
        at(log.WRITE, "/tmp/ccX.s", flags=log.NEW),
        at(log.GONE, "/tmp/ccX.s"),
        hosted("/w/build/old", log.OUTPUT, None),
    )

    assert [(each.kind, each.path) for each in found.outputs] == [(analysis.GONE, "/w/build/old")]


@pytest.mark.parametrize(
    ("remover", "path", "is_fact"),
    [
        ("/usr/bin/rm", "/w/build/old", False),
        ("/usr/bin/rm", "/w/old", True),
        ("/w/tidy", "/w/build/old", True),
    ],
)
def test_a_removal_of_nothing_removes_what_is_there_next_time(analysed, remover, path, is_fact):
    found = analysed(
        program(remover),
        at(log.GONE, path, flags=1),
        *([hosted(path, log.OUTPUT, None)] if "build" in path else []),
        words=("/bin/sh", "-c", f"rm -f {path}"),
    )

    assert (Fact(analysis.LABSENT, path) in found.before) == is_fact


@pytest.mark.parametrize(("maker", "is_fact"), [(GCC, False), (OURS, True)])
def test_a_compilers_temporary_name_is_no_fact_and_that_of_others_is_one(analysed, maker, is_fact):
    name = "/tmp/ccX1.s"
    found = analysed(
        maker, at(log.WRITE, name, flags=log.NEW), at(log.GONE, name), hosted(name, 1, None), *MADE
    )

    assert {fact.path for fact in found.before} == {OUT} | ({name} if is_fact else set())


def test_a_directory_outside_that_nobody_had_to_make_is_an_input(analysed):
    found = analysed(GCC, at(log.MKDIR, "/w", flags=1), *MADE)

    assert facts_of(found) == {Fact(analysis.F_STAT, "/w")}
    assert [each.path for each in found.outputs] == [OUT]


def test_what_it_said_is_kept_apart(analysed):
    found = analysed(
        GCC, Said(log.TEXT, b"out", 1), Said(log.TEXT, b"err", 2), Said(log.TEXT, b"put", 1), *MADE
    )

    assert (found.text, found.errors) == (b"output", b"err")


def test_randomness_asks_for_a_second_run_and_a_compilers_does_not(analysed):
    asked = at(log.ASKED, flags=log.RANDOM)

    assert analysed(OURS, asked, *MADE).provisional
    assert not analysed(GCC, asked, *MADE).provisional


REFUSALS = {
    "it failed": ((), {"status": 256}),
    "was still running": ((), {"alive": 4}),
    "was not observed": ((), {"started": 2}),
    "nobody could read it": ((), {"captured": 0, "spoke": 1}),
    "was killed": ((), {"vouched": 0}),
    "it asked what time it is": ((OURS, at(log.ASKED, flags=log.CLOCK)), {}),
    "could not be looked at": ((GCC, at(log.ERROR, "/w/x", flags=13)), {}),
    "there before": ((GCC, at(log.WRITE, OUT), hosted(OUT, log.OUTPUT, b"o")), {}),
    "mode or times": ((GCC, at(log.CHMOD, "/w/build/b")), {}),
    "had not made": ((GCC, at(log.RENAME, "/w/build/b", OUT)), {}),
    "outside of the hosted": ((GCC, at(log.WRITE, "/w/a.o", flags=log.NEW)), {}),
    "somebody else changed": (
        (GCC, at(log.WRITE, OUT, flags=log.NEW), hosted(OUT, log.OUTPUT, None)),
        {},
    ),
    "in a directory that it made": (
        (
            GCC,
            at(log.MKDIR, "/w/build/d", flags=1),
            at(log.LIST, "/w/build/d"),
            hosted("/w/build/d", log.OUTPUT, b""),
        ),
        {},
    ),
    "more than 32 KB": ((GCC, Said(log.TEXT, b"x" * 40_000, 1)), {}),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_cannot_be_cached_says_why(refusal, reason):
    records, head = REFUSALS[reason]

    assert reason in refusal(*records, **head)


@pytest.mark.parametrize("taint", range(1, len(log.TAINTS)))
def test_each_taint_is_a_reason_and_names_its_process(analysed, taint):
    with pytest.raises(NotCached) as caught:
        analysed(GCC, *MADE, taint=taint, taint_process=77)

    assert (str(caught.value), caught.value.process) == (log.TAINTS[taint], 77)
