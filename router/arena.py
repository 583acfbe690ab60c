"""Where an arena's files are, and the locks that a process needs to make, use and remove it.

    <root>/                 $VELO_RUNTIME_DIR or /dev/shm/velo-<uid>, 0711, ours
      <id>.lock             held by the server for as long as it lives
      <id>.start            held by the process that is starting a server
      <id>/                 the arena, 0700: first 16 hex digits of sha256(workspace)
        memory              link to the directory below
        router.sock shards.<pid>.sock router.pid server.log sessions/
      <24 random digits>/   0711: what programs use, also those that change their user
        meta  i/  clock     the core's
        libvelo.so          the preload library, as it was when the server started
        router              link to router.sock

In: a workspace. Out: paths, held locks. Never: remove a lock file without holding it; take a lock
on a file that was removed meanwhile (that is why `Lock` compares identities).
The arena is ours and 0700, which checks the credentials of every peer: no other user can reach a
socket in it. Memory has a name of its own because a program that drops its privileges must still
reach it. The environment tells the name to our programs. Other users cannot list the root, nor find
the name in /proc, where every user may read sockets and command lines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from typing import NamedTuple

from velo.interpose import core
from velo.shards import plain

from .errors import RuntimeRootUnusable, SocketPathTooLong

SOCKET_PATH_BYTES_MAX = 107
PID_MAX = 1 << 22  # the kernel's own limit
LOCK_POLL_S = 0.01
HOLD_ON_S = 1.0  # a taker that finds the holder gives the new file up at once


def runtime_root() -> str:
    """The directory that holds all of this user's arenas."""
    return os.environ.get("VELO_RUNTIME_DIR") or f"/dev/shm/velo-{os.getuid()}"


