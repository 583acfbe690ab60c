"""Sixteen jobs at once, killed at random and begun again, end with the tree of a native build.

In: a seed; VELO_KILL_SEEDS adds more. Out: a build that was killed, together with the shards and
the router, until it had no more of it. Never: two builds at once; what a killed build leaves
running is waited for, because natively, too, two compilers that write one file spoil it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support import project
from support.harness import Velo, parent_of, processes_of, session_of, tool, wait_for
from support.matrix import touched
from support.snapshot import Snapshot

pytestmark = pytest.mark.matrix

SEEDS = [1, 2, *map(int, os.environ.get("VELO_KILL_SEEDS", "").split())]
KILLS = 24
ATTEMPTS_MAX = 60
APART_S = (0.02, 0.4)
# Who is killed, and how often among a hundred.
VICTIMS = {"one of the build": 60, "ninja": 8, "velo exec": 8, "shard": 12, "router": 8, "velo": 4}
# ar writes to such a name beside its target, and leaves it there when it is killed: natively, too.
LEFT_BY_AR = "st??????"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_build_killed_at_random_ends_with_the_native_tree(
    velo: Velo, workspace, seed: int, record_property
) -> None:
    # Goal: no kill, wherever it falls, may change what the build leaves. Method: ninja knows what
    # it finished, so natively it can be killed and begun again; the kernel keeps that promise.
    chance = random.Random(seed)
    memory = ["24MiB", "512MB"][seed % 2]
    place = workspace(toml=f'[live]\nmax_memory = "{memory}"\naggressive_paths = ["build/"]\n')
    project.write(place, units=48, payload_bytes=chance.choice([1, 1 << 18]))
    expected = project.native(place)
    velo.exec(*project.configure_command(), cwd=place)  # a cmake that is killed leaves things
    killed: list[str] = []

    attempts = _build_until_it_ends(velo, place, chance, killed)
    velo.exec("true", cwd=place)  # the last kill may have left no server: a new one adopts
    velo.run("sync", cwd=place)

    print(f"seed {seed}, {attempts} attempts, memory {memory}, killed: {killed}")
    assert len(killed) == KILLS
    _assert_equal(expected, place)


def _build_until_it_ends(velo: Velo, place: Path, chance: random.Random, killed: list[str]) -> int:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        building = velo.start(
            "exec", "--", tool("ninja"), "-C", "build", "-j16", "-k0",
            cwd=place, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while building.poll() is None and len(killed) < KILLS:
            time.sleep(chance.uniform(*APART_S))
            _kill(velo, building, chance, killed)
        done = velo.finish(building, check=False, timeout_s=project.BUILD_TIMEOUT_S)
        wait_for(lambda session=building.pid: not session_of(velo.root, session), timeout_s=300)
        if done.returncode == 0 and len(killed) == KILLS:
            return attempt
        if done.returncode == 0:  # it ended too early: all of it once more
            velo.exec(tool("ninja"), "-C", "build", "-t", "clean", cwd=place)
    raise AssertionError(f"still failing after {ATTEMPTS_MAX} attempts: {killed}")


def _kill(
    velo: Velo, building: subprocess.Popen[str], chance: random.Random, killed: list[str]
) -> None:
    (who,) = chance.choices(list(VICTIMS), list(VICTIMS.values()))
    pids = _pids(velo, building, who)
    if who != "velo":
        pids = chance.sample(pids, min(1, len(pids)))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if pids:
        killed.append(who)


def _pids(velo: Velo, building: subprocess.Popen[str], who: str) -> list[int]:
    server: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        server = [velo.server_pid()]
    shards = [pid for pid in processes_of(velo.root) if parent_of(pid) in server]
    build = session_of(velo.root, building.pid)
    ninja = [pid for pid in build if _name_of(pid) == "ninja"]
    of = {"one of the build": build, "ninja": ninja, "velo exec": [building.pid]}
    return {**of, "shard": shards, "router": server, "velo": server + shards}[who]


def _name_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _assert_equal(expected: Snapshot, place: Path) -> None:
    for path in (place / "build").rglob(LEFT_BY_AR):
        path.unlink()
    found = Snapshot.of(place / "build")
    differences = expected.differences(found)
    assert not differences, "\n".join(differences[:20])
    project.assert_up_to_date(place)
    assert not touched(found, Snapshot.of(place / "build"))
