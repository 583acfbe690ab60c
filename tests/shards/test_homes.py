"""The shard that looks after a new file: the hash of its path at creation says it (node.c).

The core keeps the answer in the node, so a rename never moves a file's home.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from velo.interpose.core import Region

MIX = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
CREATE = (
    "mkdir -p build/deep; for i in $(seq 15); do echo > build/f$i; echo > build/deep/$i.o; done"
)


def home_of(path: bytes, shard_count: int) -> int:
    """What the core does (text.h: velo_text_hash), written once more."""
    value = MIX ^ len(path)
    for start in range(0, len(path), 8):
        word = int.from_bytes(path[start : start + 8], "little")
        value = (value ^ word) * MIX & MASK
        value ^= value >> 29
    return ((value * MIX & MASK) >> 32) % shard_count


@pytest.mark.parametrize("count", [2, 3, 8, 64])
def test_paths_of_one_build_are_spread_evenly(count):
    paths = [f"/w/build/src/CMakeFiles/m{n % 37}.dir/file{n}.c.o".encode() for n in range(6400)]

    per_shard = Counter(home_of(path, count) for path in paths)

    assert len(per_shard) == count
    assert max(per_shard.values()) < 1.6 * len(paths) / count


def test_the_core_gives_new_files_their_homes_by_that_hash(velo, workspace):
    place = workspace()
    velo.run("exec", "--shards", "7", "--", "sh", "-c", CREATE, cwd=place)

    region = Region.attach(str(velo.arena()))
    homes = {region.path_of(info.node): info.home for info in region.scan()}

    assert len(homes) == 30
    assert homes == {path: home_of(os.fsencode(path), 7) for path in homes}
