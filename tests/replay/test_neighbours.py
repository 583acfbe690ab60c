"""What is bad around a cache of steps: a store that was damaged, is full, or cannot be written.

Each time the step simply runs, and what it makes is what a native clean build makes. The steps of
the project are such as go wrong when they run after half of an answer: they look whether something
is there, and make what must not be there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support import rounds
from support.harness import tool

LONG = "".join(f"line {number} of a file that no index takes in\n" for number in range(300))
# Output, command; each leaves something short before something long.
STEPS = (
    ("if.big", "if [ -e build/flag ]; then echo again > build/if; else echo first > build/if; fi;"
               " echo > build/flag; cat big in1 in1 > build/if.big"),
    ("made.big", "mkdir build/made && cat in1 > build/made/a && cat big in1 > build/made.big"),
    ("link.big", "ln -s ../in1 build/link && cat in1 big big > build/link.big"),
    ("moved.big", "cat in1 > build/m && mv build/m build/moved"
                  " && cat in1 in1 big > build/moved.big"),
    ("old.big", "rm -rf build/old; mkdir build/old && cat in2 > build/old/a"
                " && cat big in2 in2 > build/old.big"),
    ("two.b", "cat in1 big in2 > build/two.a; cat in2 big in1 > build/two.b"),
    ("short", "cat in1 > build/short"),
)  # fmt: skip


class Project(rounds.Project):
    """The workspace, its store, and builds of both kinds."""

    def __init__(self, root: Path, *, store: Path | None = None) -> None:
        super().__init__(root / "project", "gcc-ninja", 1)
        self.velo = str(Path(sys.executable).with_name("velo"))
        self.store, self.run_directory = store or root / "store", root / "run"
        lines = ["rule step\n  command = $cmd\n"]
        lines += [f"build build/{out}: step in1 in2 big\n  cmd = {cmd}\n" for out, cmd in STEPS]
        (self.root / "build.ninja").write_text("".join(lines))
        for name, text in {"in1": "one\n", "in2": "two\n", "big": LONG}.items():
            (self.root / name).write_text(text)
        self.settings = {
            "VELO_RUNTIME_DIR": str(self.run_directory),
            "VELO_CACHE_DIR": str(root / "cache"),
            "VELO_CAS_DIR": str(self.store),
            "VELO_REPLAY": "on",
        }

    def build(self, *targets: str) -> subprocess.CompletedProcess[str]:
        rounds.settle()
        words = ("ninja", "-j2", *targets)
        return self.run(self.velo, "exec", "--quiet", "--", *words, **self.settings)

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.velo, *words, **self.settings)

    def report(self) -> dict[str, Any]:
        last: dict[str, Any] = json.loads(self.say("stats", "--json").stdout)["last"]
        return last

    def blobs(self) -> list[Path]:
        return sorted(path for path in (self.store / "replay/blobs").rglob("*") if path.is_file())

    def image(self) -> Path:
        return next(iter((self.store / "replay").glob("*.index")))

    def left(self) -> list[str]:
        """What is in the arena for replay, but for what always is."""
        there = self.run_directory.glob("*/r/*")
        return sorted(path.name for path in there if path.name not in ("index", "lock", "ready"))

    def assert_right(self) -> None:
        """Build from nothing, through velo and then natively: the same."""
        self.clean()
        hosted = self.build()
        ours = self.snapshot()
        self.clean()
        native = self.run("ninja")
        differ = rounds.differences(ours, self.snapshot())
        assert (hosted.returncode, differ) == (native.returncode, []), hosted.stdout + hosted.stderr


@pytest.fixture
def project() -> Iterator[Project]:
    tool("ninja")
    with tempfile.TemporaryDirectory(prefix="velo-n-") as directory:
        made = Project(Path(directory))
        try:
            yield made
        finally:
            made.say("stop")


Damage = Callable[[Path], object]


def change(place: Callable[[bytes], bytes]) -> Damage:
    return lambda path: path.write_bytes(place(path.read_bytes()))


def replace(make: Callable[[Path], object]) -> Damage:
    def do(path: Path) -> None:
        path.rename(path.with_name(path.name + ".away"))
        make(path)

    return do


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": change(lambda data: b""),
    "cut": change(lambda data: data[:4096]),
    "longer": change(lambda data: data + b"x"),
    "flipped at its start": change(lambda data: bytes([data[0] ^ 1]) + data[1:]),
    "flipped at its end": change(lambda data: data[:-1] + bytes([data[-1] ^ 0x80])),
    "a symlink": replace(lambda path: path.symlink_to(path.name + ".away")),
    "a directory": replace(Path.mkdir),
    "a fifo": replace(os.mkfifo),
}


QUICK = ("missing", "flipped at its end")


@pytest.mark.parametrize(
    "damage",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in DAMAGES],
)
def test_a_blob_that_is_not_what_it_was_is_as_if_there_were_no_entry(project, damage):
    project.assert_right()
    for blob in project.blobs():
        DAMAGES[damage](blob)

    project.assert_right()

    assert project.report()["replayed"] == 1  # the one that needs no blob
    project.assert_right()
    assert project.report()["replayed"] == len(STEPS)  # the others were kept again


IMAGES: dict[str, Damage] = {
    **{f"cut at {at // 1024} KB": (lambda path, at=at: os.truncate(path, at))
       for at in range(0, 80 << 10, 16 << 10)},
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "a symlink": replace(lambda path: path.symlink_to(path.name + ".away")),
    "a fifo": replace(os.mkfifo),
    "a directory": replace(Path.mkdir),
    "another user's": lambda path: os.chown(path, 12345, 12345),
}  # fmt: skip


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.long
@pytest.mark.parametrize("damage", IMAGES)
def test_an_image_that_is_not_what_it_was_answers_nothing(project, damage):
    project.assert_right()
    project.say("stop")
    try:
        IMAGES[damage](project.image())
    except OSError:
        pytest.skip("only root with several users can give a file away")

    project.assert_right()

    assert project.report()["replayed"] == 0
    project.say("stop")
    project.assert_right()
    kept = damage not in ("a directory",)  # which nobody replaces
    assert project.report()["replayed"] == (len(STEPS) if kept else 0)


@pytest.mark.long
@pytest.mark.parametrize("words", [("replay", "clear"), ("gc", "--max-size", "0")])
def test_what_is_removed_under_a_build_is_built(project, words):
    project.assert_right()
    for _ in range(4):
        project.clean()
        rounds.settle()
        with subprocess.Popen(
            [project.velo, "exec", "--quiet", "--", "ninja", "-j1"],
            cwd=project.root, env=project.environment | project.settings,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as building:  # fmt: skip
            while building.poll() is None:
                project.say(*words)
            assert building.returncode == 0, building.stderr
        ours = project.snapshot()
        project.clean()
        project.run("ninja")
        assert rounds.differences(ours, project.snapshot()) == []
    project.assert_right()


@pytest.mark.long
def test_two_workspaces_and_their_builds_share_a_store(project):
    other = Project(project.root.parent / "o", store=project.store)
    try:
        for number in range(3):
            (project.root / "in1").write_text(f"{number}\n")
            (other.root / "in1").write_text(f"{number}\n")
            with ThreadPoolExecutor(2) as both:
                list(both.map(Project.assert_right, (project, other)))
        with ThreadPoolExecutor(2) as both:
            list(both.map(Project.assert_right, (project, other)))
        for each in (project, other):
            assert each.report()["replayed"] == len(STEPS)
            assert each.say("replay", "verify").returncode == 0
    finally:
        other.say("stop")


@pytest.mark.long
def test_two_builds_at_once_in_one_workspace(project):
    halves = [[f"build/{out}" for out, _ in STEPS][start::2] for start in (0, 1)]
    for _ in range(3):
        project.clean()
        rounds.settle()
        with ThreadPoolExecutor(2) as both:
            done = list(both.map(lambda half: project.build(*half), halves))
        assert [each.returncode for each in done] == [0, 0], done
        ours = project.snapshot()
        project.clean()
        project.run("ninja")
        assert rounds.differences(ours, project.snapshot()) == []
    assert project.say("replay", "verify").returncode == 0
    assert project.left() == []


STORES = {
    "full": "mount -t tmpfs -o size=1m tmpfs {store}; mkdir {store}/sha256;"
    " dd if=/dev/zero of={store}/fill bs=4k 2>/dev/null; rm -rf {store}/sha256; ",
    "small": "mount -t tmpfs -o size=120k tmpfs {store}; ",
    "not to be written": "mount -o bind,ro {store} {store}; ",
}


@pytest.mark.long
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("before", [False, True], ids=["first", "again"])
def test_a_store_that_takes_nothing_keeps_nothing_and_hurts_nobody(project, kind, before):
    tool("unshare")
    if before:
        project.assert_right()
        project.say("stop")
    project.store.mkdir(exist_ok=True)
    builds = f"{project.velo} exec --quiet -- ninja -j2 && cp -a build ../built"
    script = STORES[kind].format(store=project.store) + f"{builds}; {project.velo} stop; true"
    project.clean()
    rounds.settle()

    hosted = project.run("unshare", "-m", "sh", "-c", script, **project.settings)

    if "unshare" in hosted.stderr or "mount:" in hosted.stderr:
        pytest.skip("needs a namespace to mount in")
    built = project.root.parent / "built"
    assert built.is_dir(), hosted
    shutil.rmtree(project.root / "build", ignore_errors=True)
    built.rename(project.root / "build")
    ours = project.snapshot()
    project.clean()
    project.run("ninja")
    assert rounds.differences(ours, project.snapshot()) == []
