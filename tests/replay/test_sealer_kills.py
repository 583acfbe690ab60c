"""A sealer that is killed anywhere leaves a store and an index that are right, or nothing.

Method: a child that seals, makes room or sweeps dies before the k-th line of shards/replay that it
runs, so between any two of its stores to memory and steps on disk. Who comes next must find sound
entries alone, and seal the same step. Some k's by default; each, in minutes, with

    KILL_POINTS=all python -m pytest tests/replay/test_sealer_kills.py
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from support.bench import LONG, Bench
from velo.shards.replay import commons
from velo.shards.replay import index as index_module
from velo.shards.replay.blobs import Blobs
from velo.shards.replay.entries import Reader
from velo.shards.replay.sealer import directory_of

ALL = os.environ.get("KILL_POINTS") == "all"
SAMPLES = 8
ROOM = os.path.dirname(index_module.__file__)


def dies_at(point: int, act: Callable[[], object]) -> int:
    """Of a child: the lines that it ran alive; 0 when it was killed before the `point`-th."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ran = 0

        def at_line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal ran
            if event == "line":
                ran += 1
                if ran == point:
                    os.kill(os.getpid(), signal.SIGKILL)
            return at_line

        def at_call(frame: FrameType, _event: str, _: Any) -> Any:
            return at_line if os.path.dirname(frame.f_code.co_filename) == ROOM else None

        try:
            sys.settrace(at_call)
            act()
            sys.settrace(None)
            os.write(writing, str(ran).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    assert text or os.WTERMSIG(status) == signal.SIGKILL
    return int(text or 0)


def prepared(root: Path) -> Bench:
    """Two steps that are kept, and one that waits."""
    root.mkdir()
    bench = Bench(root)
    sealer = bench.sealer()
    bench.unit(content=LONG)
    bench.unit(content=LONG.upper())
    sealer.finish(["ninja"])
    bench.unit(content=LONG + b"waits")
    return bench


def seal(bench: Bench) -> None:
    bench.sealer().finish(["ninja"])


def seal_in_little_room(bench: Bench) -> None:
    bench.sealer(max_bytes=1).finish(["ninja"])


def sweep(bench: Bench) -> None:
    shutil.rmtree(bench.root)
    commons.sweep(bench.ledger().directory, grace_s=0)
    bench.root.mkdir()


def assert_sound(bench: Bench, reader: Reader) -> None:
    blobs = Blobs(bench.ledger().blobs)
    for entry in reader.live():
        for digest, size in reader.sizes_of(entry).items():
            assert blobs.size(digest) in (0, size)
            assert blobs.size(digest) == 0 or blobs.is_sound(digest)
        assert all(reader.fact_at(each)[1] for each in reader.facts_of(entry))


@pytest.mark.parametrize("act", [seal, seal_in_little_room, sweep])
def test_who_comes_after_a_killed_sealer_finds_what_is_right(tmp_path, act):
    lines = dies_at(0, lambda: act(prepared(tmp_path / "whole")))
    start = dies_at(0, lambda: prepared(tmp_path / "before"))
    step = 1 if ALL else max(1, (lines - start) // SAMPLES)
    assert lines - start > SAMPLES

    for number, point in enumerate(range(1, lines - start, step)):
        bench = prepared(tmp_path / str(point))
        dies_at(point, lambda bench=bench: act(bench))
        bench.root.mkdir(exist_ok=True)
        bench.source.write_text("int a;\n")

        if number % 2:  # and the arena is gone as well
            Path(directory_of(str(bench.memory)), "index").unlink(missing_ok=True)
        sealer = bench.sealer()
        assert_sound(bench, sealer._there())
        for content in (LONG, LONG.upper(), LONG + b"waits"):
            bench.unit(content=content)
        sealer.finish(["ninja"])

        assert bench.ledger().report() is not None
        assert not bench.upkeep().verify().unsound
        Path(directory_of(str(bench.memory)), "index").unlink()
        after = bench.sealer()._there()
        made = {digest for entry in after.live() for digest in after.sizes_of(entry)}
        blobs = Blobs(bench.ledger().blobs)
        assert len(made) == 3 and all(map(blobs.is_sound, made)), point
        shutil.rmtree(tmp_path / str(point))
