"""What a path is now, for the facts of entries: hashed once a content.

In: paths that a unit depended on, when it began. Out: the body of a fact, or NotCached when what
the unit saw is not what is there now. Hosted paths are told by the library (unit_log.Hosted); the
kernel is asked for the others only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import stat
import struct

from . import analysis
from .analysis import Fact, NotCached
from .entries import IN_WORKSPACE, NO_DIGEST, OWNED, SIGNED, WHOLE, Body
from .unit_log import Hosted

RACY_NS = 20_000_000  # two changes within one tick of a clock leave the same times
WINDOW_S = 1.0
HASHED_MAX = 1 << 30  # above: by its signature alone, if it is outside of hosted directories
COMPONENTS_MAX = 400
# Device, inode, size, mtime, ctime and mode, or one of the others
Identity = tuple[int, ...]
NOTHING: Identity = ()
UNKNOWN: Identity = (0,)
TIMED = {analysis.TIMES, analysis.LTIMES}
OF_THE_NAME = {  # a symlink there is not followed
    analysis.LABSENT, analysis.F_LSTAT, analysis.LTIMES, analysis.F_LINK, analysis.F_NO_LINK,
}  # fmt: skip


class Looker:
    """Remembers digests while they are true."""

    def __init__(self, workspace: str) -> None:
        self._inside = workspace.rstrip("/") + "/"
        self._resolved: dict[tuple[str, str], list[Fact]] = {}
        self._names: dict[str, tuple[tuple[int, ...], bytes]] = {}
        self._digests: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def learn(self, digests: dict[str, tuple[tuple[int, ...], bytes]]) -> None:
        """Take over the digests of files that others hashed, with their identities."""
        self._digests = digests | self._digests

    def body(self, fact: Fact, hosted: Hosted | None, began_ns: int) -> tuple[Body, Identity]:
        """The fact as it is stored, and of what, as long as that tells whether it is true still.

        Raises:
            NotCached: it is not true now, or was not all the time since the unit began.
        """
        flags = IN_WORKSPACE if fact.path.startswith(self._inside) else 0
        absent = fact.kind in (analysis.F_ABSENT, analysis.LABSENT)
        if hosted is not None:
            return self._hosted_body(fact, hosted, began_ns, flags), UNKNOWN
        if fact.kind == analysis.F_ABSENT and not os.access(fact.path, os.F_OK):
            return self.absent(fact)
        found = self._stat(fact.path, fact.kind not in OF_THE_NAME)
        if found is None:
            if absent:
                return self.absent(fact)
            raise NotCached(f"{fact.path} was removed meanwhile")
        if absent:
            raise NotCached(f"{fact.path} appeared meanwhile")
        if fact.kind == analysis.F_LINK and os.readlink(fact.path) != fact.link:
            raise NotCached(f"{fact.path} was changed meanwhile")
        if fact.kind in (analysis.F_LINK, analysis.F_NO_LINK):
            return (fact.kind, flags, 0, 0, 0, 0, 0, 0, 0, 0, NO_DIGEST), UNKNOWN
        newest_ns = max(found.st_mtime_ns, found.st_ctime_ns)
        if fact.kind == analysis.F_NAMES:
            return self._names_body(fact, found, began_ns, flags), _identity(found)
        if not stat.S_ISREG(found.st_mode):
            return self._plain_body(fact, found, flags), UNKNOWN
        if newest_ns > began_ns - RACY_NS:
            raise NotCached(f"{fact.path} was changed while the step ran, or right before")
        return self._plain_body(fact, found, flags), _identity(found)

    def _plain_body(self, fact: Fact, found: os.stat_result, flags: int) -> Body:
        plain = stat.S_ISREG(found.st_mode)
        size = found.st_size if plain else 0
        if fact.kind != analysis.CONTENT or not plain:
            kind = _kind_without_bytes(fact)
            if kind not in TIMED:
                return (kind, flags, 0, 0, size, 0, 0, found.st_mode, 0, 0, NO_DIGEST)
            inode, ctime_ns = (found.st_ino, found.st_ctime_ns) if fact.link else (0, 0)
            return (
                kind, flags | OWNED | (WHOLE if fact.link else 0), 0, inode, size,
                found.st_mtime_ns, ctime_ns, found.st_mode, found.st_uid, found.st_gid, NO_DIGEST,
            )  # fmt: skip
        # No content has that digest, so whatever is as large and was made anew is another file.
        digest = NO_DIGEST if size > HASHED_MAX else self._digest(fact.path, found)
        return (
            fact.kind, flags | SIGNED, found.st_dev, found.st_ino, size, found.st_mtime_ns,
            found.st_ctime_ns, found.st_mode, 0, 0, digest,
        )  # fmt: skip

    def absent(self, fact: Fact) -> tuple[Body, Identity]:
        """As `body`, of a path that is not there, or that the unit made: it alone tells then."""
        flags = IN_WORKSPACE if fact.path.startswith(self._inside) else 0
        return (fact.kind, flags, 0, 0, 0, 0, 0, 0, 0, 0, NO_DIGEST), NOTHING

    def is_same(self, fact: Fact, identity: Identity) -> bool:
        """Is there still what `body` told of? False: perhaps; ask it again."""
        if identity is NOTHING:
            return fact.kind == analysis.F_ABSENT and not os.access(fact.path, os.F_OK)
        if identity is UNKNOWN:
            return False
        try:
            found = os.stat(fact.path, follow_symlinks=fact.kind not in OF_THE_NAME)
        except OSError:
            return False
        return _identity(found) == identity

    def steps_of(self, path: str, real: str) -> list[Fact]:
        """What `realpath(path)` asked on its way to `real`: where does each component lead?

        Raises:
            NotCached: now it leads elsewhere.
        """
        known = self._resolved.get((path, real))
        if known is not None:
            return known
        done, rest, facts = "", path.split("/"), []
        for _ in range(COMPONENTS_MAX):
            if not rest:
                break
            name = rest.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            done += "/" + name
            try:
                link = os.readlink(done)
            except OSError:  # none, or a hosted file that is not on disk yet, and so none
                facts.append(Fact(analysis.F_NO_LINK, done))
                continue
            facts.append(Fact(analysis.F_LINK, done, link))
            done = "" if link.startswith("/") else done.rpartition("/")[0]
            rest = link.split("/") + rest
        if (done or "/") != real:
            raise NotCached(f"{path} led to {real}, and leads to {done} now")
        if not path.startswith(self._inside):
            self._resolved[path, real] = facts
        return facts

    def _hosted_body(self, fact: Fact, hosted: Hosted, began_ns: int, flags: int) -> Body:
        absent = fact.kind in (analysis.F_ABSENT, analysis.LABSENT)
        if (hosted.mode == 0) != absent:
            raise NotCached(f"{fact.path} {'appeared' if absent else 'was removed'} meanwhile")
        if absent or fact.kind in (analysis.F_LINK, analysis.F_NO_LINK):
            return (fact.kind, flags, 0, 0, 0, 0, 0, 0, 0, 0, NO_DIGEST)
        plain = stat.S_ISREG(hosted.mode)
        if fact.kind == analysis.F_NAMES:
            if hosted.ctime_ns > began_ns or not hosted.kept:
                raise NotCached(f"names were made or removed in {fact.path} while the step ran")
            return (fact.kind, flags, 0, 0, 0, 0, 0, hosted.mode, 0, 0, hosted.digest)
        if plain and hosted.ctime_ns > began_ns:
            raise NotCached(f"{fact.path} was changed while the step ran")
        size = hosted.size if plain else 0
        if fact.kind != analysis.CONTENT or not plain:
            kind = _kind_without_bytes(fact)
            mtime_ns = hosted.mtime_ns if kind in TIMED else 0
            inode, ctime_ns = (hosted.inode, hosted.ctime_ns) if fact.link else (0, 0)
            flags |= WHOLE if fact.link else 0
            return (
                kind, flags, 0, inode, size, mtime_ns, ctime_ns, hosted.mode, 0, 0, NO_DIGEST,
            )  # fmt: skip
        if not hosted.kept:
            why = "is larger than 1 GB" if size > HASHED_MAX else "was changed meanwhile"
            raise NotCached(f"{fact.path} {why}")
        return (fact.kind, flags, 0, 0, size, 0, 0, hosted.mode, 0, 0, hosted.digest)

    def _names_body(self, fact: Fact, found: os.stat_result, began_ns: int, flags: int) -> Body:
        if max(found.st_mtime_ns, found.st_ctime_ns) > began_ns - RACY_NS:
            raise NotCached(
                f"names were made or removed in {fact.path} while the step ran, or right before"
            )
        known = self._names.get(fact.path)
        if known is None or known[0] != _identity(found):
            known = self._names[fact.path] = (_identity(found), names_digest(fact.path))
        return (
            fact.kind, flags | SIGNED, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns,
            found.st_ctime_ns, found.st_mode, 0, 0, known[1],
        )  # fmt: skip

    @staticmethod
    def _stat(path: str, follow: bool) -> os.stat_result | None:
        try:
            return os.stat(path, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise NotCached(f"{path} could not be looked at: {error.strerror}") from None
            return None

    def _digest(self, path: str, found: os.stat_result) -> bytes:
        identity = _identity(found)
        known = self._digests.get(path)
        if known is not None and known[0] == identity[:5]:
            return known[1]
        try:
            with open(path, "rb", buffering=0) as file:
                if _has_writer(file.fileno()):
                    raise NotCached(f"{path} is open to be written")
                digest = hashlib.file_digest(file, "sha256").digest()
                after = os.fstat(file.fileno())
        except OSError as error:
            raise NotCached(f"{path} could not be read: {error.strerror}") from None
        if _identity(after) != identity:
            raise NotCached(f"{path} was changed meanwhile")
        self._digests[path] = (identity[:5], digest)
        return digest


def names_digest(path: str) -> bytes:
    """As velo_names_of: a sum, so that the order does not count."""
    sums = [0, 0, 0, 0]
    for entry in os.scandir(os.fsencode(path)):
        kind = entry.stat(follow_symlinks=False).st_mode >> 12
        words = struct.unpack("<4Q", hashlib.sha256(bytes([kind]) + entry.name).digest())
        sums = [(each + word) & (1 << 64) - 1 for each, word in zip(sums, words, strict=True)]
    return struct.pack("<4Q", *sums)


def _has_writer(fd: int) -> bool:
    """Can a process change the bytes while the file's times stay: through a map that it has?

    A lease on reading is refused then. It is given back at once. A process that opens the file
    meanwhile has a signal sent to us: one that is ignored by default.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:  # else: not our file, or no leases there, and so it is unknown
        return error.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _kind_without_bytes(fact: Fact) -> int:
    if fact.kind != analysis.CONTENT:
        return fact.kind
    return analysis.TIMES if fact.link else analysis.F_STAT


def _identity(found: os.stat_result) -> Identity:
    return (
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
        found.st_mode,
    )  # fmt: skip


def newest_of(identity: Identity) -> int:
    """When it was changed last; 0: unknown."""
    return max(identity[3:5], default=0)
