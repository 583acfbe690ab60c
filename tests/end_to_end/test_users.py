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


SHARED = """
import os, sys
with open("build/before", "w") as file, open("build/shared", "w+") as other:
    file.write("root's, ")
    file.flush()
    if len(sys.argv) > 1:  # root, who may come back
        os.setresuid(1000, 1000, 0)
    else:
        os.setuid(1000)
    file.write("and another's")
    os.write(other.fileno(), b"written")
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
maps = [line.split() for line in open("/proc/self/maps")]
arena = next(os.path.dirname(words[5]) for words in maps if "libvelo" in words[-1])
print(*{words[1] for words in maps if len(words) > 5 and words[5].startswith(arena + "/")})
"""


def test_who_is_not_root_any_more_cannot_write_what_roots_shards_believe(velo, workspace):
    place = workspace()
    (place / "build").mkdir()
    (place / "script.py").write_text(SHARED)
    (place / "Makefile").write_text(f"build/out:\n\t{sys.executable} script.py\n")

    def shared(*command: str) -> list[str]:
        done = velo.exec(*command, cwd=place)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if "-p" in line]
        assert len(lines) == 2  # its own, and those of its child
        return [word for line in lines for word in line.split() if word[1] == "w" and "s" in word]

    assert shared(sys.executable, "script.py", "comes back")  # such are there
    assert not shared(sys.executable, "script.py")
    assert not shared("make", "-B")  # nor the log of its step
    assert (place / "build/before").read_text() == "root's, and another's"
    assert (place / "build/shared").read_text() == "written"
