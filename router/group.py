"""The commands of `velo`, and the one place where click meets our errors.

In: arguments. Out: a command's exit status. Never: import a command that was not asked for, or
let a traceback out; whatever goes wrong is one sentence on stderr.
"""

from __future__ import annotations

import importlib
import os

import click

from velo.shards.errors import VeloError

from . import VERSION
from .errors import EXIT_FAILURE

COMMANDS = {
    "exec": "Run a program with its output directories in memory.",
    "serve": "Serve this workspace in the foreground.",
    "status": "Show memory, files, processes and shards.",
    "sync": "Make everything durable: on disk and in the store.",
    "unload": "Sync, then drop the files that are on disk from memory.",
    "gc": "Remove the least recently used files from the store.",
    "stop": "Flush everything and end the server.",
    "init": "Write a commented velo.toml.",
    "explain": "Tell why steps of the last command were run, not replayed.",
    "stats": "Show how many steps were replayed, in the last command and over time.",
    "replay": "Show, check or forget what is kept of build steps.",
    "trace": "Show why programs became opaque and files went to disk early.",
    "doctor": "Check that velo can work here, and say what to do if not.",
}
HIDDEN = {"pause": "pause", "resume": "pause"}  # command: file


class Lazy(click.Group):
    """A group that knows its commands' names and loads one when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS and name not in HIDDEN:
            return None
        module = importlib.import_module(f".commands.{HIDDEN.get(name, name)}", __package__)
        command = getattr(module, name if name != "exec" else "execute_")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not near:
                raise
            told = f"{error.message} Did you mean {near[0]!r}?"
            raise click.UsageError(told, ctx=context) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"velo {VERSION}")
        context.exit()


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def velo() -> None:
    """Builds with their output directories in memory.

    `velo exec -- ninja` runs a build unmodified; when it returns, the tree on disk is what the
    plain command would have left.
    """


def run(arguments: list[str]) -> int:
    """Run one command line; its exit status."""
    try:
        status = velo.main(arguments, prog_name="velo", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # what click makes of Ctrl-C
        raise KeyboardInterrupt from None
    except VeloError as error:
        click.echo(f"velo: {error}", err=True)
        return int(getattr(error, "exit_status", EXIT_FAILURE))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes
        return EXIT_FAILURE
    except OSError as error:
        click.echo(f"velo: {error.filename or 'system'}: {error.strerror}", err=True)
        return EXIT_FAILURE
    return int(status or 0)
