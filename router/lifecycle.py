"""`velo serve`: from settings to a server, and the arena's life around it.

    lock -> store checked -> arena created or adopted -> Server.run
         -> arena removed or left -> store brought below its cap

In: settings. Out: None, or why the arena was left in place. Never: touch an arena, a socket or a
pid file without the server lock; a stale one found under it belongs to no server, and is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from velo.shards import depot
from velo.shards.errors import VeloError

from . import adoption, trust
from .arena import Arena, Lock
from .config import Settings, default_cache_dir
from .errors import AlreadyServing, CacheNotTrusted
from .server import Server
from .units import format_size


def serve(
    settings: Settings,
    *,
    daemon: bool = False,
    opened: Callable[[str], None] = lambda log: None,
    ready: Callable[[Sequence[str]], None] = lambda notices: None,
    say: Callable[[str], None],
) -> VeloError | None:
    """Be the server of `settings.workspace` until told to end.

    Args:
        daemon: end by itself after `idle_exit` without a client.
        opened: runs once with the log file's path, when the arena is there.
        ready: runs once, when requests are accepted; is told what no user may miss.
        say: hears, in one sentence each, what an operator should know.

    Returns None when the arena was removed, else why it was left in place.

    Raises:
        AlreadyServing: another process is; nothing was touched.
        CacheNotTrusted: the store is another user's.
        VeloError: no arena could be had.
    """
    arena = Arena.of(settings.workspace)
    lock = Lock(arena.server_lock)
    if not lock.take(timeout_s=0):
        raise AlreadyServing(workspace=settings.workspace, pid=arena.read_pid())
    try:
        check_owner(settings.cas_dir)
        _check_store(settings.cas_dir)
        found = adoption.open_arena(settings, arena)
        opened(arena.log)
        for warning in found.warnings:
            say(warning)
        if found.adopted:
            _forget_sockets(arena)
            say(f"adopted {arena.directory}")
        server = Server(
            settings._replace(shards=found.region.shards),
            arena,
            found.region,
            still_ours=lock.hold_on,
            daemon=daemon,
            say=say,
        )
        left = server.run(ready=lambda: ready(found.damage))
        if left is None:
            arena.remove()
            Lock(arena.start_lock).sweep()  # of a command that was killed while it started us
        elif lock.is_ours():
            _forget_sockets(arena)
            say(str(left))
    finally:
        lock.release()
    if left is None:
        _collect(settings, say)
    return left


def _collect(settings: Settings, say: Callable[[str], None]) -> None:
    """The store grew: is it above its cap? A failure here fails no server's end."""
    from velo.shards import collector

    try:
        found = collector.collect_at_times(
            Path(settings.cas_dir), max_bytes=settings.store_max_size
        )
    except VeloError as error:
        say(f"store not collected: {error}")
        return
    if found is not None:
        say(collector.sentence(found, settings.cas_dir, format_size))


def check_owner(store: str) -> None:
    """It and the directory of caches are ours, root's, of the user that called sudo, or not there.

    Raises:
        CacheNotTrusted: one is not.
    """
    for directory in (store, default_cache_dir()):
        with contextlib.suppress(OSError):
            uid = trust.stranger(directory, os.environ)
            if uid is not None:
                raise CacheNotTrusted(path=directory, uid=uid)


def _check_store(directory: str) -> None:
    """Say now, in one sentence, what every shard would say later.

    Raises:
        NotAStore: it is a directory with other things in it.
        StoreFull, StoreUnusable: it cannot be made or written.
    """
    try:
        depot.prepare(Path(directory))
        if not os.access(directory, os.W_OK | os.X_OK):
            is_read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
            code = errno.EROFS if is_read_only else errno.EACCES
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise depot.refusal(Path(directory), error) from None


def _forget_sockets(arena: Arena) -> None:
    """Remove what names a server that is no more: sockets and pid file."""
    for name in os.listdir(arena.directory):
        path = os.path.join(arena.directory, name)
        if name.endswith(".sock") or path == arena.pid_file:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
