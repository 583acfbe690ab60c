"""C drivers of single files of the library: compiled with sanitizers, lines in, lines out.

In: a driver (*_driver.c) and the files that it drives. Out: one line for each line. Never: a driver
that is not waited for; it ends with its input.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parents[1] / "interpose"
PRELOAD = HERE.parents[1] / "interpose" / "preload"
STRICT = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIMIT_S = 120


def compiled(to: Path, driver: str, *files: str, flags: Iterable[str] = ()) -> Path:
    sources = [HERE / driver, *(PRELOAD / name for name in files)]
    command = ["cc", *STRICT, *SANITIZE, *flags, "-I", PRELOAD.parent, *sources, "-o", to]
    subprocess.run(command, check=True)
    return to


def answers(program: Path, *mode: str, lines: Iterable[str]) -> list[str]:
    """What the driver says to each of `lines`."""
    asked = list(lines)
    done = subprocess.run(
        [program, *mode],
        input="".join(f"{line}\n" for line in asked),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(asked)
    return said
