"""Run one program as if velo did not stand between: its terminal, its signals, its end.

The child stays in our process group, so a terminal reaches it by itself: Ctrl-C, Ctrl-Z, window
changes and hang-ups go to the whole group. What a *process* sends to us (kill, timeout, a CI
runner) is passed on; the kernel says which is which (`si_code`). We never handle a signal, we
wait for them with all of them blocked, so none is lost between two instructions. When we are asked
to stop, we stop after the child: a shell that looks at its job sees the process that it started. We
do not stop when the child stops by itself: the process that continues it may know nothing of us.

In: a command and its environment. Out: how it ended. Never: read, write or close a standard
stream, change the terminal, or leave a mask or disposition behind in the child.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from . import given, limits
from .errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, CommandRefused

PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGWINCH,
        signal.SIGTSTP,
        signal.SIGCONT,
    }
)
SENT_BY_KERNEL = 0  # si_code above this: a terminal; the group has it already
OF_A_PROCESS = frozenset({signal.SIGALRM})  # by a timer (`alarm 60; exec velo`): not of the group
FIRST_POLL_S, POLL_S = 0.05, 1.0
GROWTH = 1.1  # from one to the other within ten seconds


def find_program(command: str, environment: Mapping[str, str]) -> str:
    """Where `command` is; says early and plainly that it cannot be run.

    Raises:
        CommandRefused: with exit status 127 (not found) or 126 (found, not executable).
    """
    if not command:
        raise _refused(command, errno.ENOENT)
    path = [""] if os.sep in command else environment.get("PATH", os.defpath).split(os.pathsep)
    seen = errno.ENOENT
    for directory in path:
        candidate = os.path.join(directory, command)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
        if os.path.exists(candidate):
            seen = errno.EISDIR if os.path.isdir(candidate) else errno.EACCES
    raise _refused(command, seen)


def run(
    command: Sequence[str], environment: Mapping[str, str], *, on_poll: Callable[[], None]
) -> int:
    """Run `command` to its end; its wait status, as `os.waitpid` gives it.

    Args:
        on_poll: called meanwhile, signals blocked: soon, as the command may be short, and later
            every `POLL_S` seconds.

    Raises:
        CommandRefused: the kernel would not run it.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
    try:
        pid = _spawn(command, environment, mask)
        return _wait(pid, on_poll)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def replace(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become `command`; returns never.

    Raises:
        CommandRefused: the kernel would not run it.
    """
    for number in given.expected_to_kill():
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), given.spellable(environment))
    except OSError as error:
        raise _refused(command[0], error.errno or errno.ENOENT) from None


def end_like(status: int) -> int:
    """Die by the signal that `status` tells of, without a core file; else the exit code to use."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number


def _spawn(command: Sequence[str], environment: Mapping[str, str], mask: set[int]) -> int:
    def attempt(words: Sequence[str]) -> int:
        return os.posix_spawnp(
            words[0],
            list(words),
            given.spellable(environment),
            setsigmask=mask,
            setsigdef=given.expected_to_kill(),
        )

    try:
        try:
            return attempt(command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        # A script without "#!": what a shell, and execvp(3), does with it.
        return attempt(["/bin/sh", find_program(command[0], environment), *command[1:]])
    except OSError as error:
        raise _refused(
            command[0], error.errno or errno.ENOENT, limit=limits.behind(error.errno)
        ) from None


def _wait(pid: int, on_poll: Callable[[], None]) -> int:
    waited_for = PASSED_ON | {signal.SIGCHLD}
    asked = stopped = False  # to stop; and so is the child
    pause_s = FIRST_POLL_S
    while True:
        info = signal.sigtimedwait(waited_for, pause_s)
        changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if changed and not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
            return status
        if changed:
            stopped = os.WIFSTOPPED(status)
        if info is None:
            on_poll()
            pause_s = min(pause_s * GROWTH, POLL_S)
        elif info.si_signo in PASSED_ON:
            sent = info.si_code <= SENT_BY_KERNEL or info.si_signo in OF_A_PROCESS
            if sent and info.si_pid != pid:
                os.kill(pid, info.si_signo)
            asked = info.si_signo == signal.SIGTSTP or (asked and info.si_signo != signal.SIGCONT)
        if asked and stopped:
            _stop()
            asked = stopped = False


def _stop() -> None:
    """As by default: not in a process group that no shell could continue."""
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})  # here
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})


def _refused(command: str, code: int, *, limit: str = "") -> CommandRefused:
    missing = code in (errno.ENOENT, errno.ENOTDIR)
    return CommandRefused(
        command=command,
        reason="command not found" if missing else os.strerror(code),
        exit_status=EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE,
        limit=limit,
    )
