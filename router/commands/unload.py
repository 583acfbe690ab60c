"""`velo unload`: give the memory back, keep the server."""

from __future__ import annotations

import click

from .. import client
from ..options import arena_of, workspace_option
from .sync import TIMEOUT_S, tell


@click.command()
@workspace_option
@click.option("--timeout-s", type=click.FloatRange(min=0.001), default=TIMEOUT_S, show_default=True)
def unload(*, workspace: str | None, timeout_s: float) -> None:
    """Sync, then drop from memory every file that is on disk. The server keeps running.

    Exit status: 0, or 1 when something could not be made durable; that stays in memory.
    """
    tell(client.ask(arena_of(workspace), "UNLOAD", timeout_ms=int(timeout_s * 1000)))
