"""`velo stop`: flush, then leave no trace in memory."""

from __future__ import annotations

import os
import time

import click

from .. import client
from ..arena import Arena, Lock
from ..config import find_workspace, load
from ..errors import Leaving, ServerNotRunning
from ..options import workspace_option
from .sync import TIMEOUT_S, tell


@click.command()
@workspace_option
@click.option(
    "--force", is_flag=True, help="Also while programs run inside; their later writes are lost."
)
@click.option("--timeout-s", type=click.FloatRange(min=0.001), default=TIMEOUT_S, show_default=True)
def stop(*, workspace: str | None, force: bool, timeout_s: float) -> None:
    """Flush everything to disk, end the server and remove its arena.

    If a killed server left files in memory, they are adopted and flushed first.

    Exit status: 0 nothing is left in memory (also when no server ran), 1 the server goes on because
    programs run inside or files could not be put on disk; the message names those files.
    """
    place = find_workspace(workspace)
    arena = Arena.of(place)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            pid = _server(arena, place)
            if pid is None:
                for left in (arena.start_lock, arena.server_lock):
                    Lock(left).sweep()
                click.echo("velo: no server runs", err=True)
                return
            tell(client.stop(arena, force=force, timeout_s=timeout_s, pid=pid))
            return
        except (client.Refused, ServerNotRunning) as error:
            # The server is on its way out already, or was when it was asked: see what it leaves.
            if error.code not in (Leaving.code, ServerNotRunning.code):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(client.POLL_S)


def _server(arena: Arena, place: str) -> int | None:
    """The pid of the server, started when a dead one left an arena to flush; None: nothing is left.

    Raises:
        Refused: it is leaving.
    """
    try:
        return client.hello(arena, workspace=place).pid
    except ServerNotRunning:
        if not os.path.exists(arena.meta):
            return None
    return client.ensure(load(start=place), say=_say, keep_settings=True).pid


def _say(text: str) -> None:
    click.echo(f"velo: {text}", err=True)
