"""What `velo exec` puts into a program's environment, and takes out of its own children's.

In: an environment, an arena's directory. Out: the environment with the preload library in it, or
without any of velo. Never: lose another library's preload, or write to the environment given.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from collections.abc import Mapping
from typing import BinaryIO

# Our own interpreters: what the user's PYTHON* variables and directories say is not for them.
PYTHON = (sys.executable, "-E", "-P")
LIBRARY_STEM = "libvelo"
INSTALLED = LIBRARY_STEM + ".so"  # in the arena
PRELOAD = "LD_PRELOAD"
ARENA = "VELO_ARENA"
DISABLE = "VELO_DISABLE"
GRACE = "VELO_GRACE_MS"  # how long a program waits for a server that is gone
GRACE_DEFAULT_MS = 5000  # the library's own (preload.c)
PT_LOAD, PT_DYNAMIC, PT_INTERP, DT_NEEDED, DT_STRTAB = 1, 2, 3, 1, 5  # elf(5)
HEAD_BYTES, SCRIPT_DEPTH_MAX = 4096, 5
NEEDED_MAX, SANITIZER_BYTES_MAX = 4, 32  # as in preload/program/sanitizer.c


class LibraryMissing(Exception):
    """The preload library is not beside this file: the package is not built or half installed."""


def library_path() -> str:
    """The preload library's file, as setuptools installed it.

    Raises:
        LibraryMissing: names where it was looked for.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    names = sorted(
        name for name in os.listdir(here) if name.startswith(LIBRARY_STEM) and name.endswith(".so")
    )
    if not names:
        raise LibraryMissing(f"no {LIBRARY_STEM}*.so in {here}; build or reinstall velo")
    return os.path.join(here, names[0])


def loadable_path(library: str, directory: str) -> str:
    """`library`, or a copy in `directory` when LD_PRELOAD could not name it.

    The loader splits LD_PRELOAD at spaces and colons and nothing escapes them.
    """
    if not any(separator in library for separator in " :"):
        return library
    import shutil  # 3 ms that almost no command has to pay

    copy = os.path.join(directory, INSTALLED)
    unfinished = f"{copy}.{os.getpid()}"
    shutil.copyfile(library, unfinished)
    os.rename(unfinished, copy)
    return copy


def is_entered(program: str) -> bool:
    """Can the library be preloaded into `program`? As preload/program/opaque.c judges the others.

    Not into one that is static, of another machine, gains privileges, or has another loader and so
    another libc. A script is what its interpreter is. What cannot be read is left to the kernel.
    """
    for _ in range(SCRIPT_DEPTH_MAX):
        try:
            with open(program, "rb") as file:
                head = file.read(HEAD_BYTES)
                privileged = os.fstat(file.fileno()).st_mode & (stat.S_ISUID | stat.S_ISGID)
        except OSError:
            return True
        if head[:2] != b"#!":
            return head[:4] != b"\x7fELF" or (not privileged and _has_our_loader(head))
        program = os.fsdecode((head[2:].split(maxsplit=1) or [b""])[0])
    return True


def _has_our_loader(head: bytes) -> bool:
    try:
        theirs, ours = _loader_of(head), _loader_of(_own_head())
        return theirs is not None and ours is not None and os.path.samefile(theirs, ours)
    except (OSError, struct.error):
        return False


def _own_head() -> bytes:
    with open(sys.executable, "rb") as file:
        return file.read(HEAD_BYTES)


