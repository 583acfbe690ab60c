"""A container's limit on memory, as /proc and the groups' own files tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from velo.router import cgroup

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """Writes /proc of a process in `group`, and the limits of groups below `mount`."""

    def make(*, kind: str, options: str, line: str, limits: dict[str, str]) -> str:
        mount, proc = tmp_path / "groups", tmp_path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "mounts").write_text(f"disk / ext4 rw 0 0\n{kind} {mount} {kind} {options} 0 0\n")
        (proc / "self/cgroup").write_text(f"3:cpu:/x\n{line}\n")
        mount.mkdir()
        for path, text in limits.items():
            file = Path(mount, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return str(proc)

    return make


def test_version_2_counts_the_lowest_limit_up_to_the_root(machine) -> None:
    limits = {"a/b/memory.max": "max", "a/b/memory.high": f"{900 * MIB}", "a/memory.max": "1048576"}

    proc = machine(kind="cgroup2", options="rw", line="0::/a/b", limits=limits)

    assert cgroup.limit_bytes(proc) == MIB


def test_version_1_has_a_number_for_no_limit(machine) -> None:
    limits = {
        "memory.limit_in_bytes": "9223372036854771712",
        "a/memory.limit_in_bytes": f"{300 * MIB}",
    }

    proc = machine(kind="cgroup", options="rw,memory", line="4:memory:/a", limits=limits)

    assert cgroup.limit_bytes(proc) == 300 * MIB


def test_in_a_container_the_path_may_be_the_hosts(machine) -> None:
    limits = {"memory.max": f"{64 * MIB}"}

    proc = machine(kind="cgroup2", options="rw", line="0::/host/slice/17", limits=limits)

    assert cgroup.limit_bytes(proc) == 64 * MIB


def test_nothing_limits_where_nothing_can_be_read(tmp_path) -> None:
    assert cgroup.limit_bytes(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("limit_mib", "shards", "fits_mib"), [(300, 8, 78), (8192, 8, 4024), (100, 8, 1)]
)
def test_an_arena_takes_half_of_what_the_server_leaves(
    monkeypatch, limit_mib: int, shards: int, fits_mib: int
) -> None:
    monkeypatch.setattr(cgroup, "limit_bytes", lambda: limit_mib * MIB)

    fits = cgroup.memory_that_fits(shards)

    assert fits is not None and fits // MIB == fits_mib
