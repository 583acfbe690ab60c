"""Limits that leave no room for a server are named before one is started."""

from __future__ import annotations

import resource

import pytest

from velo.router import limits


@pytest.mark.parametrize(
    ("name", "shards", "limit", "said"),
    [
        ("NOFILE", 8, 55, "'ulimit -n' is 55, and a server with 8 shards needs 56"),
        ("NOFILE", 8, 56, None),
        ("NPROC", 16, 64, "'ulimit -u' is 64, and a server with 16 shards needs 96"),
        ("NPROC", 64, 200, "'ulimit -u' is 200, and a server with 64 shards needs 288"),
        ("NPROC", 8, 64, None),
        ("NPROC", 64, resource.RLIM_INFINITY, None),
    ],
)
def test_what_is_needed_grows_with_the_shards(monkeypatch, name, shards, limit, said):
    given = {getattr(resource, f"RLIMIT_{name}"): limit}
    monkeypatch.setattr(resource, "getrlimit", lambda number: (0, given.get(number, 1 << 40)))

    assert limits.lacking(shards) == said
