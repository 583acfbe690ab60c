"""Indexes of one workspace's arenas; logs made by hand, analysed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from support.bench import OWNER
from support.unit_logs import Said, step, write
from velo.shards.replay import analysis
from velo.shards.replay import unit_log as log
from velo.shards.replay.analysis import Analysed, NotCached
from velo.shards.replay.index import Index, Owner
from velo.shards.replay.rules import NO_RULES, Rules

WORDS = ("sh", "-c", "work")


@pytest.fixture
def analysed(tmp_path: Path) -> Callable[..., Analysed]:
    """What a step with these records depended on and made; `head` has fields of its log's head."""

    def analyse(
        *records: Said, rules: Rules = NO_RULES, words: Sequence[str] = WORDS, **head: int
    ) -> Analysed:
        path = write(tmp_path / "1-0.f", step(*words), *records, **head)
        return analysis.analyse(log.read(str(path)), rules)

    return analyse


@pytest.fixture
def refusal(analysed: Callable[..., Analysed]) -> Callable[..., str]:
    """Why such a step is not cached."""

    def refuse(*records: Said, **how: object) -> str:
        with pytest.raises(NotCached) as caught:
            analysed(*records, **how)
        return str(caught.value)

    return refuse


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Callable[..., Index]]:
    """An index; another name is another arena with the same image."""
    opened: list[Index] = []

    def make(name: str = "index", owner: Owner = OWNER) -> Index:
        image = str(tmp_path / "image")
        opened.append(Index(str(tmp_path / name), owner=owner, image=image))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
