"""What every row of the matrix gets: a bench to run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Velo
from matrix import Bench


@pytest.fixture
def bench(
    velo: Velo, workspace: Callable[..., Path], record_property: Callable[[str, object], None]
) -> Bench:
    """A workspace, a velo, and the table that the row's line goes to."""
    return Bench(velo, workspace(), record_property)
