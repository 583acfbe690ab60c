"""Whoever may reach the router's socket, and what a build beside him notices of it: nothing."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.harness import Velo, wait_for
from velo.interpose import core

CROWD = Path(__file__).parents[1] / "support" / "hostile.py"
READY_S = 60.0
BUILD = "i=0; while [ $i -lt 300 ]; do echo $i > build/$i; mv build/$i build/f$i; i=$((i+1)); done;"
WAIT = "touch built; until [ -e enough ]; do sleep 0.05; done"


def crowd(velo: Velo, count: int, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CROWD), str(velo.arena() / "router.sock"), str(count), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer_times(socket: Path, count: int) -> list[float]:
    """How long the server took to say its status; without the start of a Python, which takes as
    long as whatever else the cores have to do."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        (text,) = core.request(str(socket), "STATUS", [], timeout_ms=60_000)
        times.append(time.monotonic() - began)
        assert all(shard["worker"] for shard in json.loads(text)["shards"]), "a shard is silent"
    return times


@pytest.mark.parametrize("limit", [256, None])
def test_a_build_goes_on_beside_a_hostile_crowd(velo, workspace, limit):
    # Given a server with few or many descriptors, and connections of every kind, more than those
    place = workspace()
    (place / "build").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        velo.exec("true", cwd=place)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # (somebody is inside from the beginning, or the crowd's requests to stop would be granted)
    guard = velo.start("exec", "--", "sh", "-c", WAIT, cwd=place)
    wait_for((place / "built").exists)
    people = [crowd(velo, 1250, seed) for seed in (1, 2)]

    try:
        for each in people:
            assert each.stdout.readline() == "ready\n"
        # when somebody builds, and asks for the status
        velo.exec("sh", "-c", BUILD, cwd=place, timeout_s=300)
        times = answer_times(velo.arena() / "router.sock", 20)
        (place / "enough").touch()
        velo.finish(guard, timeout_s=300)
    finally:
        (place / "enough").touch()
        for each in people:
            each.stdin.close()
        for each in people:
            each.wait(30)

    # then the build ended, and the answers came
    assert sorted(path.name for path in (place / "build").iterdir()) == sorted(
        f"f{i}" for i in range(300)
    )
    assert sorted(times)[len(times) // 2] < 1.0, times
    velo.stop(cwd=place)
