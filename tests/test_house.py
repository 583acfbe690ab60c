"""The style of this repository, as far as a program can tell.

In: the source tree beside this file, and the preload library as it was built. Out: one failure per
broken rule, naming the file. Never: taste.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import exports, tool
from velo.interpose import launch
from velo.router import client as _client  # noqa: F401 - its classes, by being imported
from velo.router import errors as _errors  # noqa: F401 - the same
from velo.shards.errors import VeloError

TOP = Path(__file__).resolve().parent.parent
# A room may look into every room further down, and into none above.
DOWNSTREAM = {"router": {"shards", "interpose"}, "shards": {"interpose"}, "interpose": set()}
LINES_MAX = 500
LINES_OF_C_MAX = 450
LIBRARIES = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def sources(*patterns: str) -> list[Path]:
    """Files of the project that match, without what was built."""
    found = [path for pattern in patterns for path in TOP.glob(pattern)]
    return sorted(path for path in found if "build" not in path.relative_to(TOP).parts)


PYTHON = sources("*/*.py", "router/*/*.py", "shards/*/*.py", "tests/*/*.py", "setup.py")
C = sources("interpose/**/*.[ch]", "tests/*/*.[ch]")


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Absolute modules that `path` imports anywhere, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = "." * node.level
            inside = f"{node.module}." if node.module else ""
            yield from ((node.lineno, f"{above}{inside}{alias.name}") for alias in node.names)


@pytest.mark.parametrize("room", DOWNSTREAM)
def test_rooms_only_look_downstream(room: str) -> None:
    for path in sources(f"{room}/**/*.py"):
        for line, target in imports(path):
            where = f"{name(path)}:{line}"
            above = "." * len(path.relative_to(TOP).parts)
            assert not target.startswith(above), f"{where}: {target} leaves the room"
            if target.startswith("velo."):
                reachable = target.split(".")[1] in {room} | DOWNSTREAM[room]
                assert reachable, f"{where}: {room} must not import {target}"


def test_nobody_imports_a_second_copy_of_a_room() -> None:
    for path in PYTHON:
        for line, target in imports(path):
            bare = target.split(".")[0] in DOWNSTREAM
            assert not bare, f"{name(path)}:{line}: import velo.{target} instead"


def test_tests_share_nothing_but_the_package_support() -> None:
    folders = {path.name for path in (TOP / "tests").iterdir() if path.is_dir()} - {"support"}
    bare = {path.stem for path in sources("tests/*/*.py")} - {"__init__", "conftest"}
    for path in sources("tests/*.py", "tests/*/*.py"):
        for line, target in imports(path):
            top = target.split(".")[0]
            shared = path.parent.name != "support" and top in bare | folders
            assert not shared, f"{name(path)}:{line}: from support import {top}, or move it there"


def test_every_module_says_what_it_is_for() -> None:
    silent = [name(path) for path in PYTHON if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent, f"no docstring: {silent}"


def test_every_c_file_says_what_it_is_for() -> None:
    silent = [name(path) for path in C if not path.read_text().startswith(f"/* {path.name} - ")]
    assert not silent, f"does not open with its name and purpose: {silent}"


def test_no_file_holds_two_ideas() -> None:
    rooms = [path for path in PYTHON + C if path.relative_to(TOP).parts[0] in DOWNSTREAM]
    counts = {name(path): len(path.read_text().splitlines()) for path in rooms}
    most = {path: LINES_OF_C_MAX if path.endswith((".c", ".h")) else LINES_MAX for path in counts}
    long = {path: count for path, count in counts.items() if count > most[path]}
    assert not long, f"longer than {LINES_MAX} lines, {LINES_OF_C_MAX} of C: split them: {long}"


def test_velo_is_a_namespace_of_rooms() -> None:
    package = importlib.util.find_spec("velo")
    assert package and package.origin is None, "velo must not have an __init__.py"
    for room in DOWNSTREAM:
        assert (TOP / room / "__init__.py").exists(), f"{room} needs an __init__.py"


def test_the_preload_library_exports_exactly_its_list() -> None:
    mapped = set(exports())

    shown = _run(tool("nm"), "-D", "--defined-only", launch.library_path())
    exported = {line.split()[-1].split("@")[0] for line in shown.splitlines()}

    assert exported == mapped, f"not exported: {mapped - exported}; not listed: {exported - mapped}"


def test_the_preload_library_depends_on_libc_alone() -> None:
    shown = _run(tool("readelf"), "-d", "-W", launch.library_path())

    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", shown))

    assert needed <= LIBRARIES, f"also needs {needed - LIBRARIES}"
    assert "RUNPATH" not in shown and "RPATH" not in shown, "the loader would search for libc"
    assert "TEXTREL" not in shown


def test_error_codes_are_unique() -> None:
    owners: dict[int, str] = {}
    for kind in _subclasses(VeloError):
        code = kind.code
        if kind.__module__.startswith("velo.") and code >= 200:
            label = f"{kind.__module__}.{kind.__qualname__}"
            assert owners.setdefault(code, label) == label, f"{code}: {owners[code]} and {label}"
    assert len(owners) > 10


def test_every_path_in_the_architecture_exists() -> None:
    text = (TOP / "ARCHITECTURE.md").read_text()
    for token in re.findall(r"`([\w./-]+)`", text):
        top = token.split("/")[0]
        if "/" in token and (TOP / top).exists() and top in {*DOWNSTREAM, "tests", "perf"}:
            assert (TOP / token).exists(), f"ARCHITECTURE.md names {token}, which is not there"


def test_every_source_file_is_on_the_map() -> None:
    text = (TOP / "ARCHITECTURE.md").read_text()
    rooms = sources(
        "router/**/*.py", "shards/**/*.py", "interpose/*.py", "interpose/**/*.c", "perf/*.py"
    )
    lost = [name(path) for path in rooms if path.stem not in text]
    assert not lost, f"not in ARCHITECTURE.md: {lost}"


def _subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def _run(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout
