"""A tree as a build left it, and how two of them differ.

In: a directory. Out: what every name in it is; differences as lines for a person. Never: a
difference explained away, except the contents of the few files that no two native builds agree on.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Logs with durations, timestamps or random names in them: two native builds differ there too.
VOLATILE = {
    ".ninja_deps",
    ".ninja_log",
    "CMakeConfigureLog.yaml",
    "CMakeError.log",
    "CMakeOutput.log",
}
# Natively, files this far apart were written by different steps of a `-j1` build; two of the
# kernel's coarse 4 ms ticks, and half a tick to be sure.
APART_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One name: everything a user could see of it without a clock."""

    kind: str  # file, directory, symlink, other
    mode: int
    links: int
    content: str  # digest of a file, target of a symlink


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All names below a directory, and when the regular files were written."""

    entries: dict[str, Entry]
    mtimes_ns: dict[str, int]

    @classmethod
    def of(cls, directory: Path) -> Snapshot:
        """Read the whole tree natively."""
        entries, mtimes_ns = {}, {}
        for path in sorted(_below(directory)):
            name = str(path.relative_to(directory))
            try:
                found = os.lstat(path)
            except PermissionError:  # in a directory that may be listed but not searched
                continue
            entries[name] = _entry(path, found)
            if stat.S_ISREG(found.st_mode):
                mtimes_ns[name] = found.st_mtime_ns
        return cls(entries, mtimes_ns)

    def differences(self, other: Snapshot) -> list[str]:
        """What `other` has otherwise: names, kinds, modes, links, bytes. Empty when equal."""
        names = sorted(self.entries.keys() | other.entries.keys())
        return [
            f"{name}: {self.entries.get(name)} became {other.entries.get(name)}"
            for name in names
            if self.entries.get(name) != other.entries.get(name)
        ]

    def inversions(self, other: Snapshot) -> list[str]:
        """Files whose order in time is clear here and the other way round in `other`: each with the
        one before it that is newest there."""
        ordered = sorted((at_ns, name) for name, at_ns in self.mtimes_ns.items())
        found = []
        newest_ns, newest, seen = -1, "", 0
        for late_ns, late in ordered:
            while late_ns - ordered[seen][0] >= APART_NS:
                early = ordered[seen][1]
                newest_ns, newest = max((newest_ns, newest), (other.mtimes_ns.get(early, 0), early))
                seen += 1
            if newest_ns > other.mtimes_ns.get(late, newest_ns):
                found.append(f"{newest} is now newer than {late}")
        return found


def _below(directory: Path) -> Iterator[Path]:
    """All names; rglob stumbles over symlinks whose target is too long, in some Pythons."""
    for above, directories, others in os.walk(directory):
        yield from (Path(above, name) for name in [*directories, *others])


def _bytes_of(path: Path, mode: int) -> bytes:
    """Also of a file that its owner made unreadable."""
    try:
        return path.read_bytes()
    except PermissionError:
        path.chmod(mode | stat.S_IRUSR)
        try:
            return path.read_bytes()
        finally:
            path.chmod(mode)


def _entry(path: Path, found: os.stat_result) -> Entry:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISREG(found.st_mode):
        volatile = path.name in VOLATILE
        content = "" if volatile else hashlib.sha256(_bytes_of(path, mode)).hexdigest()
        return Entry("file", mode, found.st_nlink, content)
    if stat.S_ISLNK(found.st_mode):
        return Entry("symlink", mode, 1, os.readlink(path))
    # A directory's link count is the file system's own business.
    return Entry("directory" if stat.S_ISDIR(found.st_mode) else "other", mode, 1, "")
