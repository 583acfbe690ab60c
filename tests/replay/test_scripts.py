"""What scripts in files make something of: time, chance, which file is newer, variables."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.unit_logs import Said, at, environment, program, step, told, write
from velo.shards.replay import programs, scripts
from velo.shards.replay import unit_log as log
from velo.shards.replay.variables import MACHINE

SED = program("/usr/bin/sed")
BASH, AWK = program("/usr/bin/bash"), program("/usr/bin/mawk")
FAST_S = 5.0  # a deadline: it takes milliseconds


@pytest.fixture
def unit(tmp_path: Path):
    """The log of a step with these records."""
    return lambda *records: log.read(str(write(tmp_path / "1-0.f", step("sh", "x"), *records)))


def found(unit, path: Path, text: str, asker=BASH) -> scripts.Found:
    path.write_text(text)
    return scripts.probe(unit(asker, at(log.READ, str(path))))


def known(unit: log.UnitLog) -> scripts.Found:
    """But for the variables that they name."""
    return scripts.probe(unit)._replace(uses=frozenset())


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
        ("tells", "if [ x ]; then time gcc -c a.c; fi", True),
        ("tells", "a; times", True),
        ("tells", "x='\\t'; echo ${x@P}", True),
        ("tells", "PS4='\\t '; set -x; a", True),
        ("tells", "PS4='+ $LINENO '; set -x; a \\t", False),
        ("tells", "echo time is up; { time = 3; } # times 3", False),
        ("tells", "times 3 db 0\nruntime a", False),
        ("tells", "RANDOMIZE=1; brand (x); printf '%s' (T)", False),
        ("compares", "if [ a -nt b ]; then echo; fi", True),
        ("compares", "test a -ef b", True),
        ("compares", "cp -pu a b", True),
        ("compares", "cp --update a b", True),
        ("compares", '[ a "-nt" b ]', True),
        ("compares", "o=nt; [ a -$o b ]", True),
        ("compares", "o=-nt; [ a $o b ]", True),
        ("compares", 'if test "$a" ${o} "$b"; then :; fi', True),
        ("compares", "gcc -o test a.o $L -lm; [ -f $a -a -f $b ]; test `expr $a : b` = 1", False),
        ("compares", "diff -ur a b", True),
        ("compares", "[ -O a ]", True),
        ("compares", "if(a IS_NEWER_THAN b)", True),
        ("compares", "cmake -E tar cf t a", True),
        ("compares", "cd b && cmake -E cmake_depends 'Unix Makefiles' s s b b", True),
        ("compares", "cmake -Ss -Bb --check-build-system CMakeFiles/Makefile.cmake 0", True),
        ("compares", "cmake -E cmake_link_script link.txt", False),
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
        ("variables", "file(WRITE f $ENV{${v}_CONNECTION})", True),
        ("variables", "message($ENV{HOME} ${v})", False),
        ("variables", "v=SSH; echo ${!v}; echo ${!all[@]}", True),
        ("variables", "a=1; export", True),
        ("variables", "if true; then\n    set | grep A\nfi", True),
        ("variables", "{ set; } > all; ! export; case a in a) set; esac", True),
        ("variables", "set 2> /dev/null", True),
        ("variables", "compgen -e", True),
        ("variables", "cmake -E environment", True),
        ("variables", "{ set -e; }; if set -- $a; then export A; fi  # set up", False),
        ("variables", "set -e; export LC_ALL; (set -u)", False),
    ],
)
def test_what_a_script_makes_something_of(unit, tmp_path, what, text, expected):
    assert getattr(found(unit, tmp_path / "script", text), what) is expected


@pytest.mark.parametrize("name", ["__DATE__", "__?TIME?__", "__UTC_DATE_NUM__", "__POSIX_TIME__"])
def test_an_assembler_tells_the_time_to_sources_that_name_it(unit, tmp_path, name):
    nasm = program("/usr/bin/nasm")

    assert found(unit, tmp_path / "a.asm", f"db {name}", nasm).tells
    assert not found(unit, tmp_path / "a.asm", "db __FILE__, UPDATE__", nasm).tells


def test_what_any_script_of_a_step_makes_something_of_counts(unit, tmp_path):
    (tmp_path / "one").write_text("echo $RANDOM")
    (tmp_path / "two").write_text("ar rcU l.a a.o")
    reads = [at(log.READ, str(tmp_path / name)) for name in ("one", "two")]

    assert known(unit(BASH, *reads)) == scripts.Found(tells=True, archives=True)
    assert known(unit(BASH)) == scripts.Found()


def test_scripts_of_packages_are_known_and_those_of_the_user_are_read(unit, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "SYSTEM", (f"{tmp_path}/",))
    monkeypatch.setattr(programs, "LOCAL", (f"{tmp_path}/local/",))
    (tmp_path / "local").mkdir()

    assert not found(unit, tmp_path / "script", "[ a -nt b ] && echo $RANDOM").tells
    own = found(unit, tmp_path / "local/script", "[ a -nt b ] && echo $RANDOM")
    assert own.tells
    assert own.compares


# ---- texts that are no files --------------------------------------------------------------------

PIPED = log.HAS_INPUT


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("compares", ("sh", "-c", "test a -nt b && echo newer")),
        ("compares", ("cp", "-u", "a", "b")),
        ("tells", ("bash", "-ec", "echo $RANDOM")),
        ("tells", ("awk", "BEGIN { srand(); print rand() }")),
        ("variables", ("sh", "-c", "echo $SSH_CONNECTION")),
        ("variables", ("sh", "-c", "set")),
    ],
)
def test_what_a_program_inside_of_a_step_is_told_counts(unit, what, words):
    there = unit(program(f"/usr/bin/{words[0]}"), told(*words))

    assert words[-1] in scripts.arguments(there)
    assert getattr(scripts.probe(there), what)
    harmless = unit(BASH, told("sh", "-c", "gcc -c a.c && mv a.o b.o"))
    assert known(harmless) == scripts.Found()


@pytest.mark.parametrize(
    ("records", "is_anything"),
    [
        ((BASH, told("bash", flags=PIPED)), True),
        ((BASH, told("sh", "-e", flags=PIPED)), True),
        ((BASH, told("bash", "-s", "a", flags=PIPED)), True),
        ((BASH, told("bash", "/dev/stdin")), True),
        ((BASH, told("sh", flags=log.CUT)), True),
        ((BASH, told("sh", "t.sh"), at(log.GONE, "/w/t.sh")), True),
        ((BASH, told("bash", "-c", 'eval "$(cat prog)"')), True),
        ((BASH, told("sh", "-c", "eval `sed s/X/R/ prog`")), True),
        ((BASH, told("sh", "-c", "$(cat prog) && echo yes")), True),
        ((AWK, told("awk", "-f", "-")), True),
        ((AWK, told("awk", "-f", "t.awk"), at(log.GONE, "/w/t.awk")), True),
        ((BASH, told("bash")), False),  # its input is /dev/null
        ((BASH, told("sh", "-c", "cat", flags=PIPED)), False),
        ((BASH, told("sh", "-o", "pipefail", "t.sh", flags=PIPED)), False),
        ((BASH, told("sh", "-c", 'gcc $(cat flags) -c a.c; echo "$X" | sed p > o')), False),
        ((BASH, told("sh", "-c", 'eval "$cmd"; eval ac_val=\\$$as_var')), False),
        ((AWK, told("awk", "-f", "subs.awk"), at(log.GONE, "/w/subs.awk")), False),
        ((AWK, told("awk", "-F:", "{ print $1 }", "f", flags=PIPED)), False),
    ],
)
def test_a_text_that_nobody_has_may_be_anything(unit, records, is_anything):
    wanted = scripts.ANYTHING if is_anything else scripts.Found()
    assert known(unit(*records)) == wanted._replace(uses=frozenset())


def test_a_part_of_itself_that_libtool_runs_is_known(unit, tmp_path):
    idiom = "eval \"`$SED -n -e '/^# ### BEGIN LIBTOOL TAG CONFIG: '$z'$/,/x/p' < $progpath`\""

    assert found(unit, tmp_path / "libtool", idiom)._replace(uses=frozenset()) == scripts.Found()


@pytest.mark.parametrize(
    ("prompt", "names", "tells"),
    [("\\h ", True, False), ("+ ", False, False), ("\\t ", False, True), ("'\\D{%s}", False, True)],
)
def test_a_prompt_that_a_shell_prints_as_it_traces_may_name_the_machine_or_the_time(
    unit, prompt, names, tells
):
    found = scripts.probe(unit(environment(PS4=prompt), BASH, told("bash", "-xc", "echo")))

    assert (MACHINE in (found.uses or ()), found.tells) == (names, tells)


def test_the_value_of_a_variable_counts_where_it_is_named_and_what_that_names(unit):
    values = environment(GEN="eval $MORE", MORE="test a -nt b", PS1="$RANDOM")

    assert scripts.probe(unit(values, BASH, told("sh", "-c", '"${GEN}"'))).compares
    assert known(unit(values, BASH, told("sh", "-c", "echo $GENERAL"))) == scripts.Found()


def test_what_eval_may_be_given_is_read_by_others(unit, tmp_path):
    (tmp_path / "prog").write_text("echo $RANDOM")
    read: tuple[Said, ...] = (SED, at(log.READ, str(tmp_path / "prog")))

    assert scripts.probe(unit(BASH, told("sh", "-c", 'x=$(sed p prog); eval "$x"'), *read)).tells
    assert not scripts.probe(unit(BASH, told("sh", "-c", "sed p prog"), *read)).tells


def test_of_what_a_fork_reads_variables_and_comparisons_count(unit, tmp_path):
    (tmp_path / "settings").write_text("echo $SSH_CONNECTION $RANDOM; [ a -nt b ]")
    read = at(log.READ, str(tmp_path / "settings"), process=7)

    assert known(unit(BASH, read)) == scripts.Found(
        compares=True, variables=True, tests=True, names=frozenset({"a", "b"})
    )


def test_an_awk_script_is_known_by_the_words_of_its_awk(unit, tmp_path):
    (tmp_path / "dice").write_text("BEGIN { srand() }")
    read = at(log.READ, str(tmp_path / "dice"))

    assert scripts.probe(unit(AWK, told("awk", "-f", "./dice", "in"), read)).tells


# ---- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[ a "-nt" b ]', True),
        ("is=-nt; [ a $is b ]", True),
        ("[ a -$o b ]", True),
        ("[ -O a ]", True),
        ("diff -Naur a b", True),
        ("cmake -E tar cf t a", True),
        ("cp -pu a b", True),
        ("/bin/mv -f -u a b", True),
        ("cp a b --update", True),
        ("touch -r a b", True),
        ("ld -r a.o -o b; gcc -r a.o; cp -r a b; rm -r b; grep -r x d", False),
        ("sort -u -r a; uniq -u a; echo -u; sed -r s/a/b/ c; xcp -u", False),
        ("cp a b && sort -u c; mv a b | uniq -u", False),
        ("patch < a.diff -p1; date -r a; ls -lt", False),  # the last two are strict anyway
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
    began = time.process_time()

    assert not found(unit, tmp_path / "packed", "$$((" * (1 << 20)).tells

    assert time.process_time() - began < FAST_S


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("if [ src/a -nt ../b.c ]; then", {"a", "b.c"}),
        ('test "a" -ot b || [ c -ef d ]', {"a", "b", "c", "d"}),
        ("[ a -nt $b ]", None),
        ("[ . -nt b ]", None),
        ("[ a -nt b/ ]", None),
        ("[ -O a ]", None),
        ("cp -u a b", set()),
    ],
)
def test_what_a_test_compares_is_known_where_its_names_stand_there(unit, text, names):
    assert scripts.probe(unit(BASH, told("sh", "-c", text))).names == names


def test_a_fifo_that_a_shell_read_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")

    assert scripts._what(str(tmp_path / "fifo")) == scripts._NO_TEXT
