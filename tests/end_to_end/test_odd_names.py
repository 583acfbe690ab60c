"""Directories whose names are no words: a workspace, a runtime directory, a cache.

Names on Linux are bytes. Each word that velo says of itself, and each file that it keeps, has them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import Velo, sentence, tool

NAMES = {
    "space": b"with space",
    "newline": b"new\nline",
    "quotes": b"qu'o\"te",
    "percent": b"%s%n#;a&b|c",
    "unicode": "ünïcödé 日本 🙂".encode(),
    "no text": b"bad\xff\xfebytes",
    "as long as it can be": b"l" * 250,
}
ROOT_BYTES_MAX = 487  # of the path of a hosted directory (struct velo_root)
MAKEFILE = "build/a.o: a.c a.h\n\tgcc -c a.c -o build/a.o\n"


@pytest.fixture
def elsewhere(velo: Velo, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A runtime directory that has the name of the test's workspace; servers in it are ended."""
    name = os.fsdecode(NAMES[request.getfixturevalue("name")])
    directory = velo.root.with_name(velo.root.name + name[:24])
    yield directory
    for place in velo.workspaces:
        velo.run("stop", cwd=place, env={"VELO_RUNTIME_DIR": str(directory)}, check=False)
    velo.workspaces.clear()  # nothing of it runs
    left = directory.exists()
    shutil.rmtree(directory, ignore_errors=True)
    assert not left


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_of_any_name_is_hosted_replayed_and_told_of(
    velo: Velo, workspace, elsewhere: Path, name: str
) -> None:
    place: Path = workspace(os.fsdecode(NAMES[name]))
    env = {"VELO_RUNTIME_DIR": str(elsewhere), "VELO_CACHE_DIR": str(place / "cache")}
    for file, text in {"Makefile": MAKEFILE, "a.c": '#include "a.h"\n', "a.h": "int a;\n"}.items():
        (place / file).write_text(text)
        os.utime(place / file, (1_700_000_000, 1_700_000_000))
    (place / "build").mkdir()

    once = velo.exec(tool("make"), cwd=place, env=env)
    made = (place / "build/a.o").read_bytes()
    (place / "build/a.o").unlink()
    again = velo.exec(tool("make"), cwd=place, env=env)

    assert once.stderr == again.stderr == ""
    assert (place / "build/a.o").read_bytes() == made
    assert json.loads(velo.run("stats", "--json", cwd=place, env=env).stdout)["last"]["replayed"]
    status = json.loads(velo.run("status", "--json", cwd=place, env=env).stdout)
    assert status["workspace"] == str(place)
    assert sum(each["count"] for each in status["files"].values()) == 1
    for words in (("sync",), ("gc", "--dry-run"), ("replay", "verify"), ("explain", "--json")):
        velo.run(*words, cwd=place, env=env)
    refused = velo.run("serve", "--shards", "3", cwd=place, env=env, check=False)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert velo.run("stop", cwd=place, env=env).stderr == ""


@pytest.mark.parametrize("more", [0, 1])
def test_a_workspace_too_deep_to_host_in_says_so(velo: Velo, workspace, more: int) -> None:
    outermost: Path = workspace()
    room = ROOT_BYTES_MAX - len(str(outermost)) - len("/" + "/build") + more
    place = outermost / ("d" * (room // 2)) / ("d" * (room - room // 2 - 1))
    (place / "build").mkdir(parents=True)
    (outermost / "velo.toml").rename(place / "velo.toml")
    assert len(str(place / "build")) == ROOT_BYTES_MAX + more

    done = velo.exec("sh", "-c", "echo kept > build/file", cwd=place)

    assert (place / "build/file").read_text() == "kept\n"
    if more:
        assert "File name too long" in sentence(done)
    else:
        assert done.stderr == ""
        counted = json.loads(velo.run("status", "--json", cwd=place).stdout)
        assert sum(each["count"] for each in counted["files"].values()) == 1
