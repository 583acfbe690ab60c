"""The ground a measurement stands on: directories, an environment, a server, tools.

In: a directory on a real disk. Out: one place per side, each with the same sources in it. Never:
the user's own server, store or settings; anything left when it is over.

    disk     a workspace on disk, commands run natively
    tmpfs    the same in memory, commands run natively
    velo     a workspace on disk, commands run by `velo exec`; it waits for the disk
    no-wait  the same, not waiting for the disk
    old      as velo, by another build of it (`run.py --against`); else there is no such side
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))  # support/sample.py, shared with the tests

SCRIPTS = Path(sys.executable).parent
MEMORY = Path("/dev/shm")
TOML = '[live]\nmax_memory = "2GB"\naggressive_paths = ["build/"]\n'


@dataclass(frozen=True, slots=True)
class Place:
    """One side: where it works and what it puts before a command."""

    side: str
    directory: Path
    prefix: tuple[str, ...]
    velo: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def build(self) -> Path:
        return self.directory / "build"

    def run(self, *command: str | Path) -> str:
        """Run `command` here, as this side does; its output.

        Raises:
            SystemExit: it failed; its words have been printed.
        """
        return self._call([*self.prefix, *map(str, command)])

    def said(self, *words: str) -> str:
        """What `velo WORDS` says of this place."""
        return self._call([self.velo, *words])

    def stop(self) -> None:
        """End the server of this place, if it has one."""
        if self.velo:
            environment = {**os.environ, **self.environment}
            command = [self.velo, "stop"]
            subprocess.run(command, cwd=self.directory, env=environment, capture_output=True)

    def _call(self, command: Sequence[str]) -> str:
        return call(command, cwd=self.directory, environment=self.environment)

    def catch_up(self) -> None:
        """Files that `velo exec --no-wait` left in memory are put on disk, for native programs."""
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

    def present(self, *sides: str) -> tuple[str, ...]:
        """Those of `sides` that there are: all but `old` always."""
        return tuple(side for side in sides if side in self.places)

    def add(self, side: str, name: str, *prefix: str) -> Place:
        """One more place, on disk, where no velo runs."""
        return self._add(Place(side, self.scratch / name, prefix))

    def add_hosted(self, side: str, name: str, *options: str) -> Place:
        """One more place, on disk, under velo; its server gets stopped with the others."""
        return self._add(_hosted(side, self.scratch / name, velo(), *options))

    def _add(self, place: Place) -> Place:
        self.places[place.directory.name] = place
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


def call(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run `command`, which must succeed; its standard output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout


@contextmanager
def prepared(disk: Path, against: Path | None = None) -> Iterator[Ground]:
    """Ground with a running server; everything is gone afterwards.

    Args:
        disk: a directory on disk, where all but the side `tmpfs` works.
        against: a wheel of velo, another build, which gets the side `old`.

    Raises:
        SystemExit: there is no velo, or `against` cannot be installed.
    """
    name = f"velo-perf-{secrets.token_hex(3)}"
    scratch, memory = disk / name, MEMORY / f"{name}-tmpfs"
    scratch.mkdir(parents=True)
    memory.mkdir()
    _isolate(name, scratch)
    places = {
        "disk": Place("disk", scratch / "disk", ()),
        "tmpfs": Place("tmpfs", memory, ()),
        "velo": _hosted("velo", scratch / "velo", velo()),
        "no-wait": _hosted("no-wait", scratch / "no-wait", velo(), "--no-wait"),
    }
    try:
        if against:
            places["old"] = _old(scratch, MEMORY / name, against)
        for place in places.values():
            place.directory.mkdir(exist_ok=True)
            (place.directory / "velo.toml").write_text(TOML)
            place.build.mkdir()
        for place in places.values():
            if place.velo:
                place.run("true")
        yield Ground(scratch, places)
    finally:
        for place in places.values():
            place.stop()
        for directory in (scratch, memory, MEMORY / name):
            shutil.rmtree(directory, ignore_errors=True)


def _hosted(side: str, directory: Path, program: str, *options: str) -> Place:
    return Place(side, directory, (program, "exec", *options, "--"), program)


def _old(scratch: Path, runtime: Path, wheel: Path) -> Place:
    """A place of `wheel`'s velo, which shares neither store nor runtime directory with ours."""
    environment = scratch / "old-venv"
    call([sys.executable, "-m", "venv", str(environment)], cwd=scratch)
    (packages,) = environment.glob("lib/python*/site-packages")
    # What velo imports is found where ours finds it; its own packages stand before these.
    (packages / "perf-packages.pth").write_text(sysconfig.get_path("platlib") + "\n")
    pip = (str(environment / "bin" / "pip"), "install", "-q", "--no-deps", str(wheel.resolve()))
    call(pip, cwd=scratch)
    program = str(environment / "bin" / "velo")
    hosted = _hosted("old", scratch / "old", program)
    away = {"VELO_RUNTIME_DIR": str(runtime / "old"), "VELO_CACHE_DIR": str(scratch / "old-cache")}
    (runtime / "old").mkdir(parents=True, mode=0o700)
    return replace(hosted, environment=away)


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
