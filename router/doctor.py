"""The checks of `velo doctor`: one function each, one finding each, with a remedy in it.

In: settings. Out: findings. Never: need a compiler or a server, start one, or leave a file.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from velo.interpose import launch
from velo.shards import depot
from velo.shards.errors import NotAStore, VeloError

from . import adoption, cgroup, client, lifecycle
from .arena import Arena, ensure_runtime_root
from .config import Settings
from .errors import CacheNotTrusted, ServerNotRunning
from .units import format_size

OK, NOTE, FAIL = "ok", "note", "FAIL"
KERNEL_LEAST = (5, 10)  # pidfd, close_range, openat2, statx; the oldest still maintained
KERNEL_MULTIGRAIN = (6, 13)
STORE_FREE_LEAST = 1 << 30
LOAD_TIMEOUT_S = 10
RAM_FILE_SYSTEMS = ("tmpfs", "ramfs")


# prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, no range, the selector's address)
ASK_FOR_SUD = """
import ctypes
selector = ctypes.c_char(0)
ask = ctypes.CDLL(None).prctl
ask.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
raise SystemExit(ask(59, 1, None, None, ctypes.addressof(selector)) != 0)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    grade: str
    subject: str
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, cheapest cause of trouble first."""
    yield _kernel()
    yield _library()
    yield _core()
    yield from _memory(settings)
    yield _store(settings)
    yield _workspace(settings)
    yield _server(settings)


def _kernel() -> Finding:
    release = platform.release()
    version = tuple(int("0" + "".join(filter(str.isdigit, p))) for p in release.split(".")[:2])
    if platform.system() != "Linux" or version < KERNEL_LEAST:
        least = ".".join(map(str, KERNEL_LEAST))
        return Finding(FAIL, "kernel", f"{platform.system()} {release}; Linux {least} is needed")
    if not _hands_over_calls():
        return Finding(
            NOTE,
            "kernel",
            f"Linux {release} hands over no system calls here (Syscall User Dispatch: Linux 5.11 on"
            " x86-64, and no filter that refuses it); programs that make them without libc (cargo,"
            " rustc) run on the disk's tree, slower",
        )
    grain = "multigrain" if version >= KERNEL_MULTIGRAIN else "coarse"
    return Finding(OK, "kernel", f"Linux {release} ({grain} timestamps)")


def _hands_over_calls() -> bool:
    """Ask in a child, since the kernel cannot undo it for a process.

    The selector says that all calls pass, so nothing happens to the child.
    """
    asked = subprocess.run(
        [sys.executable, "-ISc", ASK_FOR_SUD], capture_output=True, timeout=LOAD_TIMEOUT_S
    )
    return asked.returncode == 0


def _library() -> Finding:
    """The proof is the memory map of a program that was started with it."""
    try:
        library = launch.library_path()
    except launch.LibraryMissing as error:
        return Finding(FAIL, "library", str(error))
    with tempfile.TemporaryDirectory() as directory:
        loadable = launch.loadable_path(library, directory)
        environment = {**launch.without_velo(os.environ), launch.PRELOAD: loadable}
        environment[launch.DISABLE] = "1"
        try:
            done = subprocess.run(
                ["cat", "/proc/self/maps"],
                env=environment,
                capture_output=True,
                timeout=LOAD_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Finding(FAIL, "library", f"{library} could not be tried: {error}")
    if os.fsencode(loadable) in done.stdout and not done.stderr:
        return Finding(OK, "library", f"{library} loads")
    words = done.stderr.decode(errors="replace").strip() or "the loader ignored it without a word"
    return Finding(FAIL, "library", f"{library} does not load: {words}; reinstall velo here")


def _core() -> Finding:
    from velo.interpose import core

    return Finding(OK, "core", f"layout {core.layout_hash():016x}")


def _memory(settings: Settings) -> Iterator[Finding]:
    try:
        arena = Arena.of(settings.workspace)
        existed = os.path.isdir(arena.root)
        ensure_runtime_root(arena.root)
    except VeloError as error:
        yield Finding(FAIL, "memory", str(error))
        return
    yield _room(settings, arena)
    of_group = cgroup.memory_that_fits(settings.shards)
    if of_group is not None and of_group < settings.max_memory:
        yield Finding(
            NOTE,
            "memory",
            f"this container may have {format_size(cgroup.limit_bytes() or 0)} (a control group),"
            f" so velo uses {format_size(of_group)} of max_memory"
            f" {format_size(settings.max_memory)}; raise the container's limit for more",
        )
    kind = _file_system_of(arena.root)
    if kind not in RAM_FILE_SYSTEMS:
        yield Finding(
            NOTE, "memory", f"{arena.root} is on {kind}, not in memory; velo will be slow"
        )
    if not existed:
        arena.forget_root()


def _room(settings: Settings, arena: Arena) -> Finding:
    wanted = settings.max_memory
    fits = adoption.memory_that_fits(wanted, arena.root)
    if os.path.exists(arena.meta) or fits >= wanted:
        return Finding(OK, "memory", f"max_memory {format_size(wanted)} fits in {arena.root}")
    advice = (
        f"max_memory is {format_size(wanted)} and {arena.root} can hold {format_size(fits)}, which"
        " velo will use; for more: mount -o remount,size=16G /dev/shm, docker run --shm-size=16g,"
        " or VELO_RUNTIME_DIR on a larger tmpfs"
    )
    return Finding(NOTE if fits >= 1 << 28 else FAIL, "memory", advice)


def _store(settings: Settings) -> Finding:
    """Try in the deepest directory that exists: nothing has to be made for a look."""
    directory = settings.cas_dir
    while not os.path.exists(directory) and directory != "/":
        directory = os.path.dirname(directory)
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"velo")
            file.flush()
        room = os.statvfs(directory)
    except OSError as error:
        return Finding(FAIL, "store", str(depot.refusal(Path(settings.cas_dir), error)))
    try:
        lifecycle.check_owner(settings.cas_dir)
    except CacheNotTrusted as refused:
        return Finding(FAIL, "store", str(refused))
    stranger = depot.stranger_in(settings.cas_dir)
    if stranger is not None:
        found = NotAStore(directory=settings.cas_dir, found=stranger)
        return Finding(FAIL, "store", str(found))
    free_bytes = room.f_bavail * room.f_frsize
    grade = OK if free_bytes >= STORE_FREE_LEAST else NOTE
    return Finding(
        grade, "store", f"{settings.cas_dir} is writable, {format_size(free_bytes)} free"
    )


def _workspace(settings: Settings) -> Finding:
    if not os.access(settings.workspace, os.W_OK | os.X_OK):
        return Finding(FAIL, "workspace", f"{settings.workspace} cannot be written by you")
    hosted = " ".join(settings.aggressive_paths)
    return Finding(OK, "workspace", f"{settings.workspace}, hosting {hosted}")


def _server(settings: Settings) -> Finding:
    try:
        arena = Arena.of(settings.workspace)
        served = client.hello(arena, workspace=settings.workspace)
    except ServerNotRunning:
        left = os.path.exists(Arena.of(settings.workspace).meta)
        text = "none runs; what the last one left will be adopted" if left else "none runs"
        return Finding(OK, "server", text)
    except VeloError as error:
        return Finding(FAIL, "server", str(error))
    if served.pid_namespace != os.stat("/proc/self/ns/pid").st_ino:
        return Finding(
            FAIL,
            "server",
            "the one that runs is in another pid namespace (container), whose process ids mean"
            " nothing here; set VELO_RUNTIME_DIR to a directory of this container's own",
        )
    return Finding(OK, "server", f"pid {served.pid}, velo {served.version}")


def _file_system_of(path: str) -> str:
    """The type of the file system `path` is on, from the longest mount point above it."""
    best, kind = "", "unknown"
    try:
        with open("/proc/self/mounts") as mounts:
            for line in mounts:
                _, point, found, *_ = line.split(" ")
                point = point.encode().decode("unicode_escape")
                above = point.rstrip("/") + "/"
                if (path.rstrip("/") + "/").startswith(above) and len(point) >= len(best):
                    best, kind = point, found
    except (OSError, ValueError):
        pass
    return kind
