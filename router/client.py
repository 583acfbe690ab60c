"""Find the server of a workspace, start one when there is none, ask it things.

    ensure() -> HELLO ok -------------------------------------------> Served
             -> no server -> start lock -> HELLO again -> start, wait -^
             -> leaving -> wait -> again      other settings, idle -> STOP -> again

In: settings. Out: a server that answers, or an error with a remedy. Never: two servers for one
workspace (the server lock decides), pyzmq (requests go through the core's own ZMTP client), a
wait without a limit.
"""

from __future__ import annotations

import _thread
import errno
import json
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from velo.interpose import core, launch
from velo.shards import deaf
from velo.shards.errors import BytesLost
from velo.shards.wire import STOPPED_S

from . import adoption, config, halted, limits
from .arena import Arena, Lock, locked_by
from .config import Settings
from .errors import (
    AlreadyServing,
    InUse,
    Leaving,
    OtherVersion,
    RouterError,
    ServerDidNotStart,
    ServerNotRunning,
    ServerSilent,
    SettingsDiffer,
)
from .halted import Halted
from .sessions import start_time

HELLO_MS = 5_000
QUESTION_MS = 15_000
GLANCE_S = 0.3  # a command that only looks does not wait longer for a stopped server
PROBE_S = 0.1  # between two looks at whether it is
SHARDS_TIMES = 3  # longer for its shards: it has told by then, if it can
START_S = 60.0
ENDING_S = 10.0  # between the ok to STOP and the last trace of the server
STAND_S = 6.0  # between the removal of a server's sockets, or of all, and their return: 3 ticks
NO_LISTENER = (errno.ENOENT, errno.ECONNREFUSED)
POLL_S = 0.01
LAST_WORDS_BYTES = 4096


class Refused(RouterError):
    """The server said no; `code` and text are its own."""

    code = 264

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message, code=code)


class Served(NamedTuple):
    """A server that answered HELLO."""

    arena: Arena
    pid: int
    shards: int
    max_memory: int
    settings: dict[str, Any]
    version: str
    pid_namespace: int  # inode number; process ids of another one mean nothing here
    daemon: bool  # started by a `velo exec`, not by a person


def ask(
    arena: Arena,
    verb: str,
    payload: Sequence[bytes] = (),
    *,
    timeout_ms: int = QUESTION_MS,
    stopped_s: float = STOPPED_S,
) -> list[bytes]:
    """The payload of the server's ok to one request.

    Args:
        stopped_s: as long a server that somebody stopped is waited for.

    Raises:
        ServerNotRunning: no server listens.
        ServerSilent: no answer in `timeout_ms`; asking again is harmless.
        Refused: the server's own error.
    """
    if timeout_ms <= HELLO_MS:
        return _request(arena, verb, payload, timeout_ms)
    answers: list[list[bytes] | Exception] = []
    done = _thread.allocate_lock()
    done.acquire()

    def body() -> None:
        try:
            answers.append(_request(arena, verb, payload, timeout_ms))
        except Exception as error:  # the caller's to raise
            answers.append(error)
        finally:
            done.release()

    with deaf.starting_threads():
        try:
            _thread.start_new_thread(body, ())
        except RuntimeError:  # no more threads for us: without the watch
            body()
    began = time.monotonic()
    halt = Halted()
    while not done.acquire(timeout=PROBE_S):
        stopped = _who_is_stopped(arena, halt, stopped_s)
        if stopped:
            waited_ms = int((time.monotonic() - began) * 1000)
            raise ServerSilent(socket=arena.router_socket, waited_ms=waited_ms, stopped=stopped)
    (answer,) = answers
    if isinstance(answer, Exception):
        raise answer
    return answer


def _request(arena: Arena, verb: str, payload: Sequence[bytes], timeout_ms: int) -> list[bytes]:
    deadline = time.monotonic() + STAND_S
    while True:
        try:
            return core.request(arena.router_socket, verb, payload, timeout_ms=timeout_ms)
        except core.RequestFailed as error:
            raise Refused(error.code, str(error)) from None
        except TimeoutError:
            stopped = _who_is_stopped(arena, Halted(), 0.0)
            raise ServerSilent(
                socket=arena.router_socket, waited_ms=timeout_ms, stopped=stopped
            ) from None
        except (ConnectionError, FileNotFoundError) as error:
            if error.errno not in NO_LISTENER or not _may_listen_again(arena, deadline):
                raise ServerNotRunning(workspace="this workspace") from None
            time.sleep(POLL_S)


