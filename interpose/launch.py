"""What `velo exec` puts into a program's environment, and takes out of its own children's.

In: an environment, an arena's directory. Out: the environment with the preload library in it, or
without any of velo. Never: lose somebody else's preload, or write to the environment given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

LIBRARY_STEM = "libvelo"
PRELOAD = "LD_PRELOAD"
ARENA = "VELO_ARENA"
DISABLE = "VELO_DISABLE"
GRACE = "VELO_GRACE_MS"  # how long a program waits for a server that is gone
GRACE_DEFAULT_MS = 5000  # the library's own (preload.c)


class LibraryMissing(Exception):
    """The preload library is not beside this file: the package is not built or half installed."""


def library_path() -> str:
    """The preload library's file, as setuptools installed it.

    Raises:
        LibraryMissing: names where it was looked for.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    names = sorted(
        name for name in os.listdir(here) if name.startswith(LIBRARY_STEM) and name.endswith(".so")
    )
    if not names:
        raise LibraryMissing(f"no {LIBRARY_STEM}*.so in {here}; build or reinstall velo")
    return os.path.join(here, names[0])


def loadable_path(library: str, directory: str) -> str:
    """`library`, or a copy in `directory` when LD_PRELOAD could not name it.

    The loader splits LD_PRELOAD at spaces and colons and nothing escapes them.
    """
    if not any(separator in library for separator in " :"):
        return library
    import shutil  # 3 ms that almost nobody has to pay

    copy = os.path.join(directory, LIBRARY_STEM + ".so")
    unfinished = f"{copy}.{os.getpid()}"
    shutil.copyfile(library, unfinished)
    os.rename(unfinished, copy)
    return copy


def environment(
    arena: str, base: Mapping[str, str] | None = None, *, grace_ms: int = GRACE_DEFAULT_MS
) -> dict[str, str]:
    """`base` (the current environment) for a program that runs inside `arena`.

    Raises:
        LibraryMissing: there is nothing to preload.
    """
    child = without_velo(os.environ if base is None else base)
    library = loadable_path(library_path(), arena)
    child[PRELOAD] = ":".join(filter(None, [child.get(PRELOAD), library]))
    child[ARENA] = arena
    if grace_ms != GRACE_DEFAULT_MS:
        child[GRACE] = str(grace_ms)
    return child


def without_velo(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without our library and arena; other preloads stay, in their order."""
    child = {key: value for key, value in base.items() if key not in (ARENA, PRELOAD)}
    others = [item for item in _items(base.get(PRELOAD, "")) if not _is_ours(item)]
    if others:
        child[PRELOAD] = ":".join(others)
    return child


def inside(base: Mapping[str, str]) -> str | None:
    """The arena that a process with environment `base` runs in, or None."""
    if base.get(DISABLE) == "1" or not any(map(_is_ours, _items(base.get(PRELOAD, "")))):
        return None
    return base.get(ARENA)


def _items(preload: str) -> list[str]:
    return preload.replace(":", " ").split()


def _is_ours(item: str) -> bool:
    name = os.path.basename(item)
    return name.startswith(LIBRARY_STEM) and ".so" in name
