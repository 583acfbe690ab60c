"""One word, one meaning: docs/glossary.md, whose last table lists the words that are retired.

In: that table, the sources of the rooms, the verbs and the status object. Out: one failure for each
retired word in an identifier, a verb or a key. Never: prose, which may use plain English.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from velo.interpose import core
from velo.router import dispatcher, report
from velo.shards.stats import Counters
from velo.shards.verbs import VERBS

TOP = Path(__file__).resolve().parent.parent
ROOMS = ("router", "shards", "interpose", "perf")
C_NAME = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|([A-Za-z_]\w*)', re.S
)
FILES_MIN = 150
TABLES = ("interposed", "opaque", "raw", "files", "file_bytes")  # of the statistics, by name


class Words(NamedTuple):
    retired: dict[str, str]  # word: what is said instead
    kept: frozenset[str]  # identifiers of others


def words() -> Words:
    _, _, table = (TOP / "docs/glossary.md").read_text().partition("## Retired words")
    retired: dict[str, str] = {}
    kept: set[str] = set()
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            retired.update((word, cells[1]) for word in re.findall(r"`(\w+)`", cells[0]))
            kept.update(re.findall(r"`(\w+)`", cells[2]))
    return Words(retired, frozenset(kept))


def parts(name: str) -> list[str]:
    """`velo_putPlace2` is velo, put, place and 2."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def refused(name: str, listed: Words) -> str | None:
    """What `name` should say instead of a retired word in it; None when it is fine."""
    if name in listed.kept:
        return None
    for part in parts(name):
        if part.lower() in listed.retired:
            return f"{name}: '{part.lower()}' is retired; say {listed.retired[part.lower()]}"
    return None


def sources() -> list[Path]:
    found = [path for room in ROOMS for path in (TOP / room).rglob("*.*")]
    return sorted(
        path
        for path in found
        if path.suffix in (".c", ".h", ".def", ".map", ".py", ".pyi")
        and "build" not in path.relative_to(TOP).parts
    )


def identifiers(path: Path) -> set[str]:
    text = path.read_text()
    if path.suffix in (".py", ".pyi"):
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return {token.string for token in tokens if token.type == tokenize.NAME}
    return {match[1] for match in C_NAME.finditer(text) if match[1]}


def test_the_table_of_retired_words_is_found() -> None:
    listed = words()
    assert {"baton", "errand", "put", "look"} <= listed.retired.keys()
    assert len(listed.retired) > 40


def test_a_retired_word_is_refused_as_a_part_of_a_name_and_not_as_a_part_of_a_word() -> None:
    listed = words()
    assert "say flush lock" in (refused("velo_baton_take", listed) or "")
    assert refused("BatonBusy", listed) and refused("PUT_SYNC", listed)
    assert refused("output", listed) is refused("lookup_version", listed) is None
    assert refused("PR_SET_SYSCALL_USER_DISPATCH", listed) is None


def test_no_identifier_has_a_retired_word() -> None:
    listed = words()
    paths = sources()
    assert len(paths) > FILES_MIN, "the search finds no sources"
    found = {
        f"{path.relative_to(TOP)}: {why}"
        for path in paths
        for name in identifiers(path)
        if (why := refused(name, listed))
    }
    assert not found, "\n".join(sorted(found))


def test_no_file_is_named_with_a_retired_word() -> None:
    listed = words()
    found = {path.name for path in sources() if refused(path.stem, listed)}
    assert not found


def test_no_verb_of_the_wire_is_retired() -> None:
    listed = words()
    assert {"WRITEBACK", "LOAD", "SYNC"} <= VERBS.keys()
    assert not [verb for verb in VERBS if verb.lower() in listed.retired]


class Anything(dict[str, Any]):
    """A source of the status object that has every number."""

    def __missing__(self, key: str) -> Any:
        return {} if key in TABLES else [0]


def status() -> dict[str, Any]:
    return report.assemble(
        hello=Anything(),
        uptime_s=0.0,
        daemon=True,
        arena="",
        statistics=Anything(escapes=dict.fromkeys(core.ESCAPE_NAMES, 0)),
        processes=[{}],
        shards=[dict.fromkeys(Counters.__dataclass_fields__, 0)],
        dispatcher=dispatcher.Dispatcher(1).statistics(),
        sessions=(),
    )


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
    for each in value.values() if isinstance(value, Mapping) else value:
        if isinstance(each, (Mapping, list, tuple)):
            yield from keys(each)


def test_no_key_of_the_status_object_has_a_retired_word() -> None:
    listed = words()
    found = set(keys(status()))
    assert {"schema", "writebacks", "writeback_files", "across"} <= found
    assert not [why for key in found if (why := refused(key, listed))]


def test_the_glossary_says_the_schema_of_the_status_object() -> None:
    text = (TOP / "docs/glossary.md").read_text()
    assert f"`schema` is a number, {report.SCHEMA} today." in text
    assert status()["schema"] == report.SCHEMA


def test_each_place_that_the_glossary_names_is_there() -> None:
    rows = [line.split(" | ") for line in (TOP / "docs/glossary.md").read_text().splitlines()]
    places = [row[2].strip("` |") for row in rows if len(row) == 3 and row[2].startswith("`")]
    places = [place for place in places if "/" in place]
    assert len(places) > 40
    assert not [place for place in places if not (TOP / place).exists()]


def test_no_term_stands_twice_in_the_glossary() -> None:
    text, _, _ = (TOP / "docs/glossary.md").read_text().partition("## Retired words")
    terms = re.findall(r"^\| (?!Term|---)([^|]+) \|", text, re.M)
    assert len(terms) == len(set(terms)) > 40