def ensure_runtime_root(root: str) -> None:
    """Make `root` exist, ours, and such that no other user can list or write it.

    Raises:
        RuntimeRootUnusable: it cannot be made, or is another user's, or a symlink.
    """
    try:
        os.makedirs(os.path.dirname(root.rstrip("/")) or "/", exist_ok=True)
        try:
            os.mkdir(root, 0o700)
            os.chmod(root, 0o711)  # whatever the umask is
        except FileExistsError:
            pass
        found = os.lstat(root)
        movable = _movable_by_others(os.path.dirname(os.path.realpath(root)))
    except OSError as error:
        raise RuntimeRootUnusable(path=root, reason=error.strerror or str(error)) from None
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeRootUnusable(path=root, reason="it is not a directory")
    if found.st_uid != os.getuid():
        raise RuntimeRootUnusable(path=root, reason=f"it belongs to uid {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o066:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise RuntimeRootUnusable(path=root, reason=f"others can list or write it (mode {mode})")
    if movable is not None:
        raise RuntimeRootUnusable(
            path=root, reason=f"it lies below {movable} and can be moved away"
        )


def _movable_by_others(directory: str) -> str | None:
    """Where, at or above `directory`, others may rename what is ours; None: nowhere.

    Root is believed, also where it is another namespace's and so shows as the overflow uid. Where
    the sticky bit is set, each name is its owner's.
    """
    while True:
        found = os.stat(directory)
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        if found.st_uid not in (0, os.getuid()) and found.st_uid != _overflow_uid():
            return f"{directory}, which is of uid {found.st_uid},"
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"{directory}, which others may write ({mode}),"
        if directory == "/":
            return None
        directory = os.path.dirname(directory)


def _overflow_uid() -> int:
    """The owner that files of users outside of our user namespace have."""
    try:
        return int(plain.read_text("/proc/sys/kernel/overflowuid"))
    except (OSError, ValueError):
        return -1


class Arena(NamedTuple):
    """The paths of one workspace's arena. Says nothing about whether they exist."""

    root: str
    id: str

    @classmethod
    def of(cls, workspace: str) -> Arena:
        """The arena of `workspace` (physical path).

        Raises:
            SocketPathTooLong: a socket in it could not be bound.
        """
        root = os.path.abspath(runtime_root())
        arena = cls(root, core.sha256(os.fsencode(workspace)).hex()[:16])
        for path in (arena.router_socket, arena.shards_socket(PID_MAX)):
            if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
                raise SocketPathTooLong(path=path, limit_bytes=SOCKET_PATH_BYTES_MAX)
        return arena

    @property
    def directory(self) -> str:
        return os.path.join(self.root, self.id)

    @property
    def memory(self) -> str:
        """The directory that the core and the programs know: what `VELO_ARENA` says."""
        try:
            return os.readlink(self._memory_link)
        except OSError:
            return self.directory

    @property
    def meta(self) -> str:
        return os.path.join(self.memory, "meta")

    @property
    def _memory_link(self) -> str:
        return os.path.join(self.directory, "memory")

    @property
    def router_socket(self) -> str:
        return os.path.join(self.directory, "router.sock")

    def shards_socket(self, pid: int) -> str:
        """Where the shards of router `pid` connect.

        Each router has its own: a shard of a killed router may be slow to end, and reconnects by
        itself. It must not be taken for the next router's shard of the same number.
        """
        return os.path.join(self.directory, f"shards.{pid}.sock")

    @property
    def pid_file(self) -> str:
        return os.path.join(self.directory, "router.pid")

    @property
    def log(self) -> str:
        return os.path.join(self.directory, "server.log")

    @property
    def sessions(self) -> str:
        return os.path.join(self.directory, "sessions")

    @property
    def server_lock(self) -> str:
        return self.directory + ".lock"

    @property
    def start_lock(self) -> str:
        return self.directory + ".start"

    def read_pid(self) -> int | None:
        """The pid the last server wrote, which may be long dead."""
        try:
            return int(plain.read(self.pid_file).split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def make(self) -> str:
        """Make the two directories, empty; `memory`. The server lock must be held."""
        os.mkdir(self.directory, 0o700)
        os.symlink(os.path.join(self.root, os.urandom(12).hex()), self._memory_link)
        os.mkdir(self.memory, 0o700)
        os.chmod(self.memory, 0o711)
        os.symlink(self.router_socket, os.path.join(self.memory, "router"))
        return self.memory

    def make_again(self, memory: str) -> bool:
        """Where the directory was removed, make it; True then. The server lock must be held.

        Args:
            memory: the directory that the core has.

        Raises:
            OSError: it cannot be made.
        """
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            return False
        os.symlink(memory, self._memory_link)
        return True

    def remove(self) -> None:
        """Remove the arena. The server lock must be held."""
        import shutil  # 3 ms that only the last one here pays

        shutil.rmtree(self.memory, ignore_errors=True)  # first: its name is in the other
        shutil.rmtree(self.directory, ignore_errors=True)

    def forget_root(self) -> None:
        """Remove the root when nothing is left in it."""
        with suppress(OSError):
            os.rmdir(self.root)


class Lock:
    """An exclusive flock on a file that disappears with it.

    Unlinking a lock file is safe only if takers check, after locking, that the name still leads
    to the file they locked; they do, so a released lock leaves nothing behind. A holder keeps the
    lock when the file is removed (RemoveIPC at a logout takes the whole root): takers
    look for it in /proc, and it makes the file again by `hold_on`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def take(self, *, timeout_s: float) -> bool:
        """Try for `timeout_s` seconds (0: once); True when it is held.

        Raises:
            RuntimeRootUnusable: the lock file cannot be made.
        """
        deadline = time.monotonic() + timeout_s
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOCK_POLL_S)
        return True

    def release(self) -> None:
        """Remove the file, and the root when that was all in it, and let go.

        Does nothing when not held.
        """
        if self._fd < 0:
            return
        if self.is_ours():
            os.unlink(self.path)
        os.close(self._fd)
        self._fd = -1
        with suppress(OSError):
            os.rmdir(os.path.dirname(self.path))

    def sweep(self) -> None:
        """Remove the file that a killed holder left; nothing when it is held, or not there."""
        with suppress(OSError):
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                return
            self._fd = fd
            self.release()

    def hold_on(self) -> bool:
        """Hold it still, with a new file where ours was removed; False: another process has it."""
        if self.is_ours():
            return True
        removed, self._fd = self._fd, -1
        try:
            taken = self.take(timeout_s=HOLD_ON_S)
        except RuntimeRootUnusable:
            taken = False
        if taken:
            os.close(removed)
        else:
            self._fd = removed
        return taken

    def is_ours(self) -> bool:
        """False when not held, or when the file, or the whole root, was removed by hand."""
        try:
            return self._fd >= 0 and os.path.samestat(os.fstat(self._fd), os.stat(self.path))
        except OSError:
            return False

    def _try(self) -> bool:
        root = os.path.dirname(self.path)
        ensure_runtime_root(root)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False  # the root was just removed by the last server; it is made anew
        except OSError as error:
            raise RuntimeRootUnusable(path=root, reason=error.strerror or str(error)) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fd = fd
            if self.is_ours():
                if _process_with([_removed(self.path)]) is None:
                    return True
                self.release()
                return False
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
        self._fd = -1
        os.close(fd)
        return False


def locked_by(path: str) -> int | None:
    """The pid of another process that has the lock `path`, whether or not its file is there."""
    return _process_with([os.path.realpath(path), _removed(path)])


def _removed(path: str) -> str:
    """What /proc calls a file that was there, and that a process still has open."""
    return os.path.realpath(path) + " (deleted)"


def _process_with(names: list[str]) -> int | None:
    """A process that has locked a file, and has one of `names` open; only of ours /proc tells."""
    try:
        locks = [line.split() for line in plain.read("/proc/locks").splitlines()]
    except OSError:
        return None
    pids = {int(words[4]) for words in locks if words[1] == b"FLOCK"}  # not those that wait: "->"
    for pid in pids - {os.getpid()}:
        with suppress(OSError):  # another user's, or it ended
            for fd in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(fd.path) in names:
                        return pid
    return None
