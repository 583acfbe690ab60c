"""The core's C tests under pytest: each program of tests/core, plain and under sanitizers.

In: interpose/Makefile, which knows how to build them. Out: one test per program and sanitizer.
Each runs in a process of its own with a limit; what it prints is shown when it fails, and nothing
may be left in /dev/shm or in the temporary directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import shared

HERE = Path(__file__).parent
MAKEFILE = HERE.parent.parent / "interpose" / "Makefile"
PROGRAM_TIMEOUT_S = 900  # not about speed: beside other work the longest took 150, alone 70
SANITIZERS = {
    "plain": "",
    "asan": "-fsanitize=address,undefined -fno-sanitize-recover=all",
    "tsan": "-fsanitize=thread -Wno-tsan",
}
# The same choice as in the Makefile: tsan sees one process only, and thousands of forks under asan
# take minutes.
UNDER_ASAN = ("names", "open", "whole", "cycle", "random", "race", "direct")
PROGRAMS = [
    *(("plain", source.stem) for source in sorted(HERE.glob("test_*.c"))),
    *(("asan", f"test_{name}") for name in UNDER_ASAN),
    ("tsan", "test_threads"),
]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Builds a program with a sanitizer once per run: `built("asan", "test_names")`."""

    def build(kind: str, name: str) -> Path:
        with shared.held(tmp_path_factory, f"core-{kind}") as directory:
            program = directory / kind / name
            made = subprocess.run(
                [
                    *("make", "-s", "-j2", "-f", str(MAKEFILE), str(program)),
                    *(f"build={directory}", f"kind={kind}", f"sanitizer={SANITIZERS[kind]}"),
                ],
                capture_output=True,
                text=True,
                timeout=PROGRAM_TIMEOUT_S,
            )
        assert made.returncode == 0, made.stderr
        return program

    return build


def left_behind(pid: int, temporary: Path) -> list[Path]:
    return [
        path
        for directory in (Path("/dev/shm"), temporary)
        for path in directory.glob(f"velo-test-{pid}-*")
    ]


@pytest.mark.parametrize(("kind", "name"), PROGRAMS, ids=lambda value: str(value))
def test_the_program_finds_nothing_and_leaves_nothing(
    built: Callable[[str, str], Path], kind: str, name: str
) -> None:
    program = built(kind, name)
    # Not the test's own directory: its name would make paths as long as the kernel allows.
    temporary = Path("/tmp")
    environment = os.environ | {"TMPDIR": str(temporary), "TSAN_OPTIONS": "halt_on_error=1"}

    with subprocess.Popen(
        [program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            output, _ = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output = f"{process.communicate()[0]}\nno end after {PROGRAM_TIMEOUT_S} s"
    left = left_behind(process.pid, temporary)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)

    assert process.returncode == 0, output
    assert not left
