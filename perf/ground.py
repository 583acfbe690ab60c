"""The ground a measurement stands on: directories, an environment, a server, tools.

In: a directory on a real disk. Out: one place per side, each with the same sources in it. Never:
the user's own server, store or settings; anything left when it is over.

    disk     a workspace on disk, commands run natively
    tmpfs    the same in memory, commands run natively
    velo     a workspace on disk, commands run by `velo exec`; it waits for the disk
    no-wait  the same, not waiting for the disk
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))  # support/sample.py, shared with the tests

SCRIPTS = Path(sys.executable).parent
SIDES = ("disk", "tmpfs", "velo", "no-wait")
MEMORY = Path("/dev/shm")
TOML = '[live]\nmax_memory = "2GB"\naggressive_paths = ["build/"]\n'


@dataclass(frozen=True, slots=True)
class Place:
    """One side: where it works and what it puts before a command."""

    side: str
    directory: Path
    prefix: tuple[str, ...]

    @property
    def build(self) -> Path:
        return self.directory / "build"

    def run(self, *command: str | Path) -> str:
        """Run `command` here, as this side does; its output.

        Raises:
            SystemExit: it failed; its words have been printed.
        """
        return call([*self.prefix, *map(str, command)], cwd=self.directory)

    def said(self, *words: str) -> str:
        """What `velo WORDS` says of this place."""
        return call([velo(), *words], cwd=self.directory)

    def catch_up(self) -> None:
        """What `velo exec --no-wait` left in memory is on disk, too, for who looks natively."""
        if "--no-wait" in self.prefix:
            self.said("sync")

    def clear(self) -> None:
        """Natively remove what the last turn built."""
        self.catch_up()
        shutil.rmtree(self.build, ignore_errors=True)
        self.build.mkdir()


@dataclass(frozen=True, slots=True)
class Ground:
    """All sides of one measurement, and a scratch directory on disk."""

    scratch: Path
    places: dict[str, Place]

    def __getitem__(self, side: str) -> Place:
        return self.places[side]

    def add(self, side: str, name: str, prefix: tuple[str, ...]) -> Place:
        """One more place, on disk; a server that it has gets stopped with the others."""
        place = Place(side, self.scratch / name, prefix)
        self.places[name] = place
        place.build.mkdir(parents=True)
        (place.directory / "velo.toml").write_text(TOML)
        return place

    def quiesce(self) -> None:
        """Let earlier writes reach the disk, so that they are not in the next measurement."""
        os.sync()


def velo() -> str:
    """The `velo` beside this python."""
    found = shutil.which("velo", path=str(SCRIPTS)) or shutil.which("velo")
    if not found:
        raise SystemExit("velo is not installed: pip install .")
    return found


def call(command: Sequence[str], *, cwd: Path) -> str:
    """Run `command`, which must succeed; its standard output."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


@contextmanager
def prepared(disk: Path) -> Iterator[Ground]:
    """Ground with a running server; everything is gone afterwards."""
    name = f"velo-perf-{secrets.token_hex(3)}"
    scratch, memory = disk / name, MEMORY / f"{name}-tmpfs"
    scratch.mkdir(parents=True)
    memory.mkdir()
    _isolate(name, scratch)
    on_disk = {side: scratch / side for side in SIDES if side != "tmpfs"}
    places = {
        "disk": Place("disk", on_disk["disk"], ()),
        "tmpfs": Place("tmpfs", memory, ()),
        "velo": Place("velo", on_disk["velo"], (velo(), "exec", "--")),
        "no-wait": Place("no-wait", on_disk["no-wait"], (velo(), "exec", "--no-wait", "--")),
    }
    try:
        for place in places.values():
            place.directory.mkdir(exist_ok=True)
            (place.directory / "velo.toml").write_text(TOML)
            place.build.mkdir()
        for side in ("velo", "no-wait"):
            places[side].run("true")
        yield Ground(scratch, places)
    finally:
        for place in places.values():
            if velo() in place.prefix:
                subprocess.run([velo(), "stop"], cwd=place.directory, capture_output=True)
        for directory in (scratch, memory, MEMORY / name):
            shutil.rmtree(directory, ignore_errors=True)


def _isolate(name: str, scratch: Path) -> None:
    for variable in [key for key in os.environ if key.startswith("VELO_")]:
        if variable != "VELO_SAMPLES_DIR":
            del os.environ[variable]
    os.environ["VELO_RUNTIME_DIR"] = str(MEMORY / name)
    os.environ["VELO_CACHE_DIR"] = str(scratch / "cache")
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(SCRIPTS)])


def default_disk() -> Path:
    """A directory that is likely on a real disk: temporary files, unless those are in memory."""
    temporary = Path(tempfile.gettempdir())
    return temporary if file_system(temporary) != "tmpfs" else Path.home() / ".cache"


def file_system(path: Path) -> str:
    """The type of the file system that `path` is on."""
    best, found = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, found = mount, kind
    return found
