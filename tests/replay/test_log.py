"""Logs of units, read: whole ones say what was written, torn ones are refused at every byte."""

from __future__ import annotations

import pytest

from support import unit_logs
from support.unit_logs import at, data, hosted, step, write
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
