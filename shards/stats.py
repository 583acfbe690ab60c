"""What one shard did and what bothers it: the shard's part of `velo status`.

In: counts from the verbs and the background work, errors as they happen. Out: one JSON object.
Never: a reason to fail; every number here can be lost with its process. [pure]
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from .errors import VeloError


@dataclass(slots=True)
class Counters:
    """Totals since this process started. Plain stores of one thread each, read by any."""

    space_requests: int = 0
    space_refused: int = 0
    evicted_files: int = 0
    evicted_bytes: int = 0
    loaded_files: int = 0
    flushes: int = 0
    stored_files: int = 0
    changed_while_stored: int = 0
    mostly_hole_files: int = 0  # at the last flush: on disk only, see cas.MostlyHole
    writeback_files: int = 0
    writeback_bytes: int = 0
    freed_files: int = 0
    swept_files: int = 0


@dataclass(slots=True)
class Trouble:
    """The last thing that background work could not do, until it can again."""

    error: VeloError | None = None
    since: float = 0.0  # seconds since 1970
    times: int = 0

    def happened(self, error: VeloError) -> None:
        """Remember `error`, and since when there is trouble."""
        if self.error is None:
            self.since, self.times = time.time(), 0
        self.error = error
        self.times += 1

    def is_over(self) -> None:
        """The same work succeeded."""
        self.error, self.times = None, 0

    def as_json(self) -> dict[str, Any] | None:
        """None, or code, message (it says what to do), since and times."""
        if self.error is None:
            return None
        return {
            "code": self.error.code,
            "message": str(self.error),
            "since": round(self.since, 3),
            "times": self.times,
        }


def as_json(*, index: int, pid: int, counters: Counters, **rest: Any) -> dict[str, Any]:
    """The object that answers STATUS."""
    return {"index": index, "pid": pid, **asdict(counters), **rest}
