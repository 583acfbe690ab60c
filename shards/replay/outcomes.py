"""What happened to the steps of a command, in a user's words. [pure]"""

from __future__ import annotations

from collections.abc import Sequence

from . import analysis, unit_log
from .reports import Reason
from .unit_log import UnitLog

LABEL_CHARS = 160
SHELLS = ("sh", "bash", "dash")

CHANGES = {
    analysis.CONTENT: "has changed",
    analysis.F_ABSENT: "is there now",
    analysis.LABSENT: "is there now",
    analysis.F_STAT: "has another mode, size or type",
    analysis.F_LSTAT: "has another mode, size or type",
    analysis.TIMES: "has another time, or owner",
    analysis.LTIMES: "has another time, or owner",
    analysis.F_LINK: "leads elsewhere",
    analysis.F_NO_LINK: "is a symlink now",
    analysis.F_NAMES: "has other names in it",
}


def label_of(arguments: Sequence[str]) -> str:
    """How a step is called: its command line, as the shell got it."""
    shell = bool(arguments) and arguments[0].rpartition("/")[2] in SHELLS
    if shell and len(arguments) == 3 and arguments[1] in ("-c", "-ec"):
        return arguments[2][:LABEL_CHARS]
    return " ".join(arguments)[:LABEL_CHARS]


def false_fact(kind: int, path: str) -> Reason:
    return Reason(f"{path} {CHANGES.get(kind, 'is not as it was')}", path)


def named(reason: str, process: int, unit: UnitLog) -> Reason:
    """A reason, with the program that gave it when the log tells."""
    if process == 0:
        return Reason(reason)
    programs = [each for each in unit.deeds if each.kind == unit_log.PROGRAM]
    names = [each.paths[1] for each in programs if each.process == process]
    return Reason(
        f"{reason} ({names[-1]}, pid {process})" if names else f"{reason} (pid {process})"
    )


def made_by(unit: UnitLog) -> list[str]:
    """Paths that a step wrote which is not cached."""
    made: dict[str, None] = {}
    for record in unit.deeds:
        if record.kind == unit_log.RENAME:
            old, new = record.paths
            made.pop(old, None)
            made[new] = None
        elif record.kind in (unit_log.WRITE, unit_log.SYMLINK):
            made[record.path] = None
        elif record.kind == unit_log.GONE:
            made.pop(record.path, None)
    return [path for path in made if not unit_log.is_device(path)]
