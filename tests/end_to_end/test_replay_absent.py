"""A header that appears between two steps of one build is seen by the second.

In: two files that include a header, of which the first directory on the path has none; a step
between them, that makes it appear. Out: the first is replayed, the second is run and includes it.
The same of a library that the loader finds earlier on its path.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.harness import run_native, tool
from support.replayed import TOML

SETTLED_S = 0.1  # a directory changed within 20 ms before it is asked for proves nothing
NINJA = """\
builddir = build
rule cc
  command = gcc -I{where}near -I{where}near/deep -Iinc -c $in -o $out
rule appear
  command = sh appear.sh && touch $out
build build/first.o: cc first.c
build build/appeared: appear build/first.o
build build/second.o: cc second.c | build/appeared
"""
FAR, NEAR = "#define ONE 1\n", "#define ONE 2\n"
WAYS = {
    "a file": ("mkdir near", "echo '#define ONE 2' > near/one.h"),
    "its directory": ("mkdir near", "mkdir near/deep; echo '#define ONE 2' > near/deep/one.h"),
    "all of its directories": (":", "mkdir -p near/deep; echo '#define ONE 2' > near/deep/one.h"),
    "a directory in the place of another": ("mkdir near", "mv near empty; mv full near"),
    "where a symlink leads": ("mkdir near; ln -s ../late.h near/one.h", "cp full/one.h late.h"),
    "a directory that a symlink leads to": ("mkdir void; ln -s void near", "ln -sfn full near"),
    "a symlink": ("mkdir near", "ln -s ../full/one.h near/one.h"),
    "a directory of headers": (
        "mkdir near", "mkdir near/sub; printf '#undef ONE\\n#define ONE 2\\n' > near/sub/two.h"
    ),
    "a directory that such a symlink leads to": (
        "mkdir near; ln -s ../late near/sub",
        "mkdir late; printf '#undef ONE\\n#define ONE 2\\n' > late/two.h",
    ),
}  # fmt: skip


def run(velo, root: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """Outcomes of the steps, by what they make."""
    while time.time() < max(each.lstat().st_ctime for each in root.iterdir()) + SETTLED_S:
        time.sleep(SETTLED_S / 10)
    velo.exec(tool("ninja"), cwd=root, env=env or {})
    steps = json.loads(velo.run("explain", "--json", cwd=root).stdout)["steps"]
    return {Path(name).name: step["outcome"] for step in steps for name in step["makes"]}


HOSTED = (
    "a file", "all of its directories", "a directory in the place of another", "a symlink",
    "a directory of headers",
)  # fmt: skip
PLACES = [(way, "") for way in WAYS] + [(way, "build/") for way in HOSTED]


@pytest.mark.parametrize(("way", "where"), PLACES, ids=lambda word: word or "on disk")
def test_what_appears_between_two_steps_is_seen_by_the_second(way, where, workspace, velo):
    root = workspace(toml=TOML)
    before, appears = (f"cd ./{where} && {{ {each}; }}" for each in WAYS[way])
    tool("gcc")
    for name in ("build", "inc", "inc/sub", f"{where}full"):
        (root / name).mkdir()
    texts = {"inc/one.h": FAR, "inc/sub/two.h": "", f"{where}full/one.h": NEAR, "appear.sh": ":\n"}
    texts["build.ninja"] = NINJA.format(where=where)
    for name in ("first", "second"):
        texts[f"{name}.c"] = '#include "one.h"\n#include "sub/two.h"\nint one = ONE;\n'
    for name, text in texts.items():
        (root / name).write_text(text)
    run_native("sh", "-c", before, cwd=root)
    run(velo, root)
    assert "no work to do" in velo.exec(tool("ninja"), cwd=root).stdout
    run_native("ninja", "-t", "clean", cwd=root)
    (root / "appear.sh").write_text(f"{appears}\n")

    outcomes = run(velo, root)

    assert outcomes["first.o"] == "replayed" != outcomes["second.o"]  # run, or too young to cache
    near = (f"-I{where}near", f"-I{where}near/deep")
    run_native("gcc", *near, "-Iinc", "-c", "second.c", "-o", "as.o", cwd=root)
    assert (root / "build/second.o").read_bytes() == (root / "as.o").read_bytes()


LIBRARY_NINJA = """\
rule made
  command = ./gen > $out
build build/said: made
"""
GENERATOR = '#include <stdio.h>\nint number(void);\nint main(void) { printf("%d\\n", number()); }\n'


@pytest.mark.parametrize("way", ["a path in the program", "LD_LIBRARY_PATH"])
def test_a_library_that_appears_earlier_on_the_loaders_path_is_taken(way, workspace, velo):
    root = workspace(toml=TOML)
    for name in ("build", "near", "far"):
        (root / name).mkdir()
    (root / "gen.c").write_text(GENERATOR)
    (root / "build.ninja").write_text(LIBRARY_NINJA)
    library(root, "far", 1)
    tied = ("-Wl,-rpath,$ORIGIN/near:$ORIGIN/far",) if way.startswith("a path") else ()
    run_native("gcc", "gen.c", "-o", "gen", "-Lfar", "-lnumber", *tied, cwd=root)
    env = {} if tied else {"LD_LIBRARY_PATH": f"{root}/near:{root}/far"}
    assert run(velo, root, env) == {"said": "run"}
    (root / "build/said").unlink()
    assert run(velo, root, env) == {"said": "replayed"}
    library(root, "near", 2)
    (root / "build/said").unlink()

    outcome = run(velo, root, env)

    assert outcome == {"said": "run"} and (root / "build/said").read_text() == "2\n"


def library(root: Path, directory: str, number: int) -> None:
    (root / "number.c").write_text(f"int number(void) {{ return {number}; }}\n")
    out = f"{directory}/libnumber.so"
    run_native("gcc", "-shared", "-fPIC", "number.c", "-o", out, cwd=root)
