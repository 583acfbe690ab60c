"""Small C programs for what no shell can say: each runs in a plain directory and in a hosted one,
at the same path, and must print the same, end the same and leave the same tree.

In: programs/*.c, each with a head that says what it observes; compiled outside, run in `build/` of
a fresh workspace, where `old/` holds three files from before velo came. Out: what it prints, its
exit status, and the tree.
"""

from __future__ import annotations

import difflib
import shutil
import subprocess
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.snapshot import Snapshot

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.c"))
TIMEOUT_S = 300


def prepare(place: Path) -> Path:
    for name in ("build", "src"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
    old = place / "build/old"
    old.mkdir()
    for name in ("a", "b", "c"):
        (old / name).write_text(f"file {name}\nsecond line\n")
    return place / "build"


def outcome(result: subprocess.CompletedProcess[str]) -> list[str]:
    lines = (result.stdout + result.stderr).splitlines()
    return [*lines, f"exit status {result.returncode}"]


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda source: source.stem)
def test_a_program_cannot_tell_a_hosted_directory_from_a_plain_one(
    velo: Velo, workspace, tmp_path: Path, source: Path
) -> None:
    program = tmp_path / source.stem
    flags = ["-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-I", str(source.parent)]
    subprocess.run([tool("gcc"), *flags, "-o", program, source, "-lpthread"], check=True)
    place = workspace()
    native = run_native(str(program), cwd=prepare(place), timeout_s=TIMEOUT_S, check=False)
    expected = Snapshot.of(place / "build")

    hosted = velo.exec(str(program), cwd=prepare(place), timeout_s=TIMEOUT_S, check=False)

    assert native.returncode == 0, outcome(native)
    found = difflib.unified_diff(outcome(native), outcome(hosted), "native", "hosted", lineterm="")
    assert not (difference := "\n".join(found)), difference
    assert Snapshot.of(place / "build").differences(expected) == []
