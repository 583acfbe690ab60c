"""What scripts in files make something of: time, chance, which file is newer, variables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.unit_logs import at, program, step, write
from velo.shards.replay import programs, scripts
from velo.shards.replay import unit_log as log

BASH, AWK = program("/usr/bin/bash"), program("/usr/bin/mawk")
FAST_S = 5.0  # a deadline: it takes milliseconds


@pytest.fixture
def unit(tmp_path: Path):
    """The log of a step with these records."""
    return lambda *records: log.read(str(write(tmp_path / "1-0.f", step("sh", "x"), *records)))


def found(unit, path: Path, text: str, asker=BASH) -> scripts.Found:
    path.write_text(text)
    return scripts.probe(unit(asker, at(log.READ, str(path))))


@pytest.mark.parametrize(
    ("what", "text", "expected"),
    [
        ("tells", "echo $EPOCHSECONDS", True),
        ("tells", "printf '%(%F)T' -1", True),
        ("tells", "echo $RANDOM", True),
        ("tells", "echo $((RANDOM % 6))", True),
        ("tells", "echo ${SRANDOM}", True),
        ("tells", "sleep 1; echo $SECONDS", True),
        ("tells", "awk 'BEGIN { print systime() }'", True),
        ("tells", "t=conf$$-$RANDOM; rm $t", False),
        ("tells", 'tmp="${TMPDIR}-${RANDOM-0}$$"', False),
        ("tells", "t=conf$$ ; echo $RANDOM", True),
        ("tells", "string(RANDOM LENGTH 9 X)", True),
        ("tells", "RANDOMIZE=1; brand (x); printf '%s' (T)", False),
        ("compares", "if [ a -nt b ]; then echo; fi", True),
        ("compares", "test a -ef b", True),
        ("compares", "cp -pu a b", True),
        ("compares", "cp --update a b", True),
        ("compares", '[ a "-nt" b ]', True),
        ("compares", "o=nt; [ a -$o b ]", True),
        ("compares", "diff -ur a b", True),
        ("compares", "[ -O a ]", True),
        ("compares", "if(a IS_NEWER_THAN b)", True),
        ("compares", "cmake -E tar cf t a", True),
        ("compares", '[ -n "$a" ] && [ "$a" = "$b" ] && test -f $c', False),
        ("compares", "diff old-copy new; TIMESTAMP=1", False),
        ("compares", "sort -u a; rm -rf b; read -r c; cp -p a b", False),
        ("compares", "echo well-known -not", False),
        ("archives", "ar -r -c -U l.a a.o", True),
        ("archives", "ar rcU l.a a.o", True),
        ("archives", "$AR cru l.a a.o # ar of GNU systems", False),
        ("archives", "ar cr l.a a.o; U=1", False),
        ("variables", "echo $SSH_CONNECTION", True),
        ("variables", "set > all", True),
        ("variables", "a=1; export", True),
        ("variables", "set -e; export LC_ALL; (set -u)", False),
    ],
)
def test_what_a_script_makes_something_of(unit, tmp_path, what, text, expected):
    assert getattr(found(unit, tmp_path / "script", text), what) is expected


def test_what_any_script_of_a_step_makes_something_of_counts(unit, tmp_path):
    (tmp_path / "one").write_text("echo $RANDOM")
    (tmp_path / "two").write_text("ar rcU l.a a.o")
    reads = [at(log.READ, str(tmp_path / name)) for name in ("one", "two")]

    assert scripts.probe(unit(BASH, *reads)) == scripts.Found(tells=True, archives=True)
    assert scripts.probe(unit(BASH)) == scripts.Found()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[ a "-nt" b ]', True),
        ("[ a -$o b ]", True),
        ("[ -O a ]", True),
        ("diff -Naur a b", True),
        ("cmake -E tar cf t a", True),
        ('[ -n "$a" ] && test "$a" = "$b"', False),
        ("gcc -O2 -o test a.c", False),
        ("cmake -E copy a b", False),
    ],
)
def test_whether_a_command_asks_for_times(text, expected):
    assert (programs.ASKS_FOR_TIMES.search(text) is not None) is expected


def test_of_what_awk_reads_only_its_scripts_count(unit, tmp_path):
    assert not found(unit, tmp_path / "data.c", "srand(time(0));", AWK).tells
    assert found(unit, tmp_path / "dice.awk", "BEGIN { srand() }", AWK).tells


def test_a_script_of_one_long_word_is_read_in_a_moment(unit, tmp_path):
    began = time.monotonic()

    assert not found(unit, tmp_path / "packed", "$$((" * (1 << 20)).tells

    assert time.monotonic() - began < FAST_S
