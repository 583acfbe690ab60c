"""The documents under docs/ are true, as far as a program can tell.

In: the documents, the sources that they name. Out: one failure per sentence that no longer holds.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from velo.router.config import SETTINGS

TOP = Path(__file__).resolve().parent.parent
DOCS = TOP / "docs"


def test_settings_lists_each_key_with_its_default() -> None:
    rows = [line.split(" | ") for line in (DOCS / "settings.md").read_text().splitlines()]
    listed = {row[0].strip("| `"): row[1] for row in rows if len(row) == 3}
    for setting in SETTINGS:
        if setting.hidden or setting.outward:  # the latter's default is the user's own directory
            continue
        default = setting.default
        words = default if isinstance(default, tuple) else (str(default),)
        shown = ", ".join(f"`{word}`" for word in words)
        assert listed.get(setting.name) == shown, f"docs/settings.md: {setting.name}: {shown}"


def test_ci_runs_stages_that_can_be_asked_for_alone() -> None:
    listed = subprocess.run([TOP / "task"], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0] for line in listed.splitlines()}
    (line,) = [line for line in (TOP / ".ci/run").read_text().splitlines() if "./task " in line]
    stages = line.partition("./task ")[2].split()

    assert len(stages) > 5
    assert set(stages) <= names
    assert all(line.split(maxsplit=1)[1:] for line in listed.splitlines()), "a name without a word"


def test_task_refuses_a_name_that_it_does_not_know_before_it_does_any() -> None:
    done = subprocess.run([TOP / "task", "style", "weather"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert "weather" in done.stderr
