"""`velo sync`: durable, all of it."""

from __future__ import annotations

import os

import click

from .. import client
from ..options import arena_of, workspace_option

TIMEOUT_S = 1800.0


@click.command()
@workspace_option
@click.option("--timeout-s", type=click.FloatRange(min=0.001), default=TIMEOUT_S, show_default=True)
def sync(*, workspace: str | None, timeout_s: float) -> None:
    """Put every changed file into the store and at its real path, and wait until it is durable.

    Exit status: 0 everything is, 1 something is not (the message says what); nothing is lost.
    """
    tell(client.ask(arena_of(workspace), "SYNC", timeout_ms=int(timeout_s * 1000)))


def tell(notices: list[bytes]) -> None:
    """What the server has to say although it did what was asked, one line each."""
    for notice in notices:
        click.echo(f"velo: {os.fsdecode(notice)}", err=True)
