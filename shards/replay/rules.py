"""What a user's velo.toml says of programs and directories. [pure]"""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """What the user says of programs and directories."""

    blind: tuple[str, ...] = ()  # patterns of programs whose outputs hold no times
    caches: tuple[str, ...] = ()  # directories that speed programs up and change no result


NO_RULES = Rules()
