"""docs/limits.md is true: each difference that it names is still there (limits/, run by cases.py).

In: the table, scripts whose heads say what they print natively and hosted. Out: a failure when a
side prints something else; a difference that is gone goes from the table, with its script.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import cases
from support.harness import Velo

TABLE = Path(__file__).parents[2] / "docs/limits.md"
SCRIPTS = Path(__file__).parent / "limits"
ROW = re.compile(r"^\|(?: [^|]+ \|){4} (?:`(?P<script>[\w.-]+)`|none: [^|]+) \|$")
HEADINGS = ("| What |", "| --- |")
LINES = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
ROWS = [line for line in LINES if not line.startswith(HEADINGS)]
NAMED = [found["script"] for line in ROWS if (found := ROW.match(line)) and found["script"]]


def promised(script: Path, side: str) -> list[str]:
    """The one line that the head of `script` says it prints on `side`, and its exit status."""
    (line,) = [text for text in cases.head_of(script) if text.startswith(f"# {side}: ")]
    return [line.removeprefix(f"# {side}: "), "exit status 0"]


def test_each_row_names_its_script_or_why_there_is_none() -> None:
    unreadable = [line for line in ROWS if not ROW.match(line)]
    assert not unreadable, f"{TABLE.name}: five columns, the last a script or none: {unreadable}"


def test_each_script_has_its_row() -> None:
    assert sorted(NAMED) == sorted(path.name for path in SCRIPTS.iterdir())


@pytest.mark.parametrize("name", NAMED)
def test_a_known_difference_is_still_there(velo: Velo, workspace, name: str) -> None:
    script = SCRIPTS / name
    if reason := cases.missing(script):
        pytest.skip(reason)
    place = workspace()

    native = cases.run(script, place, velo, hosted=False)
    hosted = cases.run(script, place, velo, hosted=True)

    assert native.lines == promised(script, "natively")
    assert hosted.lines == promised(script, "hosted"), f"gone? then from {TABLE.name}, too"
