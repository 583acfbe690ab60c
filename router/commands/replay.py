"""`velo replay`: what is kept of steps; is it sound; forget it."""

from __future__ import annotations

import json

import click

from velo.shards.replay.upkeep import Upkeep

from ..arena import Arena
from ..config import Settings
from ..errors import EXIT_FAILURE
from ..options import settings_of, workspace_option
from ..units import format_count, format_size


@click.group()
def replay() -> None:
    """Show, check or forget what is kept of this workspace's build steps."""


def _upkeep(workspace: str | None) -> tuple[Upkeep, Settings]:
    settings = settings_of(workspace)
    memory = Arena.of(settings.workspace).memory
    upkeep = Upkeep(store=settings.cas_dir, workspace=settings.workspace, memory=memory)
    return upkeep, settings


@replay.command()
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def status(*, workspace: str | None, as_json: bool) -> None:
    """Show how many entries are kept, and what they take.

    Exit status: 0.
    """
    upkeep, settings = _upkeep(workspace)
    mode, kept = settings.replay, upkeep.status()
    max_bytes = settings.replay_max_size
    found = {"mode": mode, **kept._asdict(), "bytes": kept.bytes, "max_bytes": max_bytes}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    index, blobs = format_size(found["index_bytes"]), format_size(found["blob_bytes"])
    entries = format_count(found["entries"], "entry", "entries")
    files = format_count(found["blobs"], "file")
    click.echo(f"mode {mode}; {entries} in {index}")
    click.echo(f"{files} of outputs in the store, {blobs}")
    click.echo(f"{format_size(kept.bytes)} of at most {format_size(max_bytes)}")
    every = format_size(found["store_bytes"])
    files = format_count(found["store_blobs"], "file")
    click.echo(f"all workspaces of the store: {files} of outputs, {every}")


@replay.command()
@workspace_option
@click.pass_context
def verify(context: click.Context, *, workspace: str | None) -> None:
    """Read every output in the store again; drop entries whose bytes are not what they were.

    Exit status: 0 all sound, 1 some were dropped: their steps will be run.
    """
    upkeep, _ = _upkeep(workspace)
    found = upkeep.verify()
    click.echo(
        f"{format_count(found.blobs, 'file')} of outputs read,"
        f" {found.unsound} missing or damaged;"
        f" {found.dropped} of {format_count(found.entries, 'entry', 'entries')} dropped"
    )
    context.exit(EXIT_FAILURE if found.dropped else 0)


@replay.command()
@workspace_option
def clear(*, workspace: str | None) -> None:
    """Forget all steps of this workspace. A command that runs goes on with what it has found.

    Exit status: 0.
    """
    upkeep, _ = _upkeep(workspace)
    number, freed_bytes = upkeep.clear()
    entries = format_count(number, "entry", "entries")
    click.echo(f"{entries} forgotten, {format_size(freed_bytes)} given back")
