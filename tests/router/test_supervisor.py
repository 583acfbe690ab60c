"""Which shards are started again, and which are given up. The shards are stand-ins."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Sequence

import pytest

from velo.router import supervisor
from velo.router.supervisor import BUDGET_WINDOW_S, RESTARTS_MAX, Supervisor

LASTS, FAILS = ["sleep", "600"], ["false"]
LIMIT_S = 60


@pytest.fixture
def made() -> Iterator[list[Supervisor]]:
    """Supervisors that end with the test."""
    all_: list[Supervisor] = []
    yield all_
    for each in all_:
        each.end()


def started(made: list[Supervisor], command: Sequence[str], gave_up: list[int]) -> Supervisor:
    one = Supervisor(
        1,
        lambda index: command,
        environment=os.environ,
        lost=lambda index: None,
        gave_up=lambda index, deaths: gave_up.append(deaths),
    )
    made.append(one)
    one.start()
    return one


def bury(one: Supervisor) -> None:
    """Its shard has died; it is started again, at once."""
    (descriptor,) = one.descriptors()
    assert select.select([descriptor], [], [], LIMIT_S)[0]
    one.reap(descriptor)
    one.due(time.monotonic() + BUDGET_WINDOW_S)


def test_a_shard_that_worked_until_it_was_killed_is_started_again_however_often(made, monkeypatch):
    monkeypatch.setattr(supervisor, "PROVEN_S", 0.0)
    gave_up: list[int] = []
    one = started(made, LASTS, gave_up)

    for _ in range(3 * RESTARTS_MAX):
        one.works(0)
        one.kill(0)
        bury(one)

    assert not gave_up and one.pid(0) is not None
    assert one.statistics()[0]["restarts"] == 3 * RESTARTS_MAX


@pytest.mark.parametrize("why", ["ends by itself", "is killed before it reports", "at once"])
def test_a_shard_that_never_lasts_is_given_up(made, monkeypatch, why):
    monkeypatch.setattr(supervisor, "PROVEN_S", 0.0 if why != "at once" else 600.0)
    gave_up: list[int] = []
    one = started(made, FAILS if why == "ends by itself" else LASTS, gave_up)

    for _ in range(RESTARTS_MAX + 1):
        if why != "is killed before it reports":
            one.works(0)
        if why != "ends by itself":
            one.kill(0)
        bury(one)

    assert gave_up == [RESTARTS_MAX + 1]
