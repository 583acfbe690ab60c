"""Who gives root's rights up is not told where the arena is, where root's processes write."""

from __future__ import annotations

import os
import sys

import pytest

from support.harness import tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
TELL = "tr '\\0' '\\n' < /proc/self/environ; readlink /proc/self/fd/* 2> /dev/null; true"
WAYS = {
    "setpriv": f'setpriv --reuid 1000 --regid 1000 --clear-groups sh -c "{TELL}"',
    "setpriv in a shell": f'exec setpriv --reuid 1000 --clear-groups sh -c "{TELL}; sh -c true"',
    "subprocess": '{python} -c \'import subprocess; subprocess.run(["sh", "tell"], user=1000)\'',
    "setuid, exec": '{python} -c \'import os; os.setuid(1000); os.execlp("sh", "sh", "tell")\'',
    "setuid, spawn": "{python} -c 'import os; os.setresuid(1000, 1000, 1000);"
    ' os.posix_spawnp("sh", ["sh", "tell"], os.environ)\' | cat',
    "setuid, environ": "{python} -c 'import os, ctypes; os.setuid(1000);"
    ' print(ctypes.CDLL(None).system(b"sh tell"))\'',
}


@pytest.mark.parametrize("way", WAYS)
def test_who_becomes_another_user_is_not_told_where_the_arena_is(velo, workspace, way):
    for needed in ("setpriv", "tr"):
        tool(needed)
    place = workspace()
    (place / "build").mkdir()
    (place / "tell").write_text(TELL)
    command = WAYS[way].replace("{python}", sys.executable)

    done = velo.exec("sh", "-c", f"env > own; touch build/x; {command} > told", cwd=place)

    told = (place / "told").read_text()
    arena = next(
        line.removeprefix("VELO_ARENA=")
        for line in (place / "own").read_text().splitlines()
        if line.startswith("VELO_ARENA=")
    )
    assert done.returncode == 0
    assert arena.startswith("/") and "VELO_ARENA=@" in told  # it is found by its mark
    assert arena not in told and os.path.realpath(arena) not in told
