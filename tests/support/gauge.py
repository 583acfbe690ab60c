"""How much memory the files of an arena really take, sampled.

In: a runtime root. Out: the highest sum that was seen. Never: what files say of themselves; holes
and pages given back do not count.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from .harness import POLL_S

MIB = 1 << 20
# A page or two per file and directory of the arena itself.
SLACK_BYTES = MIB


class Gauge(threading.Thread):
    """Samples what the files of an arena really take in tmpfs, until stopped."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.highest_bytes = 0
        self.sample_count = 0
        self._root = root
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(POLL_S):
            self.highest_bytes = max(self.highest_bytes, self._now())
            self.sample_count += 1

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _now(self) -> int:
        return sum(_blocks_bytes(path) for path in self._root.glob("*/i/*"))


def _blocks_bytes(path: Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0  # it left memory meanwhile
