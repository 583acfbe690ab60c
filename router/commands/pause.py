"""`velo pause` and `velo resume`: for tests and measurements; not in the help."""

from __future__ import annotations

import click

from .. import client
from ..options import arena_of, workspace_option


@click.command(hidden=True)
@workspace_option
def pause(*, workspace: str | None) -> None:
    """Stop flushing in the background. `velo sync` and the end of `velo exec` still flush."""
    client.ask(arena_of(workspace), "PAUSE")


@click.command(hidden=True)
@workspace_option
def resume(*, workspace: str | None) -> None:
    """Flush in the background again."""
    client.ask(arena_of(workspace), "RESUME")
