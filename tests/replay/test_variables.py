"""Which variables of its environment a step depends on, and what is made of their texts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.unit_logs import Said, at, environment, program, step, told, write
from velo.shards.replay import programs, questions, scripts, variables
from velo.shards.replay import unit_log as log

SH, CC = program("/usr/bin/dash"), program("/usr/bin/gcc")
ASKED = at(log.VARIABLE, "CPATH")
COMMAND = {b"sh", b"x", b"c"}  # the words before a script's text


@pytest.fixture
def unit(tmp_path: Path):
    """The log of a step with these records."""
    return lambda *records: log.read(str(write(tmp_path / "1-0.f", step("sh", "x"), *records)))


def used(unit: log.UnitLog, *running: str, named: frozenset[bytes] | None = frozenset()) -> object:
    for life in unit.lives:
        questions.learn(life.questions)
    return variables.used_by(unit, running, named)


def test_known_programs_use_what_they_ask_for_and_what_scripts_name(unit):
    asked = unit(CC, ASKED, at(log.VARIABLE, "LPATH"), at(log.VARIABLE, "VELO_ARENA"))

    assert used(asked, "gcc", "sh", named=frozenset({b"X"})) == (b"CPATH", b"LPATH", b"X")


@pytest.mark.parametrize(
    ("running", "records"),
    [
        ("rustc", ()),  # macros
        ("tsc", ()),
        ("ccache", ()),
        ("make", ()),
        ("/w/build/gen", ()),
        ("gcc", (at(log.VARIABLE, ""),)),  # more names than a start could keep
        ("gcc", (at(log.OBJECT, "/w/build/plugin.so"),)),
        ("gcc", (Said(log.ENVIRONMENT, b"A=1\0", log.VARIABLES_CUT),)),
        ("gcc", tuple(at(log.VARIABLE, f"N{number}") for number in range(600))),
    ],
)
def test_all_variables_count_where_a_program_may_look_at_all(unit, running, records):
    assert used(unit(CC, ASKED, *records), running) is None


def test_objects_that_came_with_a_program_or_the_system_are_no_plugins(unit):
    mine = unit(program("/opt/llvm/bin/clang"), at(log.OBJECT, "/opt/llvm/lib/libLLVM.so"),
                at(log.OBJECT, "/lib/x86_64-linux-gnu/libm.so.6"), ASKED)  # fmt: skip

    assert used(mine, "clang") == (b"CPATH",)


def test_the_terminal_counts_when_something_was_said(unit):
    term = at(log.VARIABLE, "TERM")

    assert used(unit(CC, term), "gcc") == ()
    assert used(unit(CC, term, Said(log.TEXT, b"warning", 2)), "gcc") == (b"TERM",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cc $CFLAGS -c ${SRC:-a.c} ${#DEFS}", {b"CFLAGS", b"SRC", b"DEFS"}),
        ("cd - && cc", {b"OLDPWD"}),
        ("grep 'x$' f", set()),
        # Any word may be one where some are named without a dollar.
        ("echo $((A + 1))", {*COMMAND, b"echo", b"A"}),
        ("echo ${list[A]}", {*COMMAND, b"echo", b"list", b"A"}),
        ("echo ${text:A}", {*COMMAND, b"echo", b"text", b"A"}),
        ("[ -v B ]", {*COMMAND, b"v", b"B"}),
        ("C+=x", {*COMMAND, b"C", b"x"}),
        ("eval x=\\$$n", None),
        ("eval '$'$n", None),
        ("echo ${!n}", None),
        ("typeset -n n=X", None),
    ],
)
def test_names_in_a_script(unit, text, names):
    assert scripts.probe(unit(SH, told("sh", "-c", text))).uses == names


def test_scripts_that_are_installed_name_variables_too(unit, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "SYSTEM", ("/usr/", f"{tmp_path}/"))
    (tmp_path / "tool").write_text("echo $RANDOM ${MODE}\n")

    found = scripts.probe(unit(SH, at(log.READ, f"{tmp_path}/tool")))

    assert found == scripts.Found(uses=frozenset({b"RANDOM", b"MODE"}))


def test_data_that_awk_reads_is_no_script(unit, tmp_path):
    (tmp_path / "data").write_text("export -p $HOME\n")
    run = program("/usr/bin/mawk"), at(log.READ, f"{tmp_path}/data")

    assert scripts.probe(unit(*run)) == scripts.Found()


def test_the_digest_has_named_variables_in_order_and_no_path_of_the_workspace(unit):
    ignored = Said(log.ENVIRONMENT, b"SSH_TTY=t\0OLDPWD=/w\0", log.VARIABLES_IGNORED)
    mine = unit(environment(Z="1", B="/w/x:/wx", A="0", MAKEFLAGS="/w "), ignored)
    mark = variables.MARK

    digest = variables.digest_of(mine, (b"B", b"MAKEFLAGS", b"N", b"OLDPWD"), "/w")

    expected = b"B=%b/x:/wx\0MAKEFLAGS=/w \0OLDPWD=%b\0" % (mark, mark)
    assert digest == hashlib.sha256(expected).digest()
    assert variables.digest_of(mine, None, "/w") == mine.counted


@pytest.mark.parametrize("names", [None, (), (b"A",), (b"A", b"BC")])
def test_a_list_of_names_is_read_as_it_was_written(names):
    assert variables.unpacked(variables.packed(names)) == names
