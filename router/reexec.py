"""velo inside velo: `velo exec -- sh -c "velo exec -- make"`, in one workspace or in two.

Our own processes must not run under the preload library: a server would host its own files, and
the core would call itself. So a `velo` that finds itself inside starts over without it. Only the
variable `VELO_DISABLE` keeps the library away from a program that is started by one it is in. For
the arena that we were in, we do not count as a program that looks into the tree. But when we go on
in another arena, we are an opaque program for the first, as any program with this variable is.

In: the environment. Out: a new process image, or nothing. Never: a second start over.
"""

from __future__ import annotations

import os
import sys

from velo.interpose import launch

from . import given
from .errors import VeloError

AGAIN = "VELO_STARTED_OVER"
ELSEWHERE = "elsewhere"


def step_out() -> None:
    """Start over without the library when it is loaded here; else forget how we came here."""
    arena = launch.inside(os.environ)
    if arena is not None:
        again = "1" if _is_at_home(arena) else ELSEWHERE
        environment = {**given.spellable(os.environ), launch.DISABLE: "1", AGAIN: again}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    if os.environ.pop(AGAIN, None) is not None:
        os.environ.pop(launch.DISABLE, None)  # ours, not the user's kill switch


def _is_at_home(arena: str) -> bool:
    """Is it the arena of the workspace in which we stand?"""
    from .arena import Arena
    from .config import find_workspace

    try:
        return Arena.of(find_workspace()).memory == arena
    except (OSError, VeloError):
        return False
