"""`velo stats`: how many steps were replayed, in the last command and over time."""

from __future__ import annotations

import json

import click

from velo.shards.replay.ledger import Ledger

from .. import explaining
from ..options import settings_of, workspace_option


@click.command()
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def stats(*, workspace: str | None, as_json: bool) -> None:
    """Show how many steps were replayed, run and not cached: by the last command, and by all.

    No server is needed. `schema` of the object is raised when one of its keys gets another name
    or meaning.

    Exit status: 0.
    """
    settings = settings_of(workspace)
    ledger = Ledger(settings.cas_dir, settings.workspace)
    found = explaining.statistics(ledger.last(), ledger.totals())
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo("\n".join(explaining.statistics_lines(found)))
