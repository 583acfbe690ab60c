"""Each case of cases/ natively and hosted: the same output, exit status and tree (cases.py).

Those that docs/ways-around.md names are test_ways.py's."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import cases
from support.harness import Velo

CASES = [case for case in cases.CASES if f"`{case.name}`" not in cases.WAYS.read_text()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_case_is_the_same_natively_and_hosted(velo: Velo, workspace, case: Path) -> None:
    if reason := cases.missing(case):
        pytest.skip(reason)
    place = workspace()
    native = cases.run(case, place, velo, hosted=False)

    hosted = cases.run(case, place, velo, hosted=True)

    cases.assert_same(velo, place, native, hosted)
