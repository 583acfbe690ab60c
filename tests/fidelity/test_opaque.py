"""Programs that velo cannot enter: each sees what was written before it and while it runs, and what
it writes is seen at once; and `velo status` counts them by name.

In: beside.py, and programs built here. Out: the same lines natively and hosted. Never: a program
that velo could have entered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import Velo, run_native, tool
from snapshot import Snapshot
from test_scripts import outcome, prepare

HERE = Path(__file__).parent
TURNS = 300
NOBODY = 65534
# Reads, appends, removes.
SMALL = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words)
{
    char text[64] = "";
    int fd = open("build/file", O_RDWR | O_APPEND);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return perror("build/file"), 1;
    printf("%s read %sas %d\\n", words[1], text, (int)geteuid());
    if (write(fd, "and more\\n", 9) != 9)
        return perror("write"), 1;
    unlink("build/gone");
    return count > 2 ? 0 : close(fd);
}
"""
AROUND = "echo {name} >build/file; touch build/gone; {run}; cat build/file; ls build"


def opaque(velo: Velo, place: Path) -> dict[str, dict[str, int]]:
    """What the status tells of programs that could not be entered."""
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    return status["processes"]["opaque"]


def both(velo: Velo, place: Path, script: str) -> list[str]:
    """Run `script` on both sides, which must not differ; what it said."""
    place.chmod(0o755)
    prepare(place)
    (place / "build").chmod(0o777)
    native = run_native("sh", "-c", script, cwd=place, check=False)
    expected = Snapshot.of(place / "build")
    prepare(place)
    (place / "build").chmod(0o777)
    hosted = velo.exec("sh", "-c", script, cwd=place, check=False)
    assert outcome(hosted) == outcome(native)
    assert Snapshot.of(place / "build").differences(expected) == []
    return outcome(hosted)[1]


def built(place: Path, name: str, *flags: str) -> Path:
    """SMALL, compiled beside the workspace's hosted directory."""
    (place / "small.c").write_text(SMALL)
    target = place / name
    run_native(tool("gcc"), *flags, "-o", str(target), "small.c", cwd=place)
    return target


@pytest.mark.parametrize("seed", [1, 4, 8, 10])
def test_a_static_shell_and_a_program_inside_take_turns_on_one_tree(
    velo: Velo, workspace, seed: int
) -> None:
    tool("busybox")
    place = workspace()
    said = both(velo, place, f"{sys.executable} {HERE / 'beside.py'} {seed} {TURNS}")

    assert len(said) > TURNS
    assert opaque(velo, place)["busybox"]["nanoseconds"] > 0


def test_a_static_program_is_counted_once_named_and_timed(velo: Velo, workspace) -> None:
    place = workspace()
    built(place, "still", "-static")
    both(velo, place, AROUND.format(name="static", run="./still static; ./still static"))

    counted = opaque(velo, place)["still"]
    assert counted["count"] == 2
    assert f"still 2 ({counted['nanoseconds'] / 1e9:.2f} s)" in velo.run("status", cwd=place).stdout


def test_a_static_program_that_is_spawned_is_counted_once(velo: Velo, workspace) -> None:
    place = workspace()
    built(place, "still", "-static")
    spawn = (
        f"{sys.executable} -c 'import os; os.waitpid(os.posix_spawn("
        '"./still", ["still", "spawned"], os.environ), 0)\''
    )
    both(velo, place, AROUND.format(name="spawned", run=spawn))

    assert opaque(velo, place)["still"]["count"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program away")
def test_a_setuid_program_sees_and_writes_the_tree(velo: Velo, workspace, tmp_path) -> None:
    place = workspace()
    for path in [place, *place.parents][:-1]:
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    program = built(place, "other")
    os.chown(program, NOBODY, NOBODY)
    program.chmod(0o4755)
    run = "chmod 666 build/file; ./other setuid"
    said = both(velo, place, AROUND.format(name="setuid", run=run))

    assert f"as {NOBODY}" in said[1]
    assert opaque(velo, place)["other"]["count"] == 1


def test_a_program_of_another_abi_sees_and_writes_the_tree(velo: Velo, workspace) -> None:
    place = workspace()
    probe = subprocess.run(
        ["gcc", "-m32", "-static", "-x", "c", "-o", str(place / "probe"), "-"],
        input="#include <stdio.h>\nint main(void) { return 0; }\n",
        text=True,
        capture_output=True,
    )
    if probe.returncode != 0:
        missing = "gcc -m32 cannot build: package libc6-dev-i386 (gcc-multilib)"
        pytest.fail(missing) if os.environ.get("VELO_MATRIX") == "all" else pytest.skip(missing)
    for name, flags in (("small32", ["-m32"]), ("still32", ["-m32", "-static"])):
        built(place, name, *flags)
        both(velo, place, AROUND.format(name=name, run=f"./{name} abi"))

        assert opaque(velo, place)[name]["count"] == 1


@pytest.mark.parametrize(
    "drop",
    [
        "env -i",
        "env -u LD_PRELOAD",
        "env LD_PRELOAD=",
        "busybox env -i",
        "busybox env -u LD_PRELOAD",
    ],
)
def test_a_program_whose_environment_was_dropped_sees_the_tree(
    velo: Velo, workspace, drop: str
) -> None:
    place = workspace()
    built(place, "moves")
    said = both(velo, place, AROUND.format(name="dropped", run=f"{drop} ./moves {drop[-5:]}"))

    assert said[-2:] == ["and more", "file"]
