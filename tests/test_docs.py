"""The documents under docs/ are true, as far as a program can tell.

In: the documents, the sources that they name. Out: one failure per sentence that no longer holds.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support import cases
from velo.router.config import SETTINGS

TOP = Path(__file__).resolve().parent.parent
DOCS = TOP / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *TOP.glob("*.md"), TOP / "tests/README.md"])
TOPS = ("interpose", "router", "shards", "tests", "docs", "perf", ".ci")
FUNCTION = re.compile(r"`([\w./-]+\.(?:c|h|py)): (\w+)`")
PATH = re.compile(rf"`((?:{'|'.join(map(re.escape, TOPS))})/[\w./-]+)`")
LINK = re.compile(r"\]\(([\w./-]+)\)")


def _tasks() -> str:
    return subprocess.run([TOP / "task"], capture_output=True, text=True, check=True).stdout


def test_settings_lists_each_key_with_its_default() -> None:
    rows = [line.split(" | ") for line in (DOCS / "settings.md").read_text().splitlines()]
    listed = {row[0].strip("| `"): row[1] for row in rows if len(row) == 3}
    for setting in SETTINGS:
        if setting.hidden or setting.outward:  # the latter's default is the user's own directory
            continue
        default = setting.default
        words = default if isinstance(default, tuple) else (str(default),)
        shown = ", ".join(f"`{word}`" for word in words) or "none"
        assert listed.get(setting.title) == shown, f"docs/settings.md: {setting.title}: {shown}"


def test_ci_runs_stages_that_can_be_asked_for_alone() -> None:
    listed = _tasks()
    names = {line.split()[0] for line in listed.splitlines()}
    (line,) = [line for line in (TOP / ".ci/run").read_text().splitlines() if "./task " in line]
    stages = line.partition("./task ")[2].split()

    assert len(stages) > 5
    assert set(stages) <= names
    assert all(line.split(maxsplit=1)[1:] for line in listed.splitlines()), "a name without a word"


def test_ci_installs_each_program_that_a_case_is_skipped_without() -> None:
    installed = set(re.findall(r"\bneed (\S+) \S+", (TOP / ".ci/tools").read_text()))
    needed = {
        word: case.name
        for case in cases.CASES
        for line in cases.head_of(case)
        if line.startswith("# needs:")
        for word in line.removeprefix("# needs:").split()
        if word not in cases.NO_PROGRAMS and not word.startswith("/")
    }
    assert needed, "no case says what it needs"
    missing = {word: name for word, name in needed.items() if word not in installed}
    assert not missing, f".ci/tools does not install {missing}"


def test_task_refuses_a_name_that_it_does_not_know_before_it_does_any() -> None:
    done = subprocess.run([TOP / "task", "style", "weather"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert "weather" in done.stderr


def defines(path: Path, function: str) -> bool:
    """Does the file define it? In C a definition begins a line and ends in a brace."""
    if path.suffix == ".py":
        pattern = rf"^ *(def|class) {function}\b"
    else:
        pattern = rf"^[A-Za-z_][^;=#]*\b{function}\([^;{{]*\)\s*\n\{{"
    return re.search(pattern, path.read_text(), re.M) is not None


def test_each_function_that_a_document_names_is_in_the_file_that_it_names() -> None:
    lost = [
        f"{page.relative_to(TOP)}: {file}: {function}"
        for page in PAGES
        for file, function in FUNCTION.findall(page.read_text())
        if not (TOP / file).is_file() or not defines(TOP / file, function)
    ]
    assert not lost
    assert len(FUNCTION.findall((DOCS / "follow-an-open.md").read_text())) > 20


def test_each_path_that_a_document_names_is_there() -> None:
    lost = []
    for page in PAGES:
        text = page.read_text()
        named = [TOP / path for path in PATH.findall(text) if not re.search("NAME|_$", path)]
        named += [page.parent / link for link in LINK.findall(text)]
        lost += [f"{page.relative_to(TOP)}: {path}" for path in named if not path.exists()]
    assert not lost


def test_each_stage_that_a_document_names_can_be_asked_for() -> None:
    names = {line.split()[0] for line in _tasks().splitlines()}
    for page in PAGES:
        asked = re.findall(r"(?:^|`)(?:\w+=\w+ )?\./task ([a-z]+)", page.read_text(), re.M)
        assert set(asked) <= names, f"{page.relative_to(TOP)}: {set(asked) - names}"


def test_each_variable_of_the_tests_is_read_by_one() -> None:
    listed = re.findall(r"^\| `(VELO_\w+)=", (TOP / "tests/README.md").read_text(), re.M)
    sources = [*TOP.glob("tests/*/*.py"), *TOP.glob("tests/*.py"), *TOP.glob("tests/*/*.h")]
    read = "".join(path.read_text() for path in sources if path != Path(__file__))
    assert len(listed) > 3
    assert [name for name in listed if f'"{name}"' not in read] == []
