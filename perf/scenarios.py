"""What is measured: one function per question, each the same work on every side.

In: ground. Out: samples in the scenario's unit, and the targets they are held to. Never: time what
the question is not about: preparation, clearing and the first turn of a cold cache are outside.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import replays
from ground import Ground, Place, call
from measure import Samples, alternate, seconds

Told = Callable[[int, str, float], None]
FILE_COUNT = 2000
FILE_BYTES = 4096
SPAWN_COUNT = 300
_WITHOUT_OLD = ("clone", "index")  # a repository's second clone is new each time; no time is taken
NOISE = 1.05  # two measurements of one build differ by as much


@dataclass(frozen=True, slots=True)
class Target:
    """`side` is at most `ratio` times `base`, or `more` units above it; or at most `most`."""

    side: str
    base: str = ""
    ratio: float | None = None
    more: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question, how it is answered, and what answer is wanted."""

    name: str
    question: str
    unit: str
    run: Callable[[Ground, int, Told], Samples]
    targets: tuple[Target, ...] = ()

    def against_old(self) -> Scenario:
        """The same, which asks also that nothing became dearer than in the side `old`."""
        if self.name in _WITHOUT_OLD:
            return self
        return replace(self, targets=(*self.targets, Target("velo", "old", ratio=NOISE)))


def start(ground: Ground, turns: int, told: Told) -> Samples:
    """One posix_spawn and wait of /bin/true, from a program that is hosted itself."""
    probe = _probe(ground)
    true = shutil.which("true") or "/bin/true"

    def one(place: Place) -> Callable[[], float]:
        return lambda: float(place.run(probe, "spawn", str(SPAWN_COUNT), true)) / 1e3

    sides = {side: one(ground[side]) for side in ground.present("disk", "old", "velo")}
    return alternate(sides, turns=turns, told=told)


def launch(ground: Ground, turns: int, told: Told) -> Samples:
    """A whole `velo exec -- true` with a running server, against plain `true`."""
    sides = {
        side: lambda side=side: seconds(lambda: ground[side].run("true")) * 1e3
        for side in ground.present("disk", "old", "velo")
    }
    return alternate(sides, turns=turns, told=told)


def create(ground: Ground, turns: int, told: Told) -> Samples:
    """open + write 4 KiB + close of new files in a hosted directory."""
    probe = _probe(ground)

    def one(place: Place) -> Callable[[], float]:
        def work() -> float:
            place.clear()
            ground.quiesce()
            words = ("create", place.build, str(FILE_COUNT), str(FILE_BYTES))
            return float(place.run(probe, *words)) / 1e3

        return work

    sides = {side: one(ground[side]) for side in ground.present(*_CALLS)}
    return alternate(sides, turns=turns, told=told)


def stat(ground: Ground, turns: int, told: Told) -> Samples:
    """stat of hosted files, every second of them missing."""
    return _over_files(ground, turns, told, "stat")


def read(ground: Ground, turns: int, told: Told) -> Samples:
    """open + fstat + read 4 KiB + close of hosted files."""
    return _over_files(ground, turns, told, "read", str(FILE_BYTES))


def build(ground: Ground, turns: int, told: Told) -> Samples:
    """ninja of the sample project, already configured, from nothing to the whole tree."""
    from support import sample

    for place in ground.places.values():
        sample.unpack(place.directory)

    def one(place: Place) -> Callable[[], float]:
        def work() -> float:
            place.clear()
            place.run("cmake", "-G", "Ninja", "-S", ".", "-B", "build")
            ground.quiesce()
            return seconds(lambda: place.run("ninja", "-C", "build"))

        return work

    sides = {side: one(place) for side, place in ground.places.items()}
    return alternate(sides, turns=turns, told=told)


def _over_files(ground: Ground, turns: int, told: Told, verb: str, *more: str) -> Samples:
    probe = _probe(ground)
    for side in ground.present(*_CALLS):
        place = ground[side]
        place.clear()
        place.run(probe, "create", place.build, str(FILE_COUNT), str(FILE_BYTES))

    def one(place: Place) -> Callable[[], float]:
        return lambda: float(place.run(probe, verb, place.build, str(FILE_COUNT), *more)) / 1e3

    sides = {side: one(ground[side]) for side in ground.present(*_CALLS)}
    return alternate(sides, turns=turns, told=told)


def _probe(ground: Ground) -> Path:
    program = ground.scratch / "probe"
    if not program.exists():
        source = Path(__file__).with_name("probe.c")
        call(["cc", "-O2", "-Wall", "-o", str(program), str(source)], cwd=ground.scratch)
    return program


_CALLS = ("disk", "tmpfs", "old", "velo")

SCENARIOS = (
    Scenario(
        "start",
        "What does the preload add to the start of a process (/bin/true)?",
        "µs",
        start,
        (Target("velo", "disk", more=300),),
    ),
    Scenario(
        "launch",
        "What does `velo exec` add to a command when a server runs?",
        "ms",
        launch,
        (Target("velo", "disk", more=120),),
    ),
    Scenario("create", "Create and write small files (4 KiB)", "µs", create),
    Scenario("stat", "stat, half of it of missing files", "µs", stat),
    Scenario("read", "Open and read small files (4 KiB)", "µs", read),
    Scenario(
        "build",
        "Build the sample project (CMake + Ninja, 465 steps)",
        "s",
        build,
        (Target("velo", "tmpfs", ratio=1.05), Target("no-wait", "tmpfs", ratio=1.05)),
    ),
    Scenario(
        "recording",
        "A first build (libuv, 465 steps), recorded or not",
        "s",
        replays.recording,
        (Target("velo", "off", ratio=1.02),),
    ),
    Scenario(
        "tainted",
        "A build of which no step can be kept",
        "s",
        replays.tainted,
        (Target("velo", "off", ratio=1.02),),
    ),
    Scenario(
        "rebuild",
        "libarchive built again from nothing",
        "s",
        replays.rebuild,
        (Target("velo", "disk", ratio=0.6 / 47.7), Target("no-wait", "disk", ratio=0.3 / 47.7)),
    ),
    Scenario(
        "restart",
        "The same after `velo stop`",
        "s",
        replays.restart,
        (Target("velo", "disk", ratio=1.5 / 47.7),),
    ),
    Scenario(
        "switch",
        "git switch to a branch that was built before (libarchive, 50 sources differ)",
        "s",
        replays.switch,
        (Target("velo", "disk", ratio=0.1),),
    ),
    Scenario(
        "clone",
        "The first build in a second clone (musl, make)",
        "s",
        replays.clone,
        (Target("velo", "disk", ratio=0.1),),
    ),
    Scenario(
        "cargo",
        "A clean cargo build of a program with 100 dependencies",
        "s",
        replays.cargo,
        (Target("velo", "disk", ratio=0.15),),
    ),
    Scenario(
        "tsc",
        "A clean tsc --build of 300 modules, by npm run",
        "s",
        replays.tsc,
        (Target("velo", "disk", ratio=0.25),),
    ),
    Scenario("hit", "One answered step", "ms", replays.hit, (Target("velo", most=0.25),)),
    Scenario("index", "Memory for one entry", "KiB", replays.index, (Target("velo", most=4),)),
)
