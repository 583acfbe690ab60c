"""What is kept of one command: how many steps were replayed, run, or cannot be cached."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

SCHEMA = 1  # raised when a key gets another name or meaning
COUNTS = ("replayed", "run", "not_cached")


def empty() -> dict[str, Any]:
    """Of a command without steps."""
    return {
        "schema": SCHEMA,
        **dict.fromkeys(COUNTS, 0),
        "saved_s": 0.0,
        "differing": [],
        "steps": [],
    }


def head(command: Sequence[str], mode: str) -> dict[str, Any]:
    """What tells a command's report from others'; it ends now."""
    return {"command": list(command), "mode": mode, "at": int(time.time())}
