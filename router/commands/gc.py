"""`velo gc`: the store down to its cap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from velo.shards import collector, depot
from velo.shards.replay import commons

from ..lifecycle import check_owner
from ..options import settings_of, workspace_option
from ..units import format_count, format_size


@click.command()
@workspace_option
@click.option("--max-size", metavar="SIZE", help="Instead of [store] max_size, which is 10GiB.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
def gc(*, workspace: str | None, max_size: str | None, dry_run: bool) -> None:
    """Remove the least recently used files from the store, until it holds at most SIZE.

    First go the build steps of workspaces that are gone, and outputs that no entry of a step names.
    Then go files that no workspace knows any more. Files whose bytes are in the store only stay,
    and so do files that were used within the last ten minutes. Builds may go on meanwhile, in any
    number of workspaces. A server that ends does the same by itself, at most every ten minutes.

    Exit status: 0 also when what had to stay is more than SIZE (the message says so), 1 the store
    cannot be read or written, 2 bad configuration.
    """
    given: dict[str, Any] = {"store_max_size": max_size}
    settings = settings_of(workspace, **given)
    directory = Path(settings.cas_dir)
    if not directory.exists():
        click.echo(f"velo: no store: {directory} is not there")
        return
    check_owner(settings.cas_dir)
    try:
        if not depot.is_store(directory):
            depot.prepare(directory)  # says what is wrong with it, or marks an empty one
        swept = commons.sweep(directory / commons.DIRECTORY, dry_run=dry_run)
    except OSError as error:
        raise depot.refusal(directory, error) from error
    _tell(swept, dry_run=dry_run)
    found = collector.collect(directory, max_bytes=settings.store_max_size, dry_run=dry_run)
    click.echo(f"velo: {collector.sentence(found, str(directory), format_size, dry_run=dry_run)}")


def _tell(found: commons.Swept, *, dry_run: bool) -> None:
    if found.files:
        did = "would remove" if dry_run else "removed"
        click.echo(
            f"velo: {did} {format_count(found.files, 'file')}, {format_size(found.bytes)},"
            f" of steps that nobody can replay; {found.workspaces} of their workspaces are gone"
        )
