"""velo inside velo: `velo exec -- sh -c "velo exec -- make"`, in one workspace or in two.

Our own processes must not run under the preload library: a server would host its own files, and
the core would call itself. So a `velo` that finds itself inside starts over without it. Only the
variable `VELO_DISABLE` keeps the library away from a program that is started by one it is in.

In: the environment. Out: a new process image, or nothing. Never: a second start over.
"""

from __future__ import annotations

import os
import sys

from velo.interpose import launch

AGAIN = "VELO_STARTED_OVER"


def step_out() -> None:
    """Start over without the library when it is loaded here; else forget how we came here."""
    if launch.inside(os.environ) is not None:
        environment = {**os.environ, launch.DISABLE: "1", AGAIN: "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    if os.environ.pop(AGAIN, None) is not None:
        os.environ.pop(launch.DISABLE, None)  # ours, not the user's kill switch
