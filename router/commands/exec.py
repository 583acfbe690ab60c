"""`velo exec`: run a program with its output directories in memory."""

from __future__ import annotations

from typing import Any

import click

from ..options import settings_options


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    options_metavar="[OPTIONS] [--]",
)
@settings_options
@click.option(
    "--replay",
    metavar="MODE",
    help="off, record, on or verify: what happens to build steps (docs/replay.md).",
)
@click.option("--no-wait", is_flag=True, help="Return without waiting for the tree on disk.")
@click.option("--quiet", "-q", is_flag=True, help="Do not say that nothing was hosted.")
@click.option(
    "--require", is_flag=True, help="Fail (125) where nothing can be hosted, instead of running."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@click.pass_context
def execute_(
    context: click.Context,
    *,
    workspace: str | None,
    no_wait: bool,
    quiet: bool,
    require: bool,
    command: tuple[str, ...],
    **flags: Any,
) -> None:
    """Run COMMAND with its output directories in memory.

    A server is started when none runs. Standard streams, signals and the terminal are COMMAND's
    own. On return the tree on disk is what COMMAND alone would have left. Where no memory can be
    had, COMMAND runs natively, and one line on stderr says why; so does one when nothing that it
    wrote was hosted.

    Exit status: COMMAND's, or death by the same signal; 2 flags of velo are wrong, 125 velo
    itself failed, 126 COMMAND cannot be executed, 127 COMMAND was not found.
    """
    from ..execute import execute_here

    flags["aggressive_paths"] = flags["aggressive_paths"] or None
    context.exit(
        execute_here(
            command, wait=not no_wait, quiet=quiet, require=require, start=workspace, **flags
        )
    )