def _may_listen_again(arena: Arena, deadline: float) -> bool:
    """Is there a server all the same? It makes its socket again, or is just ending.

    Raises:
        ServerSilent: it is stopped (SIGSTOP).
    """
    pid = locked_by(arena.server_lock)
    if pid is None:
        return False
    if time.monotonic() < deadline:
        return True
    if halted.stands(pid):
        stopped, waited_ms = halted.sentence("the server", pid), int(STAND_S * 1000)
        raise ServerSilent(socket=arena.router_socket, waited_ms=waited_ms, stopped=stopped)
    return False


def _who_is_stopped(arena: Arena, halt: Halted, stopped_s: float) -> str:
    """Which process of the server has stood still for `stopped_s`, as a sentence; empty: none.

    Of a stopped shard the router tells, unless the shard holds what the router needs to.
    """
    pid = arena.read_pid()
    if pid is None:
        return ""
    now = time.monotonic()
    patience = {pid: ("the server", stopped_s)}
    patience |= {shard: ("a shard", SHARDS_TIMES * stopped_s) for shard in halted.children(pid)}
    for each, (role, wait_s) in patience.items():
        stood_s = halt.seconds(each, now)
        if stood_s is not None and stood_s >= wait_s:
            return halted.sentence(role, each)
    return ""


def hello(arena: Arena, *, workspace: str) -> Served:
    """The server of `workspace`.

    Raises:
        ServerNotRunning, ServerSilent, Refused: as `ask`; Refused with `Leaving.code` when the
            server is on its way out.
        OtherVersion: a server of another build.
    """
    try:
        said = json.loads(ask(arena, "HELLO", timeout_ms=HELLO_MS)[0])
        served = Served(
            arena=arena,
            pid=said["pid"],
            shards=said["shards"],
            max_memory=said["max_memory"],
            settings=said["settings"],
            version=said["version"],
            pid_namespace=said["pid_namespace"],
            daemon=said["daemon"],
        )
        layout = said["layout"]
    except ServerNotRunning:
        raise ServerNotRunning(workspace=workspace) from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise OtherVersion(what="a server", path=arena.directory) from None
    if layout != core.layout_hash():
        raise OtherVersion(what="a server", path=arena.directory)
    return served


def ensure(
    settings: Settings, *, say: Callable[[str], None], keep_settings: bool = False
) -> Served:
    """The server of the workspace, started when there is none; any number may race here.

    Some settings are kept for an arena's life. If they differ now, they take effect when no process
    is inside; else `say` hears that they wait. `keep_settings`: they do not matter now.

    Raises:
        VeloError: no server could be had; says why and what to do.
    """
    arena = Arena.of(settings.workspace)
    deadline = time.monotonic() + START_S
    while True:
        try:
            served = hello(arena, workspace=settings.workspace)
        except ServerNotRunning:
            if time.monotonic() > deadline:  # the process that has the lock does not listen
                waited_ms = int(START_S * 1000)
                raise ServerSilent(socket=arena.router_socket, waited_ms=waited_ms) from None
            _start_one(settings, arena, deadline, say)
            continue
        except Refused as error:
            if error.code != Leaving.code or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
            continue
        wanted = adoption.fixed_settings(settings)
        changed = adoption.differences(wanted, served.settings)
        if changed and not keep_settings and not served.daemon:
            _respect(settings, served, changed, say)
            return served
        if keep_settings or not changed or not _make_way(arena, served, changed, say):
            return served


def stop(
    arena: Arena, *, force: bool = False, timeout_s: float, pid: int | None = None
) -> list[bytes]:
    """End the server after a flush; on return its arena and sockets are gone. What it has to say.

    Raises:
        Refused: it cannot end cleanly (in use, disk full) and goes on; with `BytesLost.code` it
            ended, and names the files that were removed from memory before they were on disk.
        ServerSilent: the flush did not end in time, or the server did not; it may still.
        ServerNotRunning: there was none, or it was killed before it removed the arena.
    """
    lock = Lock(arena.server_lock)
    lost: Refused | None = None
    try:
        said = ask(arena, "STOP", [b"force"] if force else [], timeout_ms=int(timeout_s * 1000))
    except Refused as error:
        if error.code != BytesLost.code:
            raise
        lost = error
    deadline = time.monotonic() + ENDING_S
    while os.path.exists(lock.path) or (pid is not None and start_time(pid) is not None):
        if time.monotonic() > deadline:
            stopped = halted.sentence("the server", pid) if pid and halted.stands(pid) else ""
            raise ServerSilent(
                socket=arena.router_socket, waited_ms=int(ENDING_S * 1000), stopped=stopped
            )
        time.sleep(POLL_S)
        lock.sweep()
    if pid is not None and arena.read_pid() == pid:  # killed after its answer; the next removes it
        raise ServerNotRunning(workspace="this workspace")
    if lost is not None:
        raise lost
    return said


