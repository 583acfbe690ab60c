"""The manifest: durable rows, and no reason to fail when it is rubbish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from velo.interpose.core import DISK, NodeInfo
from velo.shards.errors import StoreFull, StoreUnusable
from velo.shards.flush import Recorder
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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a tmpfs")
def test_one_on_a_full_disk_is_refused_as_full(tmp_path):
    # sqlite says "disk I/O error" of the file that it maps, and nothing of space.
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small]).returncode:
        pytest.skip("may not mount here")
    try:
        Manifest(small / "0.sqlite").close()
        with pytest.raises(OSError, match="No space"), open(small / "all", "wb", 0) as file:
            while True:
                file.write(bytes(4096))

        with pytest.raises(StoreFull, match="0 bytes free"):
            Manifest(small / "0.sqlite").replace([], [ENTRY])
    finally:
        subprocess.run(["umount", small], check=True)


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


# ---- damage that shows later ---------------------------------------------------------------------


def grown(path):
    """A manifest of several pages, closed."""
    manifest = Manifest(path)
    manifest.replace([], [replace(ENTRY, path=b"/w/build/%d" % n) for n in range(2000)])
    manifest.close()
    return path


def torn(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def overwritten(path):
    whole = bytearray(path.read_bytes())
    whole[4096:-4096] = b"\xa5" * (len(whole) - 8192)
    path.write_bytes(whole)


def emptied(path):
    path.write_bytes(b"")


def replaced(path):
    import sqlite3

    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE entries (song TEXT)")
        other.execute("INSERT INTO entries VALUES ('x')")
    other.close()


def made_a_directory(path):
    path.unlink()
    path.mkdir()


def of_text(path):
    import sqlite3

    with sqlite3.connect(path) as other:
        other.execute("UPDATE entries SET path = 'text' WHERE path = x'2f772f6275696c642f30'")
    other.close()


DAMAGES = [torn, overwritten, emptied, replaced, made_a_directory, of_text]


class Tree:
    """What the recorder asks of a region: one file for each node."""

    def __init__(self, directory, count):
        self.paths = [directory / str(node) for node in range(count)]
        for path in self.paths:
            path.write_text("x")

    def path_of(self, node):
        return str(self.paths[node])

    def infos(self):
        return [
            NodeInfo(
                node=node,
                generation=1,
                home=0,
                state=DISK,
                links=1,
                dirty_disk=False,
                dirty_store=False,
                mode=0o100644,
                version=1,
                charged_bytes=0,
                size_bytes=1,
                mtime_ns=1,
                access_tick=0,
                digest=bytes(32),
            )
            for node in range(len(self.paths))
        ]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("when", ["before", "while it is open"])
def test_a_damaged_manifest_is_set_aside_written_anew_and_told_once(tmp_path, damage, when):
    # Given a manifest that somebody damages between two servers, or under a running one
    path = grown(tmp_path / "m" / "0.sqlite")
    (tmp_path / "tree").mkdir()
    tree = Tree(tmp_path / "tree", 3)
    recorder = Recorder(path)
    if when != "before":
        recorder.record(tree, tree.infos())
    damage(path)

    # when a flush records twice
    recorder.record(tree, tree.infos())
    recorder.record(tree, tree.infos())
    recorder.close()

    # then all is there, and whoever asks hears of it, once, with the path
    again = Manifest(path)
    assert again.paths() == {os.fsencode(each) for each in tree.paths}
    again.close()
    assert len(recorder.notices) <= 1
    if damage is not emptied and when == "before":
        assert str(path) in recorder.notices[0] and (tmp_path / "m" / "0.unreadable").exists()


def test_a_manifest_whose_directory_was_removed_is_written_anew(tmp_path):
    (tmp_path / "tree").mkdir()
    tree = Tree(tmp_path / "tree", 3)
    recorder = Recorder(tmp_path / "cache" / "m" / "0.sqlite")
    recorder.record(tree, tree.infos())
    shutil.rmtree(tmp_path / "cache")

    recorder.record(tree, tree.infos())
    recorder.close()

    again = Manifest(tmp_path / "cache" / "m" / "0.sqlite")
    assert len(again.paths()) == 3 and not recorder.notices
    again.close()


def test_a_size_that_a_wild_store_made_is_recorded_as_the_largest(tmp_path):
    (tmp_path / "tree").mkdir()
    tree = Tree(tmp_path / "tree", 1)
    recorder = Recorder(tmp_path / "0.sqlite")

    recorder.record(tree, [each._replace(size_bytes=2**64 - 1) for each in tree.infos()])
    recorder.close()

    again = Manifest(tmp_path / "0.sqlite")
    assert len(again.paths()) == 1
    again.close()
