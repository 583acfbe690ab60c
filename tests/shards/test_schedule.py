"""The clockwork, with a clock made of numbers."""

from __future__ import annotations

from velo.shards import schedule
from velo.shards.schedule import Schedule


def make(**changes) -> Schedule:
    return Schedule(**{"shards": 8, "idle_flush_s": 30.0, "now": 0.0, **changes})


def test_an_idle_shard_probes_ever_more_rarely():
    clock = make()
    clock.see(1)
    clock.flushed(1)
    sleeps = []
    for _ in range(10):
        clock.see(1)
        sleeps.append(clock.sleep_s())

    assert sleeps == sorted(sleeps) and sleeps[-1] == schedule.SLEEP_MAX_S
    clock.see(2)
    assert clock.sleep_s() == schedule.SLEEP_MIN_S
    clock.see(3, pressed=True)
    assert clock.sleep_s() == schedule.SLEEP_PRESSED_S


def test_refreshing_costs_no_more_than_its_share_of_a_core():
    clock = make()
    now, spent, cost_s = 0.0, 0.0, 0.003
    for activity in range(100_000):
        clock.see(activity)
        if clock.refresh_due(now):
            spent += cost_s
            clock.refreshed(activity, cost_s, now + cost_s)
        now += 0.01
        if now > 60:
            break

    assert 0.5 * schedule.REFRESH_SHARE < 8 * spent / now <= schedule.REFRESH_SHARE * 1.05


def test_refreshing_that_causes_activity_does_not_cause_refreshing():
    clock = make()
    clock.see(1)
    assert clock.refresh_due(0.0)

    clock.refreshed(5, 0.001, 0.001)
    clock.see(5)

    assert not clock.refresh_due(100.0)


def test_nothing_is_looked_for_when_nothing_changed_since_the_last_flush():
    clock = make()
    clock.see(7)
    assert clock.probe_due(10.0)

    clock.flushed(7)
    clock.see(7)

    assert not clock.probe_due(100.0)


def test_probing_is_rationed():
    clock = make()
    clock.see(1)

    assert clock.probe_due(10.0)
    assert not clock.probe_due(10.0 + schedule.PROBE_EVERY_S / 2)
    assert clock.probe_due(10.0 + schedule.PROBE_EVERY_S)


def test_files_must_rest_for_idle_flush_seconds():
    clock = make(idle_flush_s=30.0)

    assert not clock.used(20.0, 40.0)
    assert not clock.may_be_quiet(49.9)
    assert clock.may_be_quiet(50.0)
    assert clock.used(19.0, 50.0)


def test_eviction_that_finds_everything_open_is_tried_ever_more_rarely():
    clock = make()
    pauses = []
    for _ in range(8):
        clock.evicted(False, 0.0)
        pauses.append(next(t / 10 for t in range(100) if clock.evict_due(t / 10)))

    assert pauses == sorted(pauses) and pauses[-1] == schedule.EVICT_PAUSE_S
    clock.evicted(True, 0.0)
    assert clock.evict_due(0.0)


def test_a_failing_flush_is_tried_ever_more_rarely_and_a_good_one_forgives():
    clock = make()
    clock.see(1)
    waits, now = [], 0.0
    for _ in range(9):
        clock.flush_failed(now)
        start = now
        while not clock.probe_due(now):
            now += 0.5
        waits.append(now - start)

    assert waits == sorted(waits) and waits[0] <= 1.5 and 60 <= waits[-1] <= 61
    clock.flushed(0)
    assert clock.probe_due(now + 1)
