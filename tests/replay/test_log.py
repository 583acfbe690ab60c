"""Logs of units, read: whole ones say what was written, torn ones are refused at every byte."""

from __future__ import annotations

import re

import pytest

from support import unit_logs
from support.unit_logs import at, data, hosted, program, step, told, write
from velo.shards.replay import programs
from velo.shards.replay import unit_log as log

RECORDS = (
    step("sh", "-c", "cc a.c"),
    at(log.READ, "/w/a.c"),
    at(log.RENAME, "/w/build/t", "/w/build/a.o", process=7),
    hosted("/w/build/a.o", log.OUTPUT, b"bytes"),
)


def test_what_was_written_is_read(tmp_path):
    unit = log.read(str(write(tmp_path / "1-0.f", *RECORDS, spoke=1, expected=5, alive=9)))

    assert unit.words == ("/bin/sh", "/w", ["sh", "-c", "cc a.c"])
    assert [record.kind for record in unit.records] == [each.kind for each in RECORDS]
    assert unit.records[1].path == "/w/a.c"
    assert unit.records[2].paths == ("/w/build/t", "/w/build/a.o")
    assert unit.records[2].process == 7
    path, why, what = log.hosted_of(unit.records[3])
    assert (path, why, what.size, what.kept) == ("/w/build/a.o", log.OUTPUT, 5, True)
    assert (unit.spoke, unit.expected, unit.alive, unit.took_ns) == (True, 4, 9, 50_000_000)
    assert unit.key == unit_logs.KEY


def test_a_log_without_an_entry_that_would_have_answered_expects_none(tmp_path):
    assert log.read(str(write(tmp_path / "u", step("true")))).expected == -1


def test_paths_are_bytes(tmp_path):
    odd = b"/w/\xff\xfe"
    path = write(tmp_path / "u", unit_logs.Said(log.READ, odd + b"\0"))

    (record,) = log.read(str(path)).records

    assert record.path.encode(errors="surrogateescape") == odd


def test_a_log_that_was_cut_is_torn_wherever_it_was(tmp_path):
    whole = data(*RECORDS)
    path = tmp_path / "u"
    padding = -(log.RECORD.size + len(RECORDS[-1].payload)) % 8
    for cut in range(len(whole) - padding):
        path.write_bytes(whole[:cut])
        with pytest.raises(log.Torn):
            log.read(str(path))


def test_a_record_that_a_killed_process_left_makes_the_log_torn(tmp_path):
    whole = bytearray(data(*RECORDS))
    whole[log.HEAD.size : log.HEAD.size + 4] = bytes(4)  # its size is stored last
    path = tmp_path / "u"
    path.write_bytes(whole)

    with pytest.raises(log.Torn):
        log.read(str(path))


def test_bytes_of_something_else_are_torn_and_no_traceback(tmp_path):
    path = tmp_path / "u"
    path.write_bytes(b"\xff" * 4096)

    with pytest.raises(log.Torn):
        log.read(str(path))


def test_each_reason_of_the_library_has_words():
    header = (unit_logs.Path(__file__).parents[2] / "interpose/preload/replay/log.h").read_text()
    body = header.partition("enum velo_taint {")[2].partition("/* What some programs may ask")[0]

    assert body.count("VELO_TAINT_") == len(log.TAINTS)
    assert all(log.TAINTS[1:])


def test_what_a_program_was_told_is_of_the_one_that_began_last(tmp_path):
    sh, awk = program("/bin/sh"), program("/usr/bin/awk")
    words = told("sh", "-c", "awk 1", cwd="/w/d"), told("awk", "1", flags=log.CUT | log.HAS_INPUT)

    first, second = log.read(str(write(tmp_path / "u", sh, words[0], awk, words[1]))).told

    assert (first.program.path, first.cwd) == ("/bin/sh", "/w/d")
    assert first.words == ("sh", "-c", "awk 1")
    assert (second.program.path, second.words) == ("/usr/bin/awk", ("awk", "1"))
    assert (first.whole, first.has_input) == (True, False)
    assert (second.whole, second.has_input) == (False, True)


@pytest.mark.parametrize("kind", [programs.SHELLS, programs.AWKS, programs.ARCHIVERS])
def test_the_library_writes_down_the_words_of_those_whose_text_counts(kind):
    source = (unit_logs.Path(__file__).parents[2] / "interpose/preload/replay/words.c").read_text()
    names = {"sh", "dash", "bash", "busybox", "awk", "mawk", "gawk", "ar", "ranlib"}

    assert {name for name in names if kind.fullmatch(name)} <= set(re.findall(r'"(\S+)"', source))
