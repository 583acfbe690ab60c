"""The LRU against a list that sorts itself anew each time."""

from __future__ import annotations

import random

from velo.interpose.core import BACKED, DISK, NodeInfo
from velo.shards.lru import Lru


def info(node: int, tick: int, *, state: int = BACKED, generation: int = 1) -> NodeInfo:
    return NodeInfo(node, generation, 0, state, 1, False, False, 0o644, 1, 0, 0, 0, tick, None)


def test_victims_come_least_recently_used_first():
    infos = {n: info(n, tick) for n, tick in [(1, 30), (2, 10), (3, 20)]}
    lru = Lru()
    lru.refresh(infos.values())

    assert [victim.node for victim in lru.victims(infos.get)] == [2, 3, 1]
    assert len(lru) == 0


def test_a_file_used_since_it_was_noted_goes_to_its_new_place():
    infos = {n: info(n, n) for n in (1, 2, 3)}
    lru = Lru()
    lru.refresh(infos.values())
    infos[1] = info(1, 99)

    assert [victim.node for victim in lru.victims(infos.get)] == [2, 3, 1]


def test_files_that_are_gone_or_not_in_memory_or_somebody_else_are_passed_over():
    infos = {n: info(n, n) for n in (1, 2, 3, 4)}
    lru = Lru()
    lru.refresh(infos.values())
    del infos[1]
    infos[2] = info(2, 2, state=DISK)
    infos[3] = info(3, 3, generation=2)

    assert [victim.node for victim in lru.victims(infos.get)] == [4]


def test_a_file_that_is_used_all_the_time_does_not_keep_the_walk_running():
    ticks = iter(range(100, 100_000))
    lru = Lru()
    lru.refresh([info(n, n) for n in range(10)])

    assert list(lru.victims(lambda node: info(node, next(ticks)))) == []
    assert len(lru) == 10
    lru.check()


def test_refresh_after_anything_is_the_same_as_starting_anew():
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    lru = Lru()
    for _ in range(200):
        infos = {
            n: info(n, rng.randrange(20), state=rng.choice([BACKED, DISK]))
            for n in rng.sample(range(30), rng.randrange(30))
        }
        lru.refresh(infos.values())
        lru.check()
        backed = [i for i in infos.values() if i.state == BACKED]
        expected = sorted(backed, key=lambda i: (i.access_tick, i.node))
        taken = rng.randrange(5)
        victims = lru.victims(infos.get)
        assert [next(victims, None) for _ in range(taken)] == [
            expected[i] if i < len(expected) else None for i in range(taken)
        ]
        lru.check()
