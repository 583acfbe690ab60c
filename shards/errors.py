"""Everything velo says no with: one class per remedy, one number per class.

In: the numbers at hand when something could not be done. Out: a sentence in three parts, *what:
the numbers; what next*. Never: a code used twice, a code reused after its class is gone.

Codes below 200 are errno values, because they travel to a program that knows nothing else.
200-239 belong to this room, 240-299 to `velo.router`; frames, exit statuses and docs use them.
[pure]
"""

from __future__ import annotations

import errno
from collections.abc import Sequence


class VeloError(Exception):
    """The base of every refusal; `code` goes into the error frame, `str()` to the user."""

    code = 200

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ProtocolError(VeloError):
    """The peer's frames were not a request or reply of ours."""

    code = 201


class UnknownVerb(VeloError):
    """A well-formed request with a verb that there is not."""

    code = 202

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"unknown verb: {verb[:32]!r}; client and server are of different versions"
        )


class StoreFull(VeloError):
    """The disk under the store refused more bytes; the file that was being stored stays dirty."""

    code = 203

    def __init__(self, *, directory: str, wanted_bytes: int, free_bytes: int) -> None:
        room = f"{free_bytes} bytes free"  # for an unknown number
        if wanted_bytes:
            room = f"wanted {wanted_bytes} bytes, {free_bytes} free"
        super().__init__(
            f"store full: {room} in {directory};"
            " free disk space or set VELO_CAS_DIR to a larger disk, nothing was dropped"
        )
        self.wanted_bytes = wanted_bytes
        self.free_bytes = free_bytes


class StoreUnusable(VeloError):
    """The store's directory cannot be written or read at all."""

    code = 204

    def __init__(self, *, directory: str, reason: str) -> None:
        super().__init__(
            f"store unusable: {directory}: {reason};"
            " make it writable or set VELO_CAS_DIR to a directory that is"
        )


class NotAStore(VeloError):
    """The directory that is to be the store holds things that velo did not make."""

    code = 208

    def __init__(self, *, directory: str, found: str) -> None:
        super().__init__(
            f"not a store: {directory} has {found!r} in it, which velo did not make;"
            " set VELO_CAS_DIR to a directory of its own, nothing was touched"
        )


class ManifestDamaged(VeloError):
    """A manifest was not what we wrote; it was set aside and is written anew."""

    code = 209

    def __init__(self, *, path: str, aside: str, reason: str) -> None:
        super().__init__(
            f"manifest damaged: {path}: {reason}; it was set aside as {aside} and is written anew"
            " from what is in memory and on disk; nothing is lost, check the disk"
        )


class BlobMissing(VeloError):
    """The store has no blob of that name."""

    code = 205

    def __init__(self, *, digest: str) -> None:
        super().__init__(
            f"blob missing: {digest} is not in the store; was it removed by hand? rebuild the file"
        )


class BlobCorrupt(VeloError):
    """A blob's bytes are not those its name promises."""

    code = 206

    def __init__(self, *, digest: str, path: str, reason: str) -> None:
        super().__init__(
            f"blob corrupt: {digest} {reason};"
            f" remove {path} and rebuild the file, then check the disk"
        )


NAMED_MAX = 100  # paths in one sentence


def named(paths: Sequence[str]) -> str:
    """`paths` for a sentence: all of them, or so many that a terminal can hold them."""
    shown = [repr(path)[1:-1] if not path.isprintable() else path for path in paths[:NAMED_MAX]]
    rest = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


class TreeRefused(VeloError):
    """The disk refused some files at their real paths; they stay in memory and dirty."""

    code = 207

    def __init__(self, *, paths: Sequence[str], reason: str) -> None:
        super().__init__(
            f"tree not complete: {reason}; files not on disk yet: {len(paths)}"
            f" ({named(paths)}); free disk space or fix permissions, they are kept in memory and"
            " will be tried again"
        )


class FilesLost(VeloError):
    """Files whose bytes were in the store only, and the store has them no more."""

    code = 210

    def __init__(self, *, paths: Sequence[str], reason: str) -> None:
        super().__init__(
            f"files lost: {len(paths)} were in the store only and are gone ({named(paths)}):"
            f" {reason}; make them again, or remove them"
        )


class BytesLost(VeloError):
    """Files were removed from memory, and were nowhere else; their names are gone, too."""

    code = 211

    def __init__(self, *, paths: Sequence[str], also: str = "") -> None:
        super().__init__(
            f"files lost: another program removed the memory of {len(paths)} that were not on disk"
            f" yet ({named(paths)}); their older versions are there now, or nothing: make them"
            " again; all others are kept" + (f"; {also}" if also else "")
        )


class FlushLockBusy(VeloError):
    """Another process is putting the tree on disk and did not end within the deadline."""

    code = errno.ETIMEDOUT

    def __init__(self, *, waited_ms: int) -> None:
        super().__init__(
            f"tree busy: another process put files on disk for {waited_ms} ms; ask again"
        )


class ShardFull(VeloError):
    """Nothing more can leave memory, and what was asked for does not fit under the cap."""

    code = errno.ENOSPC

    def __init__(self, *, wanted_bytes: int, used_bytes: int, limit_bytes: int, why: str) -> None:
        super().__init__(
            f"memory full: wanted {wanted_bytes} bytes,"
            f" {used_bytes} of {limit_bytes} used and {why}; raise max_memory or free disk space"
        )


class LoadFailed(VeloError):
    """The bytes of a COLD file could not be brought back."""

    code = errno.EIO

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"load failed: {path}: {reason}")
        self.path = path
        self.reason = reason