def _respect(settings: Settings, served: Served, changed: str, say: Callable[[str], None]) -> None:
    """A server that a person started stays as it is: what this command alone asks for is refused.

    Raises:
        SettingsDiffer: a flag says something else than the server has.
    """
    wanted = adoption.fixed_settings(settings)
    asked = [
        name
        for name in wanted
        if settings.origins.get(name) == config.COMMAND_LINE
        and wanted[name] != served.settings.get(name)
    ]
    if asked:
        asked_for = {name: served.settings.get(name) for name in wanted}
        asked_for.update({name: wanted[name] for name in asked})
        differences = adoption.differences(asked_for, served.settings)
        raise SettingsDiffer(pid=served.pid, differences=differences)
    say(f"settings changed ({changed}) and take effect when 'velo serve' (pid {served.pid}) ends")


def _make_way(arena: Arena, served: Served, changed: str, say: Callable[[str], None]) -> bool:
    """Stop the idle server whose settings are old; False when it is needed as it is."""
    try:
        stop(arena, timeout_s=START_S)
        return True
    except (ServerNotRunning, ServerSilent):
        return True
    except Refused as error:
        if error.code == Leaving.code:
            return True
        if error.code == BytesLost.code:
            say(str(error))
            return True
        why = "other commands run" if error.code == InUse.code else str(error)
        say(f"settings changed ({changed}) and do not take effect yet: {why}")
        return False


def _start_one(
    settings: Settings, arena: Arena, deadline: float, say: Callable[[str], None]
) -> None:
    """Start a server, unless another process was faster. Returns when one is there.

    Raises:
        ServerDidNotStart: it said why, or said nothing in time.
    """
    lock = Lock(arena.start_lock)
    if not lock.take(timeout_s=max(0.0, deadline - time.monotonic())):
        raise ServerDidNotStart(
            f"server not started: another process has been starting one for {START_S:.0f} s;"
            f" see {arena.log}"
        )
    try:
        try:
            hello(arena, workspace=settings.workspace)
        except ServerNotRunning:
            if reason := limits.lacking(settings.shards):
                raise ServerDidNotStart(f"server not started: {reason}") from None
            for notice in _launch(settings, deadline):
                say(notice)
        except Refused:
            pass
    finally:
        lock.release()


def _launch(settings: Settings, deadline: float) -> list[str]:
    """Start a server; what it has to say although it is there."""
    import subprocess

    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        said = {**settings._asdict(), "origins": dict(settings.origins)}
        process = subprocess.Popen(
            [
                *launch.PYTHON,
                "-m",
                "velo.router.daemon",
                str(write),
                json.dumps(said),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=launch.without_velo(os.environ),
            cwd="/",
            pass_fds=[write],
        )
    finally:
        os.close(write)
    try:
        answer = _read_until_closed(read, deadline)
    finally:
        os.close(read)
    with process:
        words = process.stderr.read(LAST_WORDS_BYTES) if process.stderr else b""
    return _conclude(answer, os.fsdecode(words).strip())


def _conclude(answer: str, last_words: str) -> list[str]:
    if answer.split("\n")[0] == "ready":
        return answer.splitlines()[1:]
    kind, _, rest = answer.partition(" ")
    if kind == "error":
        code, _, message = rest.partition(" ")
        if int(code) == AlreadyServing.code:
            return []  # `velo serve` was faster; the caller says hello to it
        raise Refused(int(code), message)
    last_line = last_words.splitlines()[-1] if last_words else "it said nothing"
    raise ServerDidNotStart(f"server not started: {last_line}; 'velo serve' shows more")


def _read_until_closed(fd: int, deadline: float) -> str:
    """What was written to the pipe until its last writer closed it, or the deadline came."""
    parts = []
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = os.read(fd, LAST_WORDS_BYTES)
        if not part:
            break
        parts.append(part)
    return os.fsdecode(b"".join(parts))
