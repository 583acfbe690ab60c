"""The C side is a house with floors: a folder is a floor, and every arrow leads down.

In: the sources below interpose/, read anew at each run. Out: one sentence for each arrow that leads
up, each circle that is too large and each file on no floor. An arrow is an include, or the name of
a function or variable that another file defines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent / "interpose"
# From below. Files on one floor may use each other; in small circles only.
FLOORS = [
    "kernel",
    "wire",
    "core/arena",
    "core/tree",
    "core/presence",
    "core/disk",
    "core/calls",
    "core/upkeep",
    ".",  # the Python side's C
    "preload/base",
    "preload/path",
    "preload/write",
    "preload/replay",
    "preload/program",
    "preload/sud",
    "preload/wrap",
    "preload",
]
DOOR = "core/velo.h"  # all that callers of the core include
# What several floors define is declared there. The door includes the others.
DOORS = {DOOR, "core/facts.h", "core/ids.h", "core/place.h", "core/whole.h"}
CIRCLE_MAX = 3
FILES_MIN = 150

Sources = dict[str, str]  # path below interpose/, text without comments and strings


def read() -> Sources:
    paths = [
        path
        for path in sorted([*TOP.rglob("*.c"), *TOP.rglob("*.h")])
        if "build" not in path.parts and path.name != "launcher.c"  # a program of its own
    ]
    return {str(path.relative_to(TOP)): _bare(path.read_text()) for path in paths}


def _bare(text: str) -> str:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r'(?<!include )"(\\.|[^"\\\n])*"', '""', text)


def floor(path: str) -> int:
    return FLOORS.index(str(Path(path).parent))


def definitions(sources: Sources) -> dict[str, set[str]]:
    """Names with external linkage, and the files that define each."""
    found: dict[str, set[str]] = {}
    for path, text in sources.items():
        if path.endswith(".c"):
            for name in _defined(text):
                found.setdefault(name, set()).add(path)
    return found


FUNCTION = re.compile(
    r"^(?!static|typedef)[A-Za-z_][\w \*()]*?\b(velo_\w+)\s*\([^;{]*\)\s*\{", re.M
)
VARIABLE = re.compile(
    r"^(?!static|extern|typedef|(?:struct|enum|union) velo_\w+;)"
    r"[A-Za-z_][\w \*()]*?\b(velo_\w+)\)?(\([\w ,\*]*\))?(\[[^\]]*\])*"
    r"\s*(__attribute__\(\(.*?\)\)\)?\s*)?(=[^;]*)?;",
    re.M,
)


def _defined(text: str) -> set[str]:
    names = {match[1] for match in FUNCTION.finditer(text)}
    for match in VARIABLE.finditer(text):
        declaration = match[0].split("=")[0]
        is_pointer = re.search(r"\(\s*\*\s*velo_", declaration)
        plain = re.sub(r"_Atomic\([^)]*\)|__attribute__\(\(.*?\)\)\)?", "", declaration)
        if is_pointer or "(" not in plain:
            names.add(match[1])
    return names


def arrows(sources: Sources) -> Iterator[tuple[str, str, str]]:
    """From which file, to which, and what says so."""
    defined = definitions(sources)
    for path, text in sources.items():
        for target in re.findall(r'#include "([^"]+)"', text):
            beside = str(Path(path).parent / target)
            to = beside if beside in sources else target
            if to in sources and to not in DOORS:
                yield path, to, f"includes {to}"
        for name in set(re.findall(r"\bvelo_\w+", text)):
            for to in defined.get(name, set()) - {path}:
                if path.endswith(".c") and path not in defined.get(name, set()):
                    yield path, to, f"uses {name} of {to}"


def upward(sources: Sources) -> list[str]:
    return sorted(
        {
            f"{path} is on the floor {Path(path).parent} and {says}, on a floor above"
            for path, to, says in arrows(sources)
            if floor(to) > floor(path)
        }
    )


def circles(sources: Sources) -> list[set[str]]:
    """Sets of files that all reach each other, on one floor."""
    uses: dict[str, set[str]] = {}
    for path, to, _ in arrows(sources):
        if floor(path) == floor(to):
            uses.setdefault(path, set()).add(to)
    reach = {path: _reached(path, uses) for path in uses}
    found = [{other for other in reach[path] if path in reach.get(other, ())} for path in reach]
    return [circle for circle in found if len(circle) > 1]


def _reached(start: str, uses: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for each in uses.get(todo.pop(), set()) - seen:
            seen.add(each)
            todo.append(each)
    return seen


def test_every_file_is_on_a_floor() -> None:
    sources = read()
    assert len(sources) >= FILES_MIN, f"only {len(sources)} files: the search finds no house"
    lost = [path for path in sources if str(Path(path).parent) not in FLOORS and path not in DOORS]
    assert not lost, f"on no floor: {lost}"


def _inside(sources: Sources) -> Sources:
    return {path: text for path, text in sources.items() if path not in DOORS}


def test_no_arrow_leads_up() -> None:
    found = upward(_inside(read()))
    print(f"{len(found)} arrows lead up")
    assert not found, "\n".join(found)


def test_circles_are_small() -> None:
    large = [sorted(circle) for circle in circles(_inside(read())) if len(circle) > CIRCLE_MAX]
    assert not large, f"files that all reach each other: {large[0]}"


def test_no_name_is_defined_twice() -> None:
    twice = {name: sorted(paths) for name, paths in definitions(read()).items() if len(paths) > 1}
    assert not twice, f"defined twice: {twice}"


def test_a_file_on_the_wrong_floor_is_named_in_one_sentence() -> None:
    sources = _inside(read())
    sources["kernel/walk.c"] = sources.pop("core/calls/resolve.c")
    found = [line for line in upward(sources) if "kernel/walk.c" in line]
    assert "kernel/walk.c is on the floor kernel and includes core/" in found[0]


def test_a_new_arrow_up_is_named() -> None:
    sources = _inside(read())
    sources["core/tree/path.c"] += "void velo_new(void) { velo_reconcile(0, 0, 0, 0); }\n"
    assert upward(sources) == [
        "core/tree/path.c is on the floor core/tree and uses velo_reconcile of "
        "core/disk/reconcile.c, on a floor above"
    ]


def test_the_core_has_one_door() -> None:
    outside = {path: text for path, text in read().items() if _is_outside(path)}
    assert len(outside) > FILES_MIN / 3, "the search finds no callers of the core"
    found = [
        f"{path} includes {header}, which is not the core's door"
        for path, text in outside.items()
        for header in re.findall(r'#include "(core/[^"]+)"', text)
        if header != DOOR
    ]
    assert not found, "\n".join(found)


def _is_outside(path: str) -> bool:
    return path.startswith("preload/") or "/" not in path


PROTOTYPE = re.compile(
    r"^(?!static|extern|typedef|#)[A-Za-z_][\w \*]*?\b(velo_\w+)\s*\([^;{]*\)[^;{]*;", re.M
)


def declared_elsewhere(sources: Sources) -> list[str]:
    """Functions whose header is not the one that is called as their file."""
    defined = definitions(sources)
    return sorted(
        f"{name} of {owner} is declared in {path}, not in {Path(owner).with_suffix('.h')}"
        for path, text in sources.items()
        if path.endswith(".h") and path not in DOORS and "/" in path
        for name in PROTOTYPE.findall(text)
        for owner in defined.get(name, ())
        if Path(owner).with_suffix(".h") != Path(path) and not path.startswith("kernel/")
    )


def test_a_header_declares_the_functions_of_its_file() -> None:
    found = declared_elsewhere(read())
    assert not found, "\n".join(found)


def test_a_prototype_in_a_strange_header_is_named() -> None:
    sources = read()
    sources["core/disk/copy.h"] += "void velo_last_path(void);\n"
    sources["core/tree/path.c"] += "void velo_last_path(void)\n{\n}\n"
    assert declared_elsewhere(sources) == [
        "velo_last_path of core/tree/path.c is declared in core/disk/copy.h,"
        " not in core/tree/path.h"
    ]
