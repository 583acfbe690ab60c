"""A real arena with programs in it, for tests of the shards: no router, no command line.

In: a directory for the workspace. Out: a Region, and a way to run shell commands inside. Never: an
arena that outlives its test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from velo.interpose import launch
from velo.interpose.core import NodeInfo, Region

MIB = 1 << 20


@dataclass
class Inside:
    """One arena: `region` is what shards see, `run` is what programs do."""

    region: Region
    arena: Path
    workspace: Path

    @property
    def build(self) -> Path:
        """The hosted directory, as the disk has it."""
        return self.workspace / "build"

    def run(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`sh -c script` in the workspace, under the preload."""
        return subprocess.run(
            ["sh", "-c", script],
            cwd=self.workspace,
            env=launch.environment(str(self.arena)),
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

    def write(self, name: str, data: bytes) -> NodeInfo:
        """A program writes build/<name>; what the arena knows of it afterwards."""
        source = self.workspace / "source"
        source.write_bytes(data)
        self.run(f"cp source build/{name}")  # what a shell opens for others may be born on disk
        return self.named(name)

    def read(self, name: str) -> bytes:
        """What a program reads from build/<name>."""
        out = self.workspace / "read"
        self.run(f"cat build/{name} > read")
        return out.read_bytes()

    def named(self, name: str) -> NodeInfo:
        """The one regular file whose path is build/<name>."""
        path = str(self.build / name)
        (found,) = [
            i for i in self.region.scan() if i.links and self.region.path_of(i.node) == path
        ]
        return found


@contextmanager
def arena(
    directory: Path, *, shards: int = 1, max_memory: int = 256 * MIB, socket: str = ""
) -> Iterator[Inside]:
    """A new arena for workspace `directory`/tree with `build/` hosted."""
    root = Path("/dev/shm", f"velo-test-{secrets.token_hex(4)}")
    workspace = (directory / "tree").resolve()
    (workspace / "build").mkdir(parents=True)
    root.mkdir(mode=0o700)
    try:
        region = Region.create(
            str(root),
            workspace=str(workspace),
            socket=socket or str(root / "router.sock"),
            patterns=["build/"],
            shards=shards,
            max_memory=max_memory,
        )
        region.reconcile(lambda path: None)
        yield Inside(region, root, workspace)
        region.check()
    finally:
        shutil.rmtree(root, ignore_errors=True)
        assert not os.path.exists(root)
