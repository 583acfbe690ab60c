"""What the workers of one run of pytest make once, whoever of them comes first.

In: pytest's factory of temporary directories, a name. Out: a directory, with nobody else at work
in it. Never: anything that is left from another run.

Compiling the core, or a driver under a sanitizer, takes seconds; with a worker for each core of the
machine it was done as often.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def held(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """The run's directory `name`; another worker that wants it waits until the block ends."""
    top = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent  # each worker has its own below the run's
    directory = top / f"shared-{name}"
    directory.mkdir(exist_ok=True)
    with open(directory / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object], file: str = "driver"
) -> Path:
    """`file` in the run's directory `name`, which `make` makes when it is not there."""
    with held(factory, name) as directory:
        program = directory / file
        if not program.exists():
            make(program)
        return program
