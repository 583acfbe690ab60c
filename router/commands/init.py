"""`velo init`: a velo.toml that explains itself."""

from __future__ import annotations

import os
import textwrap

import click

from ..config import FILE_NAME, SETTINGS, TABLE, TABLES, Setting
from ..errors import AlreadyConfigured

HEAD = """\
# velo.toml: how velo hosts this workspace. Every key is optional; those below are the defaults.
# Strongest first: command line, VELO_* variables, this file, ~/.config/velo/velo.toml.
# Sizes: "8GB" (1000s), "512MiB" (1024s), or bytes. Durations: "30s", "5min", or seconds.
"""
WIDTH = 96


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, exists=True))
def init(directory: str) -> None:
    """Write a commented velo.toml into DIRECTORY (the current one), which makes it a workspace.

    Exit status: 0 written, 1 there is one already; it is never overwritten.
    """
    path = os.path.join(os.path.abspath(directory), FILE_NAME)
    try:
        with open(path, "x") as file:
            os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode & 0o755)  # else not trusted
            file.write(content())
    except FileExistsError:
        raise AlreadyConfigured(path=path) from None
    click.echo(f"wrote {path}")


def content() -> str:
    """The text of a new velo.toml."""
    parts = [HEAD]
    for table in TABLES:
        parts.append(f"[{table}]" if table == TABLE else f"# [{table}]")
        for setting in SETTINGS:
            if setting.table == table and not setting.hidden and not setting.outward:
                parts.append(f"{_comment(setting)}\n{_assignment(setting)}\n")
    return "\n".join(parts)


def _comment(setting: Setting) -> str:
    return textwrap.fill(setting.help, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _assignment(setting: Setting) -> str:
    value, key = setting.default, setting.key or setting.name
    if isinstance(value, tuple):
        shown = "[" + ", ".join(f'"{item}"' for item in value) + "]"
        return f"{key} = {shown}" if value else f"# {key} = {shown}"
    return f"# {key} = " + (f'"{value}"' if isinstance(value, str) else str(value))
