"""`velo explain`: why the last command's steps were run."""

from __future__ import annotations

import json
import os

import click

from velo.shards.replay.ledger import Ledger

from .. import explaining
from ..errors import EXIT_FAILURE
from ..options import settings_of, workspace_option


@click.command()
@workspace_option
@click.argument("what", required=False, metavar="[PATH|TEXT]")
@click.option("--summary", is_flag=True, help="The reasons, by the seconds that they cost.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@click.pass_context
def explain(
    context: click.Context, *, workspace: str | None, what: str | None, summary: bool, as_json: bool
) -> None:
    """Tell of each step of the last command: replayed; run, and why; or not cached, and why.

    PATH: the step that makes this file. TEXT: the steps whose command line has it.

    No server is needed. `schema` of the object is raised when one of its keys gets another name
    or meaning.

    Exit status: 0, or 1 when no step of the last command makes or names WHAT.
    """
    settings = settings_of(workspace)
    report = Ledger(settings.cas_dir, settings.workspace).report()
    if report is None:
        click.echo(json.dumps(None) if as_json else explaining.NOTHING)
        return
    steps = report["steps"]
    if what is not None:
        steps = explaining.matching(steps, what, directory=os.getcwd())
        if not steps:
            click.echo(f"velo: no step of the last command makes or names {what}", err=True)
            context.exit(EXIT_FAILURE)
    if summary:
        rows = explaining.reasons(steps, workspace=settings.workspace)
        told = {key: value for key, value in report.items() if key != "steps"} | {"reasons": rows}
        text = explaining.table(report, rows)
    else:
        told = report | {"steps": steps}
        text = explaining.lines(report, steps, workspace=settings.workspace)
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(text))
