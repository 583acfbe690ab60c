"""What strace sees of a step is in its log, or has a reason."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import complete, shared
from support.harness import SCRIPTS, tool


@pytest.fixture(scope="module")
def missing(tmp_path_factory, monkeypatch_module) -> dict[str, list[complete.Call]]:
    def make(file: Path) -> None:
        file.write_bytes(pickle.dumps(find_missing(monkeypatch_module)))

    return pickle.loads(shared.made_once(tmp_path_factory, "complete", make).read_bytes())


@contextmanager
def watched(monkeypatch_module) -> Iterator[tuple[Path, str]]:
    """An empty workspace, and velo's program."""
    monkeypatch_module.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(SCRIPTS)]))
    for program in ("strace", "ninja", "gcc"):
        tool(program)
    root = Path(tempfile.mkdtemp(prefix="velo-c-", dir="/var/tmp")).resolve()
    monkeypatch_module.setenv("VELO_RUNTIME_DIR", str(root / "run"))
    monkeypatch_module.setenv("VELO_CACHE_DIR", str(root / "cache"))
    monkeypatch_module.setenv("VELO_SHARDS", "2")
    (root / "w").mkdir()
    try:
        yield root / "w", str(Path(sys.executable).with_name("velo"))
    finally:
        shutil.rmtree(root)


def find_missing(monkeypatch_module) -> dict[str, list[complete.Call]]:
    with watched(monkeypatch_module) as (root, velo):
        return complete.missing(root, velo)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.long
@pytest.mark.parametrize("step", complete.STEPS)
def test_every_path_that_a_step_asks_for_is_in_its_log(missing, step):
    if step not in missing:
        pytest.skip(f"{step} needs {' '.join(complete.STEPS[step][0])}")

    assert not missing[step]


def test_what_adds_nothing_is_in_no_log(monkeypatch_module):
    """A file of which the directory is absent; and what a step asks that cannot be kept."""
    socket = "import socket; socket.socket()"
    with watched(monkeypatch_module) as (root, velo):
        workspace = complete.Workspace(root, velo)
        workspace.steps = {
            "absent": "for name in one two; do cat none/$name || true; done 2> build/said",
            "lost": f"cat a.c && {sys.executable} -c '{socket}' && cat b.c > build/copy",
        }
        (root / "b.c").write_text("")
        (root / "build").mkdir()
        try:
            found = workspace.hosted("on")
        finally:
            workspace.stop()

    said = {name: {each.removeprefix(f"{root}/") for each in paths if str(root) in each}
            for name, paths in found.items()}  # fmt: skip
    assert said["absent"] >= {"none", "none/", "build/said"}
    assert not said["absent"] & {"none/one", "none/two"}
    assert said["lost"] >= {"a.c", "build/copy"} and "b.c" not in said["lost"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('7 openat(AT_FDCWD</w>, "a.h", O_RDONLY) = 3</w/a.h>', {("openat", "/w/a.h")}),
        ('7 access("a.h", R_OK) = -1 ENOENT', {("access", "/w/a.h")}),
        ('7 rename("a", "b") = 0', {("rename", "/w/a"), ("rename", "/w/b")}),
        ('7 chdir("x") = 0\n7 stat("../b", {}) = 0', {("chdir", "/w/x"), ("stat", "/w/x/../b")}),
        ('7 newfstatat(3</w/a.h>, "", {st_mode}, AT_EMPTY_PATH) = 0', set()),
        ("7 +++ exited with 0 +++", set()),
    ],
)
def test_paths_of_calls_are_told_from_the_root_on(line, found):
    assert complete.paths_of(line, "/w") == found
