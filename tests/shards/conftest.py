"""What the tests of a shard's verbs get: a Region made of a dict, and a shard that serves it."""

from __future__ import annotations

import pytest

from support.arena import FakeRegion
from velo.shards import ops
from velo.shards.cas import Store
from velo.shards.flush import Recorder
from velo.shards.ops import Shard
from velo.shards.roots import Pins

LIMIT = 100_000


@pytest.fixture
def region(tmp_path):
    return FakeRegion(tmp_path, max_memory=LIMIT)


@pytest.fixture
def shard(tmp_path, region, monkeypatch):
    monkeypatch.setattr(ops, "SPACE_PATIENCE_S", 0.05)
    store = Store(tmp_path / "cas")
    recorder = Recorder(tmp_path / "0.sqlite")
    yield Shard(region, 0, store, recorder, Pins(store.directory, "w-0"))
    store.close()
    recorder.close()
