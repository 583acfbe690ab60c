"""`velo doctor`: can velo work here, and what to do when not."""

from __future__ import annotations

from typing import Any

import click

from .. import doctor as checks
from ..errors import EXIT_FAILURE
from ..options import settings_of, settings_options


@click.command()
@settings_options
@click.pass_context
def doctor(context: click.Context, **flags: Any) -> None:
    """Check that velo can work here: library, memory, store, server, kernel.

    Nothing is started and nothing is left behind. `note` is worth knowing, `FAIL` keeps velo from
    working.

    Exit status: 0 no FAIL, 1 otherwise, 2 bad configuration.
    """
    findings = list(checks.examine(settings_of(**flags)))
    for finding in findings:
        click.echo(f"{finding.grade:<4}  {finding.subject:<9} {finding.text}")
    context.exit(EXIT_FAILURE if any(f.grade == checks.FAIL for f in findings) else 0)
