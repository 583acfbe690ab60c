"""Sources of real projects for the matrix, fetched once from the machine's own package registries.

In: the name of a Debian source package. Out: its unpacked tree, copied with its times to anywhere.
Never: a copy in this repository, a setting of the machine changed (apt gets a state of its own), or
a source that apt has not checked against the signatures of the archive.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .sample import CACHE

FETCH_TIMEOUT_S = 300
SETTINGS = Path("/etc/apt")
PATCHED_NS = 1_500_000_000 * 10**9  # of files that unpacking made; nothing is compared with it


class SourceUnavailable(Exception):
    """A source could not be fetched; the message is the tool's."""


def copy(package: str, directory: Path) -> None:
    """The sources of Debian's `package` as the new `directory`, every file with its time."""
    shutil.copytree(fetch(package), directory, symlinks=True)


def fetch(package: str, *, cache: Path = CACHE / "debian") -> Path:
    """The unpacked sources, which nobody may change. Several processes may ask at once.

    Raises:
        SourceUnavailable: apt could not get it; the cache is as it was.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / package).exists():
            with tempfile.TemporaryDirectory(dir=cache) as place:
                _unpack(package, Path(place)).rename(cache / package)
    return cache / package


def _unpack(package: str, place: Path) -> Path:
    started_ns = time.time_ns() - 10_000_000  # files are stamped by a coarser clock
    _write_lists(place / "parts")
    for name in ("lists/partial", "cache/archives/partial", "source"):
        (place / name).mkdir(parents=True)
    options = {
        "APT::Sandbox::User": "root",
        "Dir::Cache": place / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": place / "parts",
        "Dir::State::Lists": place / "lists",
    }
    flags = [f"-o{name}={value}" for name, value in options.items()]
    for command in (["update"], ["source", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *flags, *command],
            cwd=place / "source",
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise SourceUnavailable(f"{package}: {done.stderr.strip()[-600:]}")
    (tree,) = [path for path in (place / "source").iterdir() if path.is_dir()]
    for path in [tree, *tree.rglob("*")]:  # patches were applied just now: not a time of theirs
        if os.lstat(path).st_mtime_ns >= started_ns:
            os.utime(path, ns=(PATCHED_NS, PATCHED_NS), follow_symlinks=False)
    return tree


def _write_lists(parts: Path) -> None:
    """The machine's own archives, asked for sources: `deb-src` wherever it says `deb`."""
    parts.mkdir()
    for path in [SETTINGS / "sources.list", *(SETTINGS / "sources.list.d").glob("*")]:
        if path.suffix in (".list", ".sources") and path.exists():
            kinds = r"^(Types:\s*).*$" if path.suffix == ".sources" else r"^()deb(?=\s)"
            text = re.sub(kinds, r"\1deb-src", path.read_text(), flags=re.MULTILINE)
            (parts / path.name).write_text(text)
    if not os.listdir(parts):
        raise SourceUnavailable(f"no package archives are configured below {SETTINGS}")
