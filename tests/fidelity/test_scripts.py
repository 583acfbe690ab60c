"""The kernel is the oracle: each script runs in a plain directory and in a hosted one, at the same
path, and must print the same, end the same and leave the same tree.

In: scripts/*.sh, run by bash in a fresh workspace with an empty `build/` and `src/a.c`. Out:
output, exit status, and the tree. Never: anything that differs between two native runs; a script
that would show a random name or a time of day hides it.

Each runs once more with the gap detector (`poison`): nothing is flushed that a program did not ask
for, and what is in memory only cannot be read on disk, so an access that slips past velo is seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.harness import Velo, run_native
from support.scripts import outcome, prepare
from support.snapshot import Snapshot

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.sh"))
TIMEOUT_S = 300


@pytest.mark.parametrize("poison", [False, True], ids=["plain", "poison"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_cannot_tell_a_hosted_directory_from_a_plain_one(
    velo: Velo, workspace, script: Path, poison: bool
) -> None:
    place = workspace()
    prepare(place)
    command = ["bash", str(script)]
    native = run_native(*command, cwd=place, timeout_s=TIMEOUT_S, check=False)
    expected = Snapshot.of(place / "build")
    prepare(place)
    if poison:
        velo.poison(cwd=place)

    hosted = velo.exec(*command, cwd=place, timeout_s=TIMEOUT_S, check=False)

    assert outcome(hosted) == outcome(native)
    assert Snapshot.of(place / "build").differences(expected) == []
