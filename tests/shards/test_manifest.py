"""The manifest: durable rows, and no reason to fail when it is rubbish."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from velo.shards.errors import StoreUnusable
from velo.shards.manifest import Entry, Manifest

ENTRY = Entry(b"/w/build/a.o", "file", 0o100644, 1, 2, 3, 4, bytes(32), None, 5, 6, 7, 8)


def test_what_was_recorded_is_there_after_reopening(tmp_path):
    manifest = Manifest(tmp_path / "deep" / "0.sqlite")
    manifest.replace([], [ENTRY])
    manifest.close()

    again = Manifest(tmp_path / "deep" / "0.sqlite")

    assert again.entry(ENTRY.path) == ENTRY and again.paths() == {ENTRY.path}
    again.close()


def test_replace_forgets_and_records_in_one_step(tmp_path):
    manifest = Manifest(tmp_path / "0.sqlite")
    manifest.replace([], [ENTRY, replace(ENTRY, path=b"/w/build/gone")])

    manifest.replace([b"/w/build/gone"], [replace(ENTRY, mtime_ns=99)])

    assert manifest.paths() == {ENTRY.path}
    assert manifest.entry(ENTRY.path).mtime_ns == 99
    manifest.close()


def test_names_that_are_not_utf8_are_kept_as_they_are(tmp_path):
    manifest = Manifest(tmp_path / "0.sqlite")

    manifest.replace([], [replace(ENTRY, path=b"/w/build/\xff\xfe")])

    assert manifest.paths() == {b"/w/build/\xff\xfe"}
    manifest.close()


@pytest.mark.parametrize("rubbish", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_an_unreadable_manifest_is_set_aside(tmp_path, rubbish):
    (tmp_path / "0.sqlite").write_bytes(rubbish)

    manifest = Manifest(tmp_path / "0.sqlite")
    manifest.replace([], [ENTRY])

    assert manifest.paths() == {ENTRY.path}
    assert (tmp_path / "0.unreadable").read_bytes() == rubbish
    manifest.close()


def test_a_writer_killed_before_the_commit_changes_nothing(tmp_path):
    manifest = Manifest(tmp_path / "0.sqlite")
    manifest.replace([], [ENTRY])
    manifest.close()
    code = (
        "import os,signal,sys; from pathlib import Path\n"
        "from velo.shards.manifest import Manifest\n"
        "def die(): os.kill(os.getpid(), signal.SIGKILL); yield\n"
        f"Manifest(Path(sys.argv[1])).replace([{ENTRY.path!r}], die())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "0.sqlite")])
    assert done.returncode == -9

    again = Manifest(tmp_path / "0.sqlite")

    assert again.paths() == {ENTRY.path}
    again.close()


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnusable, match="file"):
        Manifest(tmp_path / "file" / "0.sqlite")