def _loader_of(head: bytes) -> bytes | None:
    """What PT_INTERP says in the first bytes of an ELF file of this machine; None of any other."""
    if head[4:6] != _own_head()[4:6] or head[18:20] != _own_head()[18:20]:
        return None
    (start,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for index in range(min(count, 64)):
        kind, offset, length = struct.unpack_from("<I4xQ16xQ", head, start + index * size)
        if kind == PT_INTERP:
            return head[offset : offset + length].rstrip(b"\0")
    return None


def sanitizer_of(program: str) -> str | None:
    """The library of AddressSanitizer that an ELF `program` is linked with, or None.

    It refuses to start when another comes before it, so LD_PRELOAD names it before ours. What
    preload/program/sanitizer.c does for all other programs is done here for the first.
    """
    try:
        with open(program, "rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":
                return None
            start, size, count = (
                *struct.unpack_from("<Q", head, 32),
                *struct.unpack_from("<HH", head, 54),
            )
            file.seek(start)
            segments = [
                struct.unpack_from("<I4xQQ8xQ", file.read(size)) for _ in range(min(count, 64))
            ]
            return _first_needed(file, segments)
    except (OSError, struct.error):
        return None


def install(directory: str, elsewhere: str) -> None:
    """Put a copy of the library into `directory`, for `environment`; an older one is replaced.

    Programs load the copy for as long as the arena lives: one that was built anew meanwhile might
    not understand it. Where nothing may be run from `directory` (Docker's /dev/shm) the copy is in
    `elsewhere`, under a name made of its contents, and a link leads there. What stands there and is
    another user's, or not whole, is replaced.

    Raises:
        LibraryMissing: there is nothing to copy.
        OSError: it could not be copied.
    """
    import hashlib
    import shutil

    library = library_path()
    installed = os.path.join(directory, INSTALLED)
    unfinished = f"{installed}.{os.getpid()}"
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        with open(library, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        os.makedirs(elsewhere, exist_ok=True)
        copy = os.path.join(elsewhere, f"{LIBRARY_STEM}-{digest}.so")
        if not _is_copy(copy, digest):
            shutil.copyfile(library, f"{copy}.{os.getpid()}")
            os.rename(f"{copy}.{os.getpid()}", copy)
        os.symlink(copy, unfinished)
    else:
        shutil.copyfile(library, unfinished)
        os.chmod(unfinished, 0o755)
    os.rename(unfinished, installed)


def _is_copy(path: str, digest: str) -> bool:
    """Ours, and whole: a power cut may have left it empty, since nothing waits for the disk."""
    import hashlib

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_uid in (0, os.geteuid())
            and hashlib.file_digest(file, "sha256").hexdigest()[:16] == digest
        )


def environment(
    arena: str,
    base: Mapping[str, str] | None = None,
    *,
    grace_ms: int = GRACE_DEFAULT_MS,
    program: str | None = None,
) -> dict[str, str]:
    """`base` (the current environment) for `program`, which runs inside `arena`.

    Raises:
        LibraryMissing: there is nothing to preload.
    """
    child = without_velo(os.environ if base is None else base)
    library = os.path.join(arena, INSTALLED)
    if not os.path.exists(library) or any(separator in library for separator in " :"):
        library = loadable_path(library_path(), arena)
    first = sanitizer_of(program) if program else None
    if first is not None and first in child.get(PRELOAD, ""):
        first = None
    child[PRELOAD] = ":".join(filter(None, [first, child.get(PRELOAD), library]))
    child[ARENA] = arena
    if grace_ms != GRACE_DEFAULT_MS:
        child[GRACE] = str(grace_ms)
    return child


def without_velo(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without our library and arena; other preloads stay, in their order."""
    child = {key: value for key, value in base.items() if key not in (ARENA, PRELOAD)}
    others = [item for item in _items(base.get(PRELOAD, "")) if not _is_ours(item)]
    if others:
        child[PRELOAD] = ":".join(others)
    return child


def inside(base: Mapping[str, str]) -> str | None:
    """The arena that a process with environment `base` runs in, or None."""
    if base.get(DISABLE) == "1" or not any(map(_is_ours, _items(base.get(PRELOAD, "")))):
        return None
    return base.get(ARENA)


def _first_needed(file: BinaryIO, segments: list[tuple[int, int, int, int]]) -> str | None:
    """`segments`: type, offset, address and bytes in the file of each."""
    needed: list[int] = []
    strings = 0
    for _, offset, _, length in (each for each in segments if each[0] == PT_DYNAMIC):
        file.seek(offset)
        for tag, value in struct.iter_unpack("<QQ", file.read(length // 16 * 16)):
            if tag == DT_NEEDED:
                needed.append(value)
            elif tag == DT_STRTAB:
                strings = next(
                    (
                        o + value - a
                        for t, o, a, n in segments
                        if t == PT_LOAD and 0 <= value - a < n
                    ),
                    0,
                )
    for at in needed[:NEEDED_MAX]:
        file.seek(strings + at)
        name = file.read(SANITIZER_BYTES_MAX).partition(b"\0")[0]
        if name.startswith(b"libasan.so"):
            return name.decode("ascii", "replace")
    return None


def _items(preload: str) -> list[str]:
    return preload.replace(":", " ").split()


def _is_ours(item: str) -> bool:
    name = os.path.basename(item)
    return name.startswith(LIBRARY_STEM) and ".so" in name
