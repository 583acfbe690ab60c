"""Whose word counts: a velo.toml says what is hosted where, a store what was built; and root runs
builds, too.

    file, and the link that leads to it -> ours, root's, or of the user that called sudo; no other
    user may write it -> trusted
    else -> refused, unless the user named the workspace: [trust] workspaces in the user's own
    file, or VELO_TRUST

In: a path and what stat says of it. Out: None, or the sentence that says why not. Never: a guess;
a file that is not trusted is not read. As git's safe.directory, and for the same reason: a user in
a directory of another user has not asked to be told by that one what to do.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from typing import BinaryIO

VARIABLE = "VELO_TRUST"
EVERYWHERE = "*"
NULL_DEVICE = os.makedev(1, 3)


def opened(path: str) -> BinaryIO:
    """The file at `path`, to be read.

    Raises:
        OSError: it cannot be read, or is no regular file: a FIFO would wait for a writer.
    """
    file = open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) or found.st_rdev == NULL_DEVICE:
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is not a file")


def why_not(path: str, descriptor: int, environment: Mapping[str, str]) -> str | None:
    """Why the file at `path`, open as `descriptor`, is not to be believed; None when it is."""
    for found in (os.fstat(descriptor), os.lstat(path)):
        if found.st_uid not in _believed(environment):
            return f"it belongs to uid {found.st_uid}"
        if not stat.S_ISLNK(found.st_mode) and _others_may_write(found):
            return f"others may write it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def stranger(path: str, environment: Mapping[str, str]) -> int | None:
    """The user who has the directory at `path`, when what is in it is not to be believed, either:
    replay takes outputs from there, and what root writes there goes where its links lead.

    Raises:
        OSError: it cannot be looked at.
    """
    uid, listed = os.stat(path).st_uid, from_environment(environment)
    believed = uid in _believed(environment) or named(os.path.realpath(path), listed)
    return None if believed else uid


def named(workspace: str, listed: Iterable[str]) -> bool:
    """True when the user trusts `workspace` by name; both are compared as physical paths."""
    for each in listed:
        if each == EVERYWHERE or os.path.realpath(os.path.expanduser(each)) == workspace:
            return True
    return False


def from_environment(environment: Mapping[str, str]) -> list[str]:
    """What `VELO_TRUST` lists, separated by colons."""
    return [each for each in environment.get(VARIABLE, "").split(":") if each]


def _believed(environment: Mapping[str, str]) -> set[int]:
    """Ourselves, root, and, if sudo made us root, its caller: it is that user's checkout."""
    uids = {0, os.geteuid()}
    caller = environment.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdigit():
        uids.add(int(caller))
    return uids


def _others_may_write(found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found)


def _is_private_group(found: os.stat_result) -> bool:
    """A user's own group, with no other member: where those are used, umask is 002."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return (
        found.st_uid != 0
        and user.pw_gid == found.st_gid
        and user.pw_name == group.gr_name
        and not set(group.gr_mem) - {user.pw_name}
    )
