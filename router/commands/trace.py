"""`velo trace`: why programs became opaque, files went to disk early, and processes waited."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from datetime import datetime

import click

from velo.interpose import core

from ..errors import ServerNotRunning
from ..options import arena_of, workspace_option
from ..topics import topics_of
from ..units import format_size

POLL_S = 0.1


@click.command()
@workspace_option
@click.option("--topic", metavar="LIST", help=f"Of {','.join(core.TRACE_TOPICS)}; all by default.")
@click.option("--follow", "-f", is_flag=True, help="Go on until interrupted.")
@click.option("--off", is_flag=True, help="Show the events, then stop recording.")
def trace(*, workspace: str | None, topic: str | None, follow: bool, off: bool) -> None:
    """Show the events that were recorded in the server's arena, oldest first, and keep recording.

    The first `velo trace` starts recording; VELO_TRACE=opaque,disk in the environment of `velo
    exec` starts it with a command. Only the last 4,096 events are kept. Off, it costs nothing.

    Exit status: 0, or 1 when no server runs.
    """
    wanted = topics_of(topic)
    arena = arena_of(workspace)
    try:
        region = core.Region.attach(arena.memory)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ServerNotRunning(workspace=str(workspace or os.getcwd())) from None
        raise
    try:
        _show(region, wanted, follow=follow)
    except KeyboardInterrupt:
        pass
    region.trace([] if off else wanted)


def _show(region: core.Region, wanted: tuple[str, ...], *, follow: bool) -> None:
    region.trace(wanted)
    following = 0
    while True:
        events, following = region.events(following)
        for event in events:
            if event.topic in wanted:
                click.echo(line(event, region))
        if not follow:
            return
        time.sleep(POLL_S)


def line(event: core.Event, region: core.Region) -> str:
    """One event for a terminal."""
    text = event.text
    for name, value in (("a", event.a), ("b", event.b)):
        text = text.replace(f"{{{name}}}", str(value))
        for kind, spoken in SPOKEN.items():
            if f"{{{name}:{kind}}}" in text:
                text = text.replace(f"{{{name}:{kind}}}", spoken(region, value))
    at = datetime.fromtimestamp(event.ns / 1e9).strftime("%H:%M:%S.%f")
    return f"{at} {event.topic:<6} {event.pid:>7}  {text}"


def _path(region: core.Region, node: int) -> str:
    try:
        return region.path_of(node)
    except OSError:
        return f"file {node}, which has no name any more,"


SPOKEN: dict[str, Callable[[core.Region, int], str]] = {
    "node": _path,
    "program": lambda region, index: region.opaque_program(index),
    "escape": lambda _region, reason: (
        core.ESCAPE_NAMES[reason] if reason < len(core.ESCAPE_NAMES) else str(reason)
    ),
    "residency": lambda _region, reason: (
        core.RESIDENCY_NAMES[reason] if reason < len(core.RESIDENCY_NAMES) else str(reason)
    ),
    "ms": lambda _region, ns: f"{ns / 1e6:.1f}",
    "bytes": lambda _region, count: format_size(count),
    "error": lambda _region, code: os.strerror(code),
}
