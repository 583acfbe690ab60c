"""What every row of the matrix gets: a bench to run on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.harness import Velo
from support.matrix import Bench

# Where rustup, if that is what `cargo` is, keeps the toolchains: taken before HOME is moved away.
RUSTUP_HOME = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")


@pytest.fixture
def bench(
    velo: Velo,
    workspace: Callable[..., Path],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> Bench:
    """A workspace, a velo, and the table that the row's line goes to."""
    if RUSTUP_HOME.exists():
        monkeypatch.setenv("RUSTUP_HOME", str(RUSTUP_HOME))
    again = ("on", "verify") if pytestconfig.getoption("--matrix-replayed") else ()
    return Bench(velo, workspace(), record_property, again)
