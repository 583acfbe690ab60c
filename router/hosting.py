"""Was anything of a command hosted? If not, but files changed beside the hosted directories, its
user should hear what to write into velo.toml.

In: a region, before and after a command. Out: one sentence, or nothing. Never: a look at calls that
are not ours; what changed is found afterwards, in a scan with a limit in entries and time.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from velo.interpose.core import Region

from .config import FILE_NAME, Settings, default_cache_dir

TICK_NS = 10_000_000  # stamps are as coarse as the kernel's clock
ENTRIES_MAX = 20_000
SECONDS_MAX = 0.25
SHOWN_MAX = 3
HERE = "."
# What version control keeps, and what tools keep for themselves from one run to the next
NOT_OUTPUT = {".git", ".hg", ".svn", ".jj", ".cache", ".ccache", "__pycache__"}
NOT_OUTPUT |= {".pytest_cache", ".mypy_cache", ".ruff_cache"}


class Before(NamedTuple):
    """The state when the command began."""

    activity: int
    time_ns: int


def examine(region: Region) -> Before:
    """The beginning of a command."""
    return Before(region.pulse(0).activity, time.time_ns() - TICK_NS)


def nothing(region: Region, before: Before, settings: Settings) -> str | None:
    """A sentence when the command changed files in the workspace, and none of them is hosted."""
    if region.pulse(0).activity != before.activity and _wrote_hosted(region, before.time_ns):
        return None
    if _changed_on_disk(settings, before.time_ns):
        return None
    changed = _changed(settings, before.time_ns)
    return _sentence(changed, settings) if changed else None


def _wrote_hosted(region: Region, since_ns: int) -> bool:
    return any(info.mtime_ns >= since_ns or info.dirty_disk for info in region.files())


def _changed_on_disk(settings: Settings, since_ns: int) -> bool:
    """A hosted directory of the workspace got or lost names that memory does not know any more."""
    for pattern in settings.aggressive_paths:
        with suppress(OSError):
            directory = os.path.join(settings.workspace, pattern.strip("/"))
            if os.lstat(directory).st_mtime_ns >= since_ns:
                return True
    return False


def _changed(settings: Settings, since_ns: int) -> Counter[str]:
    """Files that changed, counted by the directory right below the workspace that they are in."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS_MAX
    for seen, (top, entry) in enumerate(_files(settings)):
        if seen > ENTRIES_MAX or time.monotonic() > deadline:
            break
        try:
            if entry.stat(follow_symlinks=False).st_ctime_ns >= since_ns:
                counts[top] += 1
        except OSError:
            continue
    return counts


def _files(settings: Settings) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Breadth first, so that a limit cuts off the depths and not a neighbour."""
    own = (settings.cas_dir, default_cache_dir())
    waiting = [(HERE, settings.workspace), *_linked(settings).items()]
    while waiting:
        top, directory = waiting.pop(0)
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                if entry.name != FILE_NAME:
                    yield top, entry
            elif entry.path in own or entry.name in NOT_OUTPUT:
                continue
            elif not _is_hosted(entry.path, settings):
                waiting.append((entry.name if top == HERE else top, entry.path))


def _linked(settings: Settings) -> dict[str, str]:
    """Names in the workspace that were to be hosted and are symlinks: to which directories."""
    found = {}
    for pattern in settings.aggressive_paths:
        path = os.path.join(settings.workspace, pattern.strip("/"))
        real = os.path.realpath(path)
        if os.path.islink(path) and os.path.isdir(real) and not _is_hosted(real, settings):
            found[pattern.strip("/")] = real
    return found


def _is_hosted(path: str, settings: Settings) -> bool:
    """As the core reads a pattern: a name anywhere, a path from the workspace, an absolute one."""
    inside = os.path.relpath(path, settings.workspace)
    for pattern in settings.aggressive_paths:
        plain = pattern.strip("/")
        if inside == plain or path == pattern.rstrip("/"):
            return True
        anywhere = "/" not in plain and not pattern.startswith("/") and not inside.startswith("..")
        if anywhere and os.path.basename(path) == plain:
            return True
    return False


def _sentence(changed: Counter[str], settings: Settings) -> str:
    most = [top for top, _ in changed.most_common(SHOWN_MAX)]
    where = ", ".join("the workspace itself" if top == HERE else f"{top}/" for top in most)
    files = f"{sum(changed.values())} file{'s' if sum(changed.values()) > 1 else ''}"
    links = _linked(settings)
    outputs = [f'"{links.get(top, top)}/"' for top in most if top != HERE]
    hosted = " ".join(settings.aggressive_paths)
    if not outputs:
        advice = "let the outputs go into a directory of their own and name it in aggressive_paths"
    else:
        written = os.path.exists(os.path.join(settings.workspace, FILE_NAME))
        place = FILE_NAME if written else f"a {FILE_NAME} ('velo init')"
        advice = f"if these are outputs, add {', '.join(outputs)} to aggressive_paths in {place}"
    if not links.keys().isdisjoint(most):
        advice += ", and let the build write there by that path: a symlink is not hosted"
    return f"nothing was hosted: {files} changed in {where} (hosted: {hosted}); {advice}"
