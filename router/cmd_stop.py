"""`velo stop`: flush, then leave no trace in memory."""

from __future__ import annotations

from contextlib import suppress

import click

from velo.shards.errors import VeloError

from . import client
from .arena import Arena
from .cmd_sync import TIMEOUT_S
from .config import find_workspace
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

    Exit status: 0 nothing of it is left (also when no server ran), 1 it goes on because programs
    run inside or something could not be put on disk.
    """
    arena = Arena.of(find_workspace(workspace))
    pid = None
    with suppress(VeloError):
        pid = client.hello(arena, workspace=find_workspace(workspace)).pid
    try:
        client.stop(arena, force=force, timeout_s=timeout_s, pid=pid)
    except ServerNotRunning:
        _nobody_there(arena)


def _nobody_there(arena: Arena) -> None:
    import os

    if os.path.exists(arena.meta):
        click.echo(
            f"velo: no server runs, but {arena.directory} still holds files;"
            " 'velo serve' adopts it, then stop again",
            err=True,
        )
        raise SystemExit(1)
    click.echo("velo: no server runs", err=True)
