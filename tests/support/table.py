"""The table of the matrix: which rows were shown, with which versions, in what time.

In: the reports of all tests, also those of other xdist workers. Out: lines at the end of pytest's
own summary, and a file when `--matrix-report` names one. Never: a row that passed and is not named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = "matrix/"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix-report", help="Where to write the table of the matrix.")
    parser.addoption(
        "--matrix-replayed",
        action="store_true",
        help="Run each row twice more: answered by what its first run left, and verified.",
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = list(_lines(terminalreporter.stats))
    if not lines:
        return
    terminalreporter.section("matrix: native s, hosted s, row, tools")
    for line in lines:
        terminalreporter.write_line(line)
    path = config.getoption("--matrix-report")
    if path:
        Path(path).write_text("\n".join(lines) + "\n")


def _lines(stats: dict[str, list[Any]]) -> Iterator[str]:
    versions: dict[str, str] = {}
    for outcome in ("passed", "failed"):
        for report in stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "matrix" and report.when == "call":
                    name, tools, native_s, hosted_s = json.loads(value)
                    versions.update(tools)
                    yield f"{outcome} {native_s:6.1f} {hosted_s:6.1f}  {name}: {', '.join(tools)}"
    for report in stats.get("skipped", []):
        if FOLDER in report.nodeid:
            yield f"skipped {report.nodeid}: {report.longrepr[-1]}"
    for name, version in sorted(versions.items()):
        yield f"{name}: {version}"
