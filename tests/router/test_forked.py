"""A child that is known by its pid alone: reaped once, and never signalled after that."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from support.harness import tool
from velo.router.forked import Forked
from velo.router.supervisor import Supervisor


@pytest.fixture
def child() -> Iterator[Forked]:
    """It takes no notice of SIGTERM."""
    words = [tool("sleep"), "600"]
    made = Forked(os.posix_spawn(words[0], words, os.environ, setsigmask=[signal.SIGTERM]))
    yield made
    made.kill()
    made.wait()


def test_it_is_reaped_once_and_not_signalled_after_that(child, monkeypatch):
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.kill()

    assert child.wait() == child.wait(0) == -signal.SIGKILL
    monkeypatch.setattr(os, "kill", lambda *words: pytest.fail(f"{words} is another process"))
    child.send_signal(signal.SIGTERM)
    child.kill()


def test_a_supervisor_kills_one_that_does_not_end(child):
    one = Supervisor(
        1,
        lambda index: ["false"],
        fork=lambda index: child,
        environment=os.environ,
        lost=lambda index: None,
        gave_up=lambda index, deaths: None,
    )
    one.start()

    one.end(timeout_s=0.1)

    assert one.descriptors() == [] and child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("error", [ImportError("no lz4"), BlockingIOError(11, "too many")])
def test_one_that_cannot_be_forked_is_started_as_an_interpreter_later(error):
    def fork(index: int) -> Forked:
        raise error

    one = Supervisor(
        1,
        lambda index: ["sleep", "600"],
        fork=fork,
        environment=os.environ,
        lost=lambda index: None,
        gave_up=lambda index, deaths: None,
    )
    one.start()
    at = one.next_start()
    assert one.pid(0) is None and at is not None

    one.due(at)

    assert one.pid(0) is not None
    one.end()
