"""What the interpreter changes when it starts is put back, so that a command finds what velo found.

Python ignores SIGPIPE and SIGXFSZ, sets LC_CTYPE where the locale is C, takes no directory for its
standard input, and keeps names of variables that it cannot pass on. The launcher
(interpose/launcher.c) sees all of it before, and says so in `-X` options.

In: those options, the environment. Out: an environment and a standard input as they were. Never: a
change where the launcher did not say that there was one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

LOCALE, IGNORED, DIRECTORY = "velo_ctype", "velo_ignored", "velo_directory"
VARIABLE = "LC_CTYPE"
STDIN = 0


def restore_environment() -> None:
    """LC_CTYPE as the caller had it: the value of the option, or none where it has none."""
    given = sys._xoptions.get(LOCALE)
    if isinstance(given, str):
        os.environ[VARIABLE] = given
    elif given is not None:
        os.environ.pop(VARIABLE, None)


def restore_input() -> None:
    """The directory that is the command's standard input; the interpreter saw /dev/null."""
    given = sys._xoptions.get(DIRECTORY)
    if isinstance(given, str):
        os.dup2(int(given), STDIN)
        os.close(int(given))


def expected_to_kill() -> list[signal.Signals]:
    """Of the signals that Python ignores, those that its caller did not."""
    given = sys._xoptions.get(IGNORED)
    ignored = given.split(",") if isinstance(given, str) else ()
    return [each for each in (signal.SIGPIPE, signal.SIGXFSZ) if str(int(each)) not in ignored]


def spellable(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for exec, which refuses a variable without a name.

    "=C:=x" (Wine and WSL have such) is one called "=C:" for exec, and "" for `os.environ`; "=x" is
    none for either, and is lost.
    """
    whole = dict(environment)
    name, equals, value = whole.pop("", "").partition("=")
    return {**whole, "=" + name: value} if equals else whole
