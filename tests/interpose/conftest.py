"""Drivers of the ZMTP client, compiled once for each module, and a home for sockets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.shared import made_once
from support.zmtp_peers import SANITIZE, Driver, compile_driver


@pytest.fixture(scope="module")
def checked_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "zmtp-checked", lambda to: compile_driver(to, *SANITIZE))


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ("-O2", "-Wl,-z,now")
    return made_once(tmp_path_factory, "zmtp-plain", lambda to: compile_driver(to, *options))


@pytest.fixture(scope="module")
def driver(checked_program: Path) -> Iterator[Driver]:
    driver = Driver(checked_program, "ask")
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def codec(checked_program: Path) -> Iterator[Driver]:
    driver = Driver(checked_program, "feed")
    yield driver
    driver.close()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name, for sockets; whoever makes one also removes it."""
    with tempfile.TemporaryDirectory(prefix="velo-zmtp-") as name:
        yield Path(name)
        assert os.listdir(name) == []
