"""Small files of the store that hold JSON: whole, or as they were.

In: a path. Out: what it holds. Never: what another user owns, or a failure over what is damaged.
[touches disk]
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from velo.shards import plain

if TYPE_CHECKING:
    from pathlib import Path


def read(path: str | Path) -> dict[str, Any] | None:
    """None: it is missing, damaged, or another user's."""
    try:
        with plain.opened(path) as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            found = json.loads(file.readall())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write(path: str | Path, what: dict[str, Any]) -> None:
    """Replace it.

    Raises:
        OSError: the disk refused; it is as it was.
    """
    plain.write(path, json.dumps(what).encode())  # which is in C, as json.dump is not
