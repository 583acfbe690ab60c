"""The `velo` script: straight to the program for `velo exec -- CMD`, else through click.

In: arguments. Out: an exit status. Never: a second meaning; the short way takes only the two
spellings without a flag of ours to parse, `velo exec [--no-wait] -- CMD...`, which mean the same
on the long way. It exists because click costs 30 ms (`python -X importtime`, a 2-core VM), and a
build may call `velo exec` in every step.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import nesting


def main() -> None:
    """The entry point of the `velo` script."""
    nesting.step_out()
    arguments = sys.argv[1:]
    short = short_way(arguments)
    if short is None:
        from . import group

        sys.exit(group.run(arguments))
    from .execute import execute_here

    command, wait = short
    sys.exit(execute_here(command, wait=wait))


def short_way(arguments: Sequence[str]) -> tuple[list[str], bool] | None:
    """The command to run and whether to wait for the tree, when no flag needs parsing."""
    for head, wait in ((["exec", "--"], True), (["exec", "--no-wait", "--"], False)):
        command = list(arguments[len(head) :])
        if list(arguments[: len(head)]) == head and command:
            return command, wait
    return None


if __name__ == "__main__":
    main()
