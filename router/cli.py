"""The `velo` program: straight to the program for `velo exec -- CMD`, else through click.

In: arguments. Out: an exit status. Never: a second meaning. The short way takes only the two
spellings without a flag of ours to parse, `velo exec [--no-wait] -- CMD...`. They mean the same on
the long way. The short way exists because click costs 30 ms (`python -X importtime`, a 2-core VM),
and a build may call `velo exec` in every step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from . import given, interrupts, reexec


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

    command, wait = short
    return execute_here(command, wait=wait)


def short_way(arguments: Sequence[str]) -> tuple[list[str], bool] | None:
    """The command to run and whether to wait for the tree, when no flag needs parsing."""
    for head, wait in ((["exec", "--"], True), (["exec", "--no-wait", "--"], False)):
        command = list(arguments[len(head) :])
        if list(arguments[: len(head)]) == head and command:
            return command, wait
    return None


if __name__ == "__main__":
    main()
