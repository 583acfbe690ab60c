"""The map of shards: every shard gets its part, and every shard is somebody's neighbour."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from velo.interpose.core import Region
from velo.router import shard_map

CREATE = (
    "mkdir -p build/deep; for i in $(seq 15); do echo > build/f$i; echo > build/deep/$i.o; done"
)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
def test_the_others_are_all_but_home_each_once(count):
    for home in range(count):
        assert sorted([home, *shard_map.others(home, count)]) == list(range(count))


@pytest.mark.parametrize("count", [2, 3, 8, 64])
def test_paths_of_one_build_are_spread_evenly(count):
    paths = [f"/w/build/src/CMakeFiles/m{n % 37}.dir/file{n}.c.o".encode() for n in range(6400)]

    per_shard = Counter(shard_map.home_of(path, count) for path in paths)

    assert len(per_shard) == count
    assert max(per_shard.values()) < 1.6 * len(paths) / count


def test_the_core_gives_new_files_the_home_that_the_shard_map_says(velo, workspace):
    place = workspace()
    velo.run("exec", "--shards", "7", "--", "sh", "-c", CREATE, cwd=place)

    region = Region.attach(str(velo.arena()))
    homes = {region.path_of(info.node): info.home for info in region.scan()}

    assert len(homes) == 30
    assert homes == {path: shard_map.home_of(os.fsencode(path), 7) for path in homes}
