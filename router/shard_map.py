"""Which shard something belongs to.

A new file's home is chosen by the hash of its path at creation; the core does it and keeps the
answer in the node, so a rename never moves a file's home. Requests carry the home with them. The
router needs the function only to say where a path *would* live, and in which order to ask the other
shards when the home one has no room left. [pure]
"""

from __future__ import annotations

from collections.abc import Iterator

_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def path_hash(path: bytes) -> int:
    """`velo_hash(0, path)` of the core (tree.c), 32 bits; a test holds the two together."""
    value = _MIX ^ len(path)
    for start in range(0, len(path), 8):
        word = int.from_bytes(path[start : start + 8], "little")
        value = (value ^ word) * _MIX & _MASK
        value ^= value >> 29
    return (value * _MIX & _MASK) >> 32


def home_of(path: bytes, shard_count: int) -> int:
    """The shard that a file created at absolute `path` belongs to."""
    return path_hash(path) % shard_count


def others(home: int, shard_count: int) -> Iterator[int]:
    """Every shard but `home`, each once, nearest after it first."""
    for step in range(1, shard_count):
        yield (home + step) % shard_count
