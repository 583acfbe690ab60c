"""The flags that several commands share, and what becomes of them.

In: click's parsed flags. Out: `Settings`. Never: a default here; defaults are `config`'s. [pure]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from . import config
from .arena import Arena

Decorated = Callable[..., Any]


def workspace_option(command: Decorated) -> Decorated:
    """`-C DIR`, as in make and git."""
    return click.option(
        "--workspace",
        "-C",
        metavar="DIR",
        help="Where to look for velo.toml, instead of the current directory.",
    )(command)


def settings_options(command: Decorated) -> Decorated:
    """One flag per setting of [live], and the workspace."""
    for setting in reversed([each for each in config.SETTINGS if each.table == config.TABLE]):
        many = setting.name == "aggressive_paths"
        names = (
            ("--aggressive-path", setting.name)
            if many
            else ("--" + setting.name.replace("_", "-"),)
        )
        command = click.option(
            *names,
            multiple=many,
            metavar="DIR" if many else "VALUE",
            help=setting.help + (" May be given several times." if many else ""),
            hidden=setting.hidden,
        )(command)
    return workspace_option(command)


def settings_of(workspace: str | None = None, **flags: Any) -> config.Settings:
    """The settings that these flags, and the other places, make.

    Raises:
        BadConfiguration: see `config.load`.
    """
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    return config.load(given, start=workspace)


def arena_of(workspace: str | None) -> Arena:
    """The arena of the workspace around `workspace`, or around the current directory."""
    return Arena.of(config.find_workspace(workspace))
