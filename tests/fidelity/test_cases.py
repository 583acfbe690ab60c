"""Each case of cases/ natively and hosted: the same output, exit status and tree (cases.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import cases
from support.harness import Velo


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.stem)
def test_a_case_is_the_same_natively_and_hosted(velo: Velo, workspace, case: Path) -> None:
    if reason := cases.missing(case):
        pytest.skip(reason)
    place = workspace()
    native = cases.run(case, place, velo, hosted=False)

    hosted = cases.run(case, place, velo, hosted=True)
    velo.run("stop", cwd=place, check=False)  # what is still to come to the disk

    assert hosted.lines == native.lines
    assert cases.Snapshot.of(place).differences(native.tree) == []
