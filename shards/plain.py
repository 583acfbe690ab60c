"""Files where velo keeps its own: regular ones, read at once; written whole or not at all.

In: a path in the store or the runtime directory. Out: the file. Never: a wait. If a FIFO were
there, its opener would wait until another process writes; a server has no time.
[touches disk]
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def opened(path: str | Path) -> FileIO:
    """The file at `path`, to be read, without a buffer.

    Raises:
        OSError: it cannot be, or is none.
    """
    fd = os.open(path, FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file", os.fspath(path))
    return FileIO(fd)


def read(path: str | Path) -> bytes:
    """All of it.

    Raises:
        OSError: as `opened`.
    """
    with opened(path) as file:
        return file.readall()


def read_text(path: str | Path) -> str:
    """All of it; bytes that are no text are such as no text of ours has.

    Raises:
        OSError: as `opened`.
    """
    return read(path).decode(errors="replace")


def write(path: str | Path, *pieces: bytes, durably: bool = False) -> None:
    """Make or replace it: a reader finds what was there or all that is written now.

    Raises:
        OSError: the disk refused; what was there is as it was.
    """
    temporary = f"{path}.{os.urandom(8).hex()}"
    try:
        with open(temporary, "xb") as file:
            file.writelines(pieces)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
