"""Small files of the store that hold JSON: whole, or as they were.

In: a path. Out: what it holds. Never: what another user owns, or a failure over what is damaged.
[touches disk]
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from velo.shards import plain


def read(path: Path) -> dict[str, Any] | None:
    """None: it is missing, damaged, or another user's."""
    try:
        with plain.opened(path) as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            found = json.loads(file.readall())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, what: dict[str, Any]) -> None:
    """Replace it.

    Raises:
        OSError: the disk refused; it is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w") as file:
            file.write(json.dumps(what))  # which is in C, as json.dump is not
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
