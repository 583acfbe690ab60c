"""What the router room says no with: one class per remedy, codes 240 to 299, forever.

In: the numbers at hand. Out: one sentence, *what: the numbers; what next*, and the exit status of
a command that ends because of it. Never: a traceback instead of one of these. [pure]
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from velo.shards.errors import VeloError

from . import halted

__all__ = ["VeloError"]

EXIT_FAILURE = 1  # the world said no
EXIT_USAGE = 2  # the user said something that means nothing; click's number too
EXIT_EXEC_FAILURE = 125  # `velo exec` itself failed; the command may not have run
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127


class RouterError(VeloError):
    """The base of this room's errors; `exit_status` is what a command other than exec ends with."""

    code = 240
    exit_status = EXIT_FAILURE


class BadConfiguration(RouterError):
    """A setting, in a file, a variable or a flag, means nothing or is out of range."""

    code = 241
    exit_status = EXIT_USAGE


class NoWorkspace(BadConfiguration):
    """The directory in which to look for velo.toml is not there, or may not be searched."""

    code = 262


class RuntimeRootUnusable(RouterError):
    """The directory for arenas cannot be made, or is not ours alone."""

    code = 242

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(
            f"runtime directory unusable: {path}: {reason};"
            " set VELO_RUNTIME_DIR to a directory on tmpfs that only you can enter"
        )


class SocketPathTooLong(RouterError):
    """A unix socket's path holds 107 bytes and this one needs more."""

    code = 243

    def __init__(self, *, path: str, limit_bytes: int) -> None:
        super().__init__(
            f"socket path too long: {len(os.fsencode(path))} bytes, limit {limit_bytes}: {path};"
            " set VELO_RUNTIME_DIR to a shorter directory"
        )


class AlreadyServing(RouterError):
    """Another server has this workspace."""

    code = 244

    def __init__(self, *, workspace: str, pid: int | None) -> None:
        who = f"pid {pid}" if pid else "another process"
        super().__init__(
            f"already serving: {workspace} by {who}; 'velo status' shows it, 'velo stop' ends it"
        )


class OtherVersion(RouterError):
    """The arena or the server belongs to a velo of another build."""

    code = 245

    def __init__(self, *, what: str, path: str) -> None:
        super().__init__(
            f"other version: {what} of another velo build is in {path};"
            " run 'velo stop' with that build, or remove the directory to drop what it holds"
        )


class ServerNotRunning(RouterError):
    """No server has this workspace."""

    code = 246

    def __init__(self, *, workspace: str) -> None:
        super().__init__(
            f"no server: nothing serves {workspace}; 'velo serve' or 'velo exec' starts one"
        )


class ServerDidNotStart(RouterError):
    """A server was started and ended, or was not ready in time."""

    code = 247


SEE_THERE = "; see server.log beside it, or end the process named in router.pid"


class ServerSilent(RouterError):
    """The server's socket is there, and no answer came before the deadline, or is to be expected.

    `stopped` says which process stands still (`halted.sentence`).
    """

    code = 248

    def __init__(self, *, socket: str, waited_ms: int, stopped: str = "") -> None:
        self.stopped = stopped
        why = f"; {stopped}" if stopped else ""
        super().__init__(
            f"server silent: no answer within {waited_ms} ms from {socket}{why or SEE_THERE}"
        )


class ArenaRefused(RouterError):
    """The arena could not be created or adopted; what was in it is untouched."""

    code = 249

    def __init__(self, *, path: str, reason: str, limit: str = "") -> None:
        self.limit = limit  # of this process, which keeps it out where others come in
        why = f"{reason}: {limit}" if limit else f"{reason}; 'velo doctor' looks into it"
        super().__init__(f"arena refused: {path}: {why}")


class InUse(RouterError):
    """Commands are running in the arena that was to be removed."""

    code = 250

    def __init__(self, *, count: int, pids: list[int]) -> None:
        who = f" (pids {', '.join(map(str, pids[:8]))})" if pids else ""
        super().__init__(
            f"in use: {count} processes{who} run under velo; wait for them,"
            " or 'velo stop --force', after which what they write is lost"
        )


class ShardGone(RouterError):
    """A shard died more often than its budget allows: no process answers for its files."""

    code = 251

    def __init__(self, *, index: int, restarts: int) -> None:
        super().__init__(
            f"shard gone: shard {index} died {restarts} times within a minute; nothing is lost,"
            " server.log beside router.sock says why, and it is tried again now and then"
        )


