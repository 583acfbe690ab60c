"""docs/ways-around.md is true: each way that it names is counted when it is gone, and nobody can
tell that it was (cases.py)."""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path

import pytest

from support import cases
from support.harness import Velo

TABLE = cases.WAYS
ROW = re.compile(r"^\| (?P<way>.+?) \| .+ \| `(?P<key>[\w.]+)` \| `(?P<script>[\w.-]+)` \|$")
ROWS = [found for line in TABLE.read_text().splitlines() if (found := ROW.match(line))]


def test_the_table_has_rows_that_can_be_read() -> None:
    bars = sum(line.startswith("| ") for line in TABLE.read_text().splitlines())
    assert len(ROWS) == bars - 2 > 0  # the heading and the line below it are none


def count(velo: Velo, place: Path, key: str) -> int:
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    value = reduce(lambda at, name: at[name], key.split("."), status)
    return value if isinstance(value, int) else sum(each["count"] for each in value.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["script"])
def test_a_way_around_is_counted(velo: Velo, workspace, row: re.Match[str]) -> None:
    case = cases.DIRECTORY / row["script"]
    assert case.exists(), f"{TABLE.name} names {case.name}, which is not there"
    if reason := cases.missing(case):
        pytest.skip(reason)
    place = workspace()
    native = cases.run(case, place, velo, hosted=False)
    velo.exec("true", cwd=place)
    before = count(velo, place, row["key"])

    hosted = cases.run(case, place, velo, hosted=True)

    assert count(velo, place, row["key"]) > before, f"{row['key']} did not rise"
    cases.assert_same(velo, place, native, hosted)
