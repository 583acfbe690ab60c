"""Which scripts in files make something of the time or of chance."""

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


def tells(unit, path: Path, text: str, asker=BASH) -> bool:
    path.write_text(text)
    return scripts.tell(unit(asker, at(log.READ, str(path))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo $EPOCHSECONDS", True),
        ("printf '%(%F)T' -1", True),
        ("echo $RANDOM", True),
        ("echo $((RANDOM % 6))", True),
        ("echo ${SRANDOM}", True),
        ("sleep 1; echo $SECONDS", True),
        ("awk 'BEGIN { print systime() }'", True),
        ("t=conf$$-$RANDOM; rm $t", False),
        ('tmp="${TMPDIR}-${RANDOM-0}$$"', False),
        ("t=conf$$ ; echo $RANDOM", True),
        ("string(RANDOM LENGTH 9 X)", True),
        ("RANDOMIZE=1; brand (x); printf '%s' (T)", False),
    ],
)
def test_what_a_script_makes_of_time_and_chance(unit, tmp_path, text, expected):
    assert tells(unit, tmp_path / "script", text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if [ a -nt b ]; then echo; fi", True),
        ("test a -ef b", True),
        ("cp -pu a b", True),
        ("cp --update a b", True),
        ('[ a "-nt" b ]', True),
        ("o=nt; [ a -$o b ]", True),
        ("diff -ur a b", True),
        ("[ -O a ]", True),
        ("if(a IS_NEWER_THAN b)", True),
        ("cmake -E tar cf t a", True),
        ('[ -n "$a" ] && [ "$a" = "$b" ] && test -f $c', False),
        ("diff old-copy new; TIMESTAMP=1", False),
        ("sort -u a; rm -rf b; read -r c; cp -p a b", False),
        ("echo well-known -not", False),
    ],
)
def test_whether_a_script_compares_files(unit, tmp_path, text, expected):
    (tmp_path / "script").write_text(text)

    assert scripts.compare(unit(BASH, at(log.READ, str(tmp_path / "script")))) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ar -r -c -U l.a a.o", True),
        ("ar rcU l.a a.o", True),
        ("$AR cru l.a a.o # ar of GNU systems", False),
        ("ar cr l.a a.o; U=1", False),
    ],
)
def test_whether_a_script_archives_times(unit, tmp_path, text, expected):
    (tmp_path / "script").write_text(text)

    assert scripts.archive_times(unit(BASH, at(log.READ, str(tmp_path / "script")))) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo $SSH_CONNECTION", True),
        ("set > all", True),
        ("a=1; export", True),
        ("set -e; export LC_ALL; (set -u)", False),
    ],
)
def test_whether_a_script_names_what_counts_for_nothing(unit, tmp_path, text, expected):
    (tmp_path / "script").write_text(text)

    assert scripts.name_variables(unit(BASH, at(log.READ, str(tmp_path / "script")))) is expected


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
    assert not tells(unit, tmp_path / "data.c", "srand(time(0));", AWK)
    assert tells(unit, tmp_path / "dice.awk", "BEGIN { srand() }", AWK)


def test_a_script_of_one_long_word_is_read_in_a_moment(unit, tmp_path):
    began = time.monotonic()

    assert not tells(unit, tmp_path / "packed", "$$((" * (1 << 20))

    assert time.monotonic() - began < FAST_S
