"""Each known hazard of a cache of steps has a test that exists, or says why it has none.

In: hazards.toml. Out: one failure for each row that names nothing, and for each mutant whose text
is no longer where it was.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
TABLE = tomllib.loads((HERE / "hazards.toml").read_text())
ROWS = [
    *map(str, range(1, 60)), *(f"W{n}" for n in range(1, 19)), *(f"M{n}" for n in range(1, 15)),
]  # fmt: skip
CASES = "end_to_end/test_replay_hazards.py"


def test_there_is_a_row_for_each_hazard():
    assert list(TABLE["hazards"]) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_what_exists(row):
    hazard = TABLE["hazards"][row]
    assert len(hazard.keys() & {"case", "test", "none"}) == 1 and hazard["what"]
    if "case" in hazard:
        assert f'    "{hazard["case"]}": Case(' in (TESTS / CASES).read_text()
    if "test" in hazard:
        file, _, function = hazard["test"].partition("::")
        assert re.search(rf"^def {function}\(", (TESTS / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("mutant", TABLE["mutants"], ids=lambda mutant: "-".join(mutant["rows"]))
def test_a_mutant_changes_one_place_of_a_row_with_a_test(mutant):
    assert (TESTS.parent / mutant["file"]).read_text().count(mutant["text"]) == 1
    assert all("none" not in TABLE["hazards"][row] for row in mutant["rows"])
