"""What somebody outside does to whole directories while files wait for their writeback.

Moves and swaps of directories below are cases of tests/fidelity (moved-from-outside.sh)."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.harness import Velo, wait_for

FILES = 200
FILL = f"mkdir -p build/d && for i in $(seq {FILES}); do echo $i > build/d/$i; done"


def test_a_workspace_that_its_owner_removed_ends_its_server_and_gives_memory_back(
    velo: Velo, workspace
) -> None:
    place = workspace()
    _fill(velo, place)

    shutil.rmtree(place)

    wait_for(lambda: not velo.left(), what=lambda: f"still there: {velo.left()}")
    assert not place.exists()


def test_a_workspace_that_was_moved_gets_what_waits_and_its_server_ends(
    velo: Velo, workspace
) -> None:
    place = workspace()
    _fill(velo, place)
    moved = place.with_name("moved")

    place.rename(moved)

    wait_for(lambda: not velo.left(), what=lambda: f"still there: {velo.left()}")
    assert {each.name: each.read_text() for each in (moved / "build/d").iterdir()} == {
        str(i): f"{i}\n" for i in range(1, FILES + 1)
    }
    assert not place.exists()


def test_a_workspace_that_was_made_anew_has_nothing_of_the_old_one(velo: Velo, workspace) -> None:
    place = workspace()
    settings = (place / "velo.toml").read_text()
    _fill(velo, place)

    shutil.rmtree(place)
    (place / "build").mkdir(parents=True)
    (place / "velo.toml").write_text(settings)

    wait_for(lambda: not velo.left(), what=lambda: f"still there: {velo.left()}")
    done = velo.exec("sh", "-c", "ls build; echo new > build/new", cwd=place)
    assert done.stdout == ""
    assert [each.name for each in (place / "build").iterdir()] == ["new"]


def test_a_hosted_directory_that_was_removed_gives_memory_back(velo: Velo, workspace) -> None:
    place = workspace()
    _fill(velo, place)

    shutil.rmtree(place / "build")

    wait_for(lambda: not any((velo.memory() / "i").iterdir()), what=lambda: "files in memory")
    velo.run("resume", cwd=place)
    velo.run("sync", cwd=place)
    assert not (place / "build").exists()


def _fill(velo: Velo, place: Path) -> None:
    """Files that nobody has put yet."""
    velo.exec("true", cwd=place)
    velo.run("pause", cwd=place)
    velo.run("exec", "--no-wait", "--", "sh", "-c", FILL, cwd=place)
    assert not any((place / "build/d").iterdir())
