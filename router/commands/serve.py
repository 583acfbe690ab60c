"""`velo serve`: the server of a workspace, in the foreground."""

from __future__ import annotations

import os
from typing import Any

import click

from ..errors import EXIT_FAILURE, ServerDidNotStart
from ..options import settings_of, settings_options


@click.command()
@settings_options
@click.pass_context
def serve(context: click.Context, **flags: Any) -> None:
    """Serve this workspace in the foreground until SIGTERM or Ctrl-C.

    The first signal flushes everything to disk and removes the arena; a second one leaves the
    arena as it is, in memory, for the next server to adopt. Nothing is lost either way.

    Exit status: 0 everything is on disk and the arena is gone, 1 the arena was left in place or
    there was no serving, 2 bad configuration.
    """
    from .. import lifecycle, limits

    _have_standard_streams()
    settings = settings_of(**flags)
    limits.lift()
    if reason := limits.lacking(settings.shards):
        raise ServerDidNotStart(f"server not started: {reason}")
    left = lifecycle.serve(settings, say=_say)
    context.exit(0 if left is None else EXIT_FAILURE)


def _have_standard_streams() -> None:
    """Where one is closed, the server's lock would be what shards inherit in its place."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)


def _say(text: str) -> None:
    try:
        click.echo(f"velo: {text}")
    except OSError:
        pass  # the terminal is gone; serving goes on