class DeadlinePassed(RouterError):
    """Some shard did not answer in time; asking again is harmless."""

    code = 110  # ETIMEDOUT: it travels to a program that knows errno only

    def __init__(self, *, verb: str, shards: list[int], waited_s: float) -> None:
        super().__init__(
            f"deadline passed: {verb}: no answer from shards"
            f" {', '.join(map(str, shards))} within {waited_s:.0f} s; ask again"
        )


class NoSuchShard(RouterError):
    """A request named a shard that this arena does not have."""

    code = 22  # EINVAL

    def __init__(self, *, shard: int, shards: int) -> None:
        super().__init__(f"no such shard: {shard}; this arena has {shards}, from 0")


class Overloaded(RouterError):
    """More requests are under way than the dispatcher holds."""

    code = 11  # EAGAIN

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"overloaded: {limit} requests are under way; ask again")


class Leaving(RouterError):
    """The server is on its way out and takes no new work."""

    code = 252

    def __init__(self) -> None:
        super().__init__("leaving: this server is stopping; start a new one in a moment")


class FlushNotEnded(RouterError):
    """The server stops, and something is not on disk yet; the arena was left in place."""

    code = 253

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(
            f"flush not ended: {reason}; nothing is lost: {path} was left in place"
            " and 'velo serve' adopts it"
        )


class AlreadyConfigured(RouterError):
    """`velo init` found a velo.toml and leaves it alone."""

    code = 254

    def __init__(self, *, path: str) -> None:
        super().__init__(f"already configured: {path} exists; edit it, it was not changed")


class CommandRefused(RouterError):
    """The program that `velo exec` was to run cannot be run."""

    code = 255

    def __init__(self, *, command: str, reason: str, exit_status: int, limit: str = "") -> None:
        self.limit = limit  # of this process, which keeps it from starting another
        super().__init__(f"cannot run {command}: {reason}" + (f": {limit}" if limit else ""))
        self.exit_status = exit_status


class NotStopped(RouterError):
    """`velo stop` could not flush everything, so the server goes on."""

    code = 256

    def __init__(self, *, reason: str, lost: Sequence[str] = ()) -> None:
        what = "; ".join(lost) if lost else "nothing is lost"
        super().__init__(f"not stopped: the server goes on and {what}, but {reason}")


class ArenaVanished(RouterError):
    """The arena was removed by hand while its server ran."""

    code = 257

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"arena vanished: {path} was removed while it was served, with what was not on disk;"
            " 'velo stop' removes the rest"
        )


class NotTrusted(RouterError):
    """A velo.toml is another user's, or others may write it; nothing in it was looked at."""

    code = 258
    exit_status = EXIT_USAGE

    def __init__(self, *, path: str, reason: str, workspace: str | None, own: str) -> None:
        remedy = "chown it to yourself and 'chmod go-w' it"
        if workspace is not None:
            remedy = (
                f'if you trust it, set VELO_TRUST={workspace}, or workspaces = ["{workspace}"]'
                f" under [trust] in {own}; or {remedy}"
            )
        super().__init__(f"not trusted: {path}: {reason}; {remedy}")


class CacheNotTrusted(RouterError):
    """The store, or the directory of manifests, is another user's; nothing in it was touched."""

    code = 263

    def __init__(self, *, path: str, uid: int) -> None:
        super().__init__(
            f"not trusted: {path}: it belongs to uid {uid}; set VELO_CACHE_DIR to a directory of"
            f" your own, or, if you trust what that user built, VELO_TRUST={path}"
        )


class SettingsDiffer(RouterError):
    """A flag asks for what the server that the user started does not have."""

    code = 259
    exit_status = EXIT_USAGE

    def __init__(self, *, pid: int, differences: str) -> None:
        super().__init__(
            f"settings differ: the server that you started (pid {pid}) has other ones than this"
            f" command asks for ({differences}); drop them here, or end it and start it with them"
        )


class ArenaDamaged(RouterError):
    """What was in memory cannot be told apart any more; it was set aside."""

    code = 260

    def __init__(self, *, path: str, reason: str, aside: str, files: str) -> None:
        super().__init__(
            f"arena damaged: {path}: {reason}; it was set aside as {aside} and a new one made;"
            f" what was not on disk is in {files}, one file for each, without names:"
            " take from there what you miss, then remove both directories"
        )


class ShardStopped(RouterError):
    """A shard's process, which owes an answer, was stopped."""

    code = 261

    def __init__(self, *, index: int, pid: int) -> None:
        super().__init__(f"shard stopped: {halted.sentence(f'shard {index}', pid)}")
