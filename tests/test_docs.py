"""The documents under docs/ are true, as far as a program can tell.

In: the documents, the sources that they name. Out: one failure per sentence that no longer holds.
"""

from __future__ import annotations

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
