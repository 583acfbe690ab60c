"""The `velo` program: straight to the program for `velo exec -- CMD`, else through click.

In: arguments. Out: an exit status. Never: a second meaning. The short way takes only `velo exec`
with switches that have no value; it means the same as the long way. It exists because click costs
40 ms (2-core VM), and a build may call `velo exec` in every step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from . import given, interrupts, reexec

SWITCHES = {"--no-wait": "no_wait", "--quiet": "quiet", "-q": "quiet", "--require": "require"}


def main() -> NoReturn:
    """The entry point of the `velo` program (interpose/launcher.c)."""
    given.restore_environment()
    reexec.step_out()
    given.restore_input()
    try:
        interrupts.release()
        _make_runtime_directory_absolute()
        status = _run(sys.argv[1:])
        interrupts.hold()  # the interpreter's own end is no moment for one
    except KeyboardInterrupt:
        status = interrupts.die()
    _end_at_once(status)


def _end_at_once(status: int) -> NoReturn:
    """Without the interpreter's own end: 15 ms in which nothing is left to do (2-core VM)."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
    os._exit(status)


def _make_runtime_directory_absolute() -> None:
    """The server starts at `/`, and programs inside stand anywhere."""
    if given := os.environ.get("VELO_RUNTIME_DIR"):
        with suppress(OSError):  # the current directory was removed: there is no workspace either
            os.environ["VELO_RUNTIME_DIR"] = os.path.abspath(given)


def _run(arguments: Sequence[str]) -> int:
    short = short_way(arguments)
    if short is None:
        from . import group

        return group.run(list(arguments))
    from .execute import execute_here

    command, switches = short
    return execute_here(
        command,
        wait="no_wait" not in switches,
        quiet="quiet" in switches,
        require="require" in switches,
    )


def short_way(arguments: Sequence[str]) -> tuple[list[str], set[str]] | None:
    """The command to run and the switches before it, when no other flag is there."""
    if list(arguments[:1]) != ["exec"]:
        return None
    switches, at = set(), 1
    while at < len(arguments) and arguments[at] in SWITCHES:
        switches.add(SWITCHES[arguments[at]])
        at += 1
    rest = list(arguments[at:])
    if rest[:1] == ["--"]:
        rest = rest[1:]
    elif rest and rest[0].startswith("-"):
        return None
    return (rest, switches) if rest else None


if __name__ == "__main__":
    main()
