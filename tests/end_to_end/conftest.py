"""What tests of whole commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.harness import Velo
from support.replayed import TOML, Project


@pytest.fixture
def project(workspace: Callable[..., Path], velo: Velo) -> Callable[[str], Project]:
    return lambda builder: Project(workspace(toml=TOML), velo, builder)
