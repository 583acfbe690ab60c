"""Random edits, built through replay and natively from nothing; many more in the long tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from support import odd_steps, real_rounds, rounds
from support.sources import SourceUnavailable
from support.tools import TOOLS

CHAINS = ("gcc-ninja", "gcc-make", "clang-ninja", "clang-make")


def play(chain: str, seed: int, count: int, *, clones: bool = False) -> None:
    compiler, _, tool = chain.partition("-")
    for program in (compiler, tool):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: package {TOOLS[program]}")
    velo = Path(sys.executable).with_name("velo")
    # A name of pytest's own would make the sockets' paths longer than the kernel allows.
    with tempfile.TemporaryDirectory(prefix="velo-r-") as directory:
        replayed, run = rounds.play(
            str(velo), chain, seed, count, Path(directory), loud=True, clones=clones
        )
    assert replayed * (10 if clones else 4) > run, "a cache that never answers is never wrong"


@pytest.mark.parametrize("chain", CHAINS[:1])
def test_replayed_builds_are_what_native_builds_are(chain: str) -> None:
    play(chain, 1, 4)


@pytest.mark.long
@pytest.mark.parametrize("seed", (11,))
@pytest.mark.parametrize("chain", CHAINS)
def test_many_more_of_them(chain: str, seed: int) -> None:
    play(chain, seed, 4)


@pytest.mark.long
@pytest.mark.parametrize("chain", CHAINS)
def test_builds_in_clones_are_what_native_builds_are_there(chain: str) -> None:
    play(chain, 12, 6, clones=True)


@pytest.mark.long
@pytest.mark.parametrize("project", ["zlib", "jansson"])
def test_replayed_builds_of_real_projects_are_what_native_builds_are(project: str) -> None:
    for program in real_rounds.programs_of(project):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: package {TOOLS[program]}")
    velo = Path(sys.executable).with_name("velo")
    with tempfile.TemporaryDirectory(prefix="velo-r-") as directory:
        try:
            replayed, _ = real_rounds.play(str(velo), project, 2, 3, Path(directory), loud=True)
        except SourceUnavailable as error:
            pytest.skip(str(error))
    assert replayed > 0, "a cache that never answers is never wrong"


@pytest.mark.long
@pytest.mark.parametrize(
    ("builder", "unknown", "seed", "least"),
    [("ninja", 0, 1, 24), ("make", 0, 1, 24), ("make", 30, 23, 8)],
)
def test_odd_steps_end_as_they_do_natively(
    builder: str, unknown: int, seed: int, least: int
) -> None:
    for program in ("gcc", builder):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: package {TOOLS[program]}")
    velo = Path(sys.executable).with_name("velo")
    with tempfile.TemporaryDirectory(prefix="velo-r-") as directory:
        replayed = odd_steps.play(
            str(velo), seed, 12, Path(directory), loud=True, tool=builder, unknown=unknown
        )
    assert replayed > least, "a cache that never answers is never wrong"
