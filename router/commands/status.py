"""`velo status`: what the server and its arena are doing."""

from __future__ import annotations

import json

import click

from .. import client, report
from ..options import arena_of, workspace_option


@click.command()
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def status(*, workspace: str | None, as_json: bool) -> None:
    """Show memory, files by state, what is dirty, processes by name, escapes, and shards.

    The numbers count from the creation of the arena.

    `schema` of the object is raised when one of its keys gets another name or meaning.

    Exit status: 0, or 1 when no server runs.
    """
    arena = arena_of(workspace)
    (text,) = client.ask(arena, "STATUS", stopped_s=client.GLANCE_S)
    found = json.loads(text)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in report.lines(found):
        click.echo(line)
