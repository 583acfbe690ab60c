"""The gap detector: with `poison`, whatever slips past velo fails instead of reading something old.

In: a server with the option, its background flushes paused. Out: that a slip is loud, that nothing
else can tell, and that whole builds have no slip. The fidelity scripts run with it, too
(test_scripts.py).
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from support import project, sample
from support.harness import Velo, run_native

# What velo itself does inside is what a slip does: a program with the first alone is opaque.
SLIP = "VELO_DISABLE=1 VELO_STARTED_OVER=1"
# Of a dead socket without any right: ENXIO for root, whom no right stops.
LOUD = "No such device or address" if os.geteuid() == 0 else "Permission denied"
CHANGES = {
    "create": "echo new > build/new",
    "append": "echo more >> build/old",
    "rewrite": "echo other > build/old",
    "in-place": 'python3 -c \'open("build/old", "r+").write("x")\'',
    "chmod": "echo x > build/new; chmod 640 build/new",
    "replace": "echo new > build/new; mv build/new build/old",
    "link": "echo new > build/new; ln build/new build/second; rm build/new",
    "move-directory": "mkdir build/deep; echo new > build/deep/new; mv build/deep build/other",
    "copy": "cp build/old build/copy",
    "truncate": "truncate -s 100 build/old",
}
LOOK = (
    "cd build; find . -type f | sort | xargs grep -H .; find . | sort | xargs ls -ld | cut -c1-10"
)


def fill(place: Path) -> None:
    shutil.rmtree(place / "build", ignore_errors=True)
    (place / "build").mkdir()
    (place / "build/old").write_text("old\n")


@pytest.fixture
def place(workspace) -> Path:
    made = workspace()
    fill(made)
    return made


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_access_that_slips_through_is_loud_and_no_other_can_tell(
    velo: Velo, place: Path, change: str
) -> None:
    expected = run_native("sh", "-c", f"{change}; {LOOK}", cwd=place).stdout
    fill(place)
    velo.poison(cwd=place)

    script = f"{change}; {LOOK}; echo slips:; find . -type f | {SLIP} xargs cat 2>&1"
    hosted = velo.exec("sh", "-c", script, cwd=place, check=False)

    seen, _, slipped = hosted.stdout.partition("slips:\n")
    assert seen == expected
    assert LOUD in slipped
    left = [path for path in (place / "build").rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
    assert left == []


def test_who_asks_for_the_tree_on_disk_gets_it(velo: Velo, place: Path) -> None:
    velo.poison(cwd=place)
    script = f"echo new > build/new; velo sync; {SLIP} cat build/new"
    script += "; echo 2 > build/new; cat build/new"

    hosted = velo.exec("sh", "-c", script, cwd=place)

    assert hosted.stdout == "new\n2\n"
    assert (place / "build/new").read_text() == "2\n"


def test_poison_is_no_change_from_outside(velo: Velo, place: Path) -> None:
    # Goal: a second command, which compares with the disk, finds poison where it should be.
    velo.poison(cwd=place)
    script = "echo 1 > build/old; exec 3> build/open; echo 2 >&3"
    script += f"; {SLIP} sh -c 'test -S build/old && test -S build/open' && env -u VELO_ARENA"
    script += f" {SLIP} velo status > /dev/null; env -u LD_PRELOAD -u VELO_ARENA velo exec"
    script += " cat build/old build/open"

    hosted = velo.exec("sh", "-c", script, cwd=place)

    assert hosted.stdout == "1\n2\n"
    assert hosted.stderr == ""


def test_a_build_has_no_slip(velo: Velo, workspace) -> None:
    place = workspace()
    project.write(place, units=12)
    expected = project.native(place)
    velo.poison(cwd=place)

    project.build(velo.exec, place)

    project.assert_built_as(expected, place)


@pytest.mark.sample
def test_a_real_build_has_no_slip(velo: Velo, workspace) -> None:
    # That its tree is the native one, too, is tests/end_to_end/test_build.py's to show.
    place = workspace()
    sample.unpack(place)
    velo.poison(cwd=place)

    project.build(velo.exec, place, target=sample.HALF)

    assert len(list((place / "build").rglob("*.o"))) >= sample.STEPS_MIN // 2
    project.assert_up_to_date(place, target=sample.HALF)
    assert sample.run_own_tests(place, place / "build", sample.HALF) == []
