"""`velo stop`: flush, then leave no trace in memory."""

from __future__ import annotations

import os

import click

from . import client
from .arena import Arena
from .cmd_sync import TIMEOUT_S, tell
from .config import Settings, load
from .errors import ServerNotRunning
from .options import workspace_option


@click.command()
@workspace_option
@click.option(
    "--force", is_flag=True, help="Also while programs run inside; their later writes are lost."
)
@click.option("--timeout-s", type=click.FloatRange(min=0.001), default=TIMEOUT_S, show_default=True)
def stop(*, workspace: str | None, force: bool, timeout_s: float) -> None:
    """Flush everything to disk, end the server and remove its arena.

    What a killed server left in memory is adopted and flushed first.

    Exit status: 0 nothing of it is left (also when no server ran), 1 it goes on because programs
    run inside or something could not be put on disk; then it says which files.
    """
    settings = load(start=workspace)
    arena = Arena.of(settings.workspace)
    if not _there(arena, settings):
        click.echo("velo: no server runs", err=True)
        return
    pid = client.ensure(settings, say=_say, keep_settings=True).pid
    tell(client.stop(arena, force=force, timeout_s=timeout_s, pid=pid))


def _there(arena: Arena, settings: Settings) -> bool:
    """True when a server runs, or a dead one left an arena that a new one has to flush."""
    try:
        client.hello(arena, workspace=settings.workspace)
    except ServerNotRunning:
        return os.path.exists(arena.meta)
    return True


def _say(text: str) -> None:
    click.echo(f"velo: {text}", err=True)
