"""Create an arena, or adopt the one that a dead server left.

In: settings and the server lock, held. Out: a mapped region and what to say about it. Never: drop
an arena that may hold the only copy of something. Only one that was never finished (no `meta`,
which appears last) is removed; one of another build is left alone and named; one whose table is not
ours any more is set aside, with all that is in memory, and a new one made.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from velo.shards import plain

from . import limits
from .arena import Arena
from .config import Settings, default_cache_dir
from .errors import ArenaDamaged, ArenaRefused, OtherVersion
from .units import format_size

if TYPE_CHECKING:
    from velo.interpose.core import Region

MEMORY_SHARE = 0.9  # of what the file system can still hold; the rest is for other programs
FIXED = (
    "max_memory",
    "aggressive_paths",
    "shards",
    "poison",
)  # settings an arena keeps for its life


MAGIC = 0x306F6C6576  # VELO_MAGIC of the core
HEAD = struct.Struct("<QIIQQ")  # how its header begins: magic, version, ready, layout, size


class Opened(NamedTuple):
    """A region to serve, and what its users should hear."""

    region: Region
    adopted: bool
    warnings: list[str]
    damage: Sequence[str] = ()  # those of them that no user may miss


def open_arena(settings: Settings, arena: Arena) -> Opened:
    """The workspace's arena, made or adopted.

    Raises:
        OtherVersion: another build made the arena that is there; it is untouched.
        ArenaRefused: it could not be made (nothing is left) or mapped (it is untouched).
    """
    damage: list[str] = []
    if os.path.exists(arena.meta):
        reason = _damage(arena)
        if reason is None:
            return _adopt(settings, arena)
        damage.append(_set_aside(arena, reason))
    arena.remove()  # what is no arena yet
    created = _create(settings, arena)
    return created._replace(warnings=damage + created.warnings, damage=damage)


def _damage(arena: Arena) -> str | None:
    """What is wrong with the arena's table, as far as its head tells; None: nothing.

    Another build's is another build's; that the core finds out.
    """
    from velo.interpose.core import layout_hash

    try:
        with plain.opened(arena.meta) as file:
            magic, _version, ready, layout, size_bytes = HEAD.unpack(file.read(HEAD.size))
            actual_bytes = os.fstat(file.fileno()).st_size
    except struct.error:
        return "its table is cut off"
    except OSError as error:
        raise ArenaRefused(path=arena.directory, reason=error.strerror or str(error)) from None
    if magic != MAGIC:
        return "its table is not one of velo's"
    if layout == layout_hash() and size_bytes != actual_bytes:
        return f"its table has {actual_bytes} bytes and should have {size_bytes}"
    return None if ready == 1 else "its table was never finished"


def _set_aside(arena: Arena, reason: str) -> str:
    """Give the arena another name; programs that are still inside keep their memory."""
    aside = f"{arena.directory}.damaged-{os.urandom(4).hex()}"
    files = os.path.join(arena.memory, "i")
    try:
        os.rename(arena.directory, aside)
    except OSError as error:
        raise ArenaRefused(path=arena.directory, reason=error.strerror or str(error)) from None
    return str(ArenaDamaged(path=arena.directory, reason=reason, aside=aside, files=files))


def fixed_settings(settings: Settings) -> dict[str, Any]:
    """Those of `settings` that an arena keeps, as JSON has them."""
    return {
        "max_memory": settings.max_memory,
        "aggressive_paths": list(settings.aggressive_paths),
        "shards": settings.shards,
        "poison": settings.poison,
    }


def record(arena: Arena, fixed: dict[str, Any]) -> None:
    """Keep with the arena the settings that it was made with.

    Raises:
        OSError: they could not be written.
    """
    with open(_record(arena), "w") as file:
        json.dump(fixed, file)


def recorded_settings(arena: Arena, region: Region) -> dict[str, Any]:
    """The settings the arena was made with: as asked for, not as the file system allowed."""
    try:
        recorded = json.loads(plain.read(_record(arena)))
        return {name: recorded[name] for name in FIXED}
    except (OSError, ValueError, KeyError, TypeError):
        return {
            "max_memory": region.max_memory,
            "aggressive_paths": list(region.patterns),
            "shards": region.shards,
            "poison": False,
        }


def differences(wanted: dict[str, Any], actual: dict[str, Any]) -> str:
    """What differs, for a sentence: `shards 4 -> 8, ...`; empty when nothing does."""
    return ", ".join(
        f"{name} {_say(name, actual.get(name))} -> {_say(name, wanted[name])}"
        for name in FIXED
        if wanted[name] != actual.get(name)
    )


def memory_that_fits(wanted_bytes: int, root: str) -> int:
    """`wanted_bytes`, or less where the file system of `root` could not hold that much."""
    found = os.statvfs(root)
    return min(wanted_bytes, int(found.f_bavail * found.f_frsize * MEMORY_SHARE))


def _adopt(settings: Settings, arena: Arena) -> Opened:
    region = _attach(arena)
    if region.workspace != settings.workspace:
        raise ArenaRefused(
            path=arena.directory, reason=f"it belongs to workspace {region.workspace}"
        )
    try:
        _install(arena.memory)
    except OSError as error:
        raise ArenaRefused(path=arena.memory, reason=error.strerror or str(error)) from None
    warnings = []
    changed = differences(fixed_settings(settings), recorded_settings(arena, region))
    if changed:
        warnings.append(f"settings changed ({changed}); 'velo stop' lets them take effect")
    return Opened(region, adopted=True, warnings=warnings)


def _attach(arena: Arena) -> Region:
    from velo.interpose.core import Region

    try:
        return Region.attach(arena.directory)
    except OSError as error:
        if error.errno == errno.EPROTO:
            raise OtherVersion(what="the arena", path=arena.directory) from None
        raise ArenaRefused(
            path=arena.directory,
            reason=error.strerror or str(error),
            limit=limits.behind(error.errno),
        ) from None


def _create(settings: Settings, arena: Arena) -> Opened:
    from velo.interpose.core import Region

    from . import cgroup  # 5 ms, and most commands find a server

    max_memory = memory_that_fits(settings.max_memory, arena.root)
    of_group = cgroup.memory_that_fits(settings.shards)  # no warning: a container is no mistake
    try:
        memory = arena.make()
        _install(memory)
        region = Region.create(
            memory,
            workspace=settings.workspace,
            alias=settings.alias,
            socket=arena.router_socket,
            patterns=settings.aggressive_paths,
            shards=settings.shards,
            max_memory=max_memory if of_group is None else min(max_memory, of_group),
            poison=settings.poison,
        )
        record(arena, fixed_settings(settings))
    except OSError as error:
        arena.remove()
        raise ArenaRefused(
            path=arena.directory,
            reason=error.strerror or str(error),
            limit=limits.behind(error.errno),
        ) from None
    warnings = []
    if max_memory < settings.max_memory and settings.origins.get("max_memory") != "default":
        warnings.append(
            f"max_memory is {format_size(settings.max_memory)} and {arena.root} can hold"
            f" {format_size(max_memory)}; using that, 'velo doctor' tells how to have more"
        )
    return Opened(region, adopted=False, warnings=warnings)


def _install(memory: str) -> None:
    """The library of this build, for every program inside: a rebuild changes nothing for them.

    Raises:
        OSError: it could not be put there.
    """
    from velo.interpose import launch

    try:
        launch.install(memory, os.path.join(default_cache_dir(), "lib"))
    except launch.LibraryMissing as error:
        raise OSError(errno.ENOENT, str(error)) from None


def _record(arena: Arena) -> str:
    return os.path.join(arena.directory, "settings.json")


def _say(name: str, value: Any) -> str:
    if name == "max_memory" and isinstance(value, int):
        return format_size(value)
    return " ".join(value) if isinstance(value, list) else str(value)
