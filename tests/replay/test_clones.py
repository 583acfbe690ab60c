"""What clones know is taken over once, from whom it may be, and only what is portable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.bench import GCC, LONG, SHORT, Bench
from support.unit_logs import at, environment, hosted, step, write
from velo.shards.replay import commons
from velo.shards.replay import unit_log as log
from velo.shards.replay.kinship import Kin
from velo.shards.replay.rules import Rules
from velo.shards.replay.spool import directory_of

LATER_NS = 10**15  # a unit began long after its inputs were made


class Workspace(Bench):
    """One of several with one store and the same source."""

    def __init__(self, root: Path, store: Path) -> None:
        root.mkdir()
        super().__init__(root)
        self.store = store

    def learn(self, content: bytes = SHORT) -> None:
        """A session in which one compilation ends."""
        sealer = self.sealer()
        directory = Path(directory_of(str(self.memory)))
        digest = hosted(self.out, log.OUTPUT, content)
        (directory / f"{digest.payload[40:72].hex()}.b").write_bytes(content)
        began_ns = os.stat(self.source).st_ctime_ns + LATER_NS
        records = (
            step("gcc", "-c", "a.c", program="/usr/bin/gcc", cwd=str(self.root)),
            environment(PWD=str(self.root)), GCC, at(log.READ, str(self.source)),
            at(log.WRITE, self.out, flags=log.NEW), digest,
        )  # fmt: skip
        write(directory / "1-1.f", *records, began_ns=began_ns)
        sealer.finish(["make"])

    def known(self, **options: object) -> list[str]:
        """The outputs of the entries that a session finds."""
        sealer = self.sealer(**options)
        index = sealer._there()
        found = [made.path for entry in index.live() for made in index.outputs_of(entry)]
        sealer.finish(["make"])
        return found


@pytest.fixture
def two(tmp_path: Path) -> tuple[Workspace, Workspace]:
    store = tmp_path / "store"
    return Workspace(tmp_path / "one", store), Workspace(tmp_path / "two", store)


def test_what_a_clone_knows_is_here_with_paths_of_here(two):
    one, other = two
    one.learn(LONG)

    assert other.known() == [other.out]
    assert other.known() == [other.out]  # once
    sealer = other.sealer()
    (entry,) = sealer._there().live()
    facts = [sealer._there().fact_at(each) for each in sealer._there().facts_of(entry)]
    assert facts[0][1] == str(other.source) and not any(str(one.root) in path for _, path in facts)
    assert commons.names_in(sealer._there())  # so its blob stays when the first goes


def test_both_learn_from_each_other_and_keep_no_entry_twice(two):
    one, other = two
    one.learn()
    other.learn(b"another")

    assert len(other.known()) == 2 and len(one.known()) == 2
    assert len(other.known()) == 2 and len(one.known()) == 2


def test_what_holds_the_path_stays_and_says_why(two):
    one, other = two
    one.learn(f"at {one.root}/a.c".encode())

    assert other.known() == []
    (entry,) = one.sealer()._there().live()
    assert "holds the path of its workspace" in other.sealer()._clones.bound(entry.key)


def test_another_project_is_none(two):
    one, other = two
    one.learn()
    other.source.write_text("int a; int b;\n")

    assert other.known() == []


def test_a_stranger_is_asked_for_again_when_one_of_both_has_changed(two, monkeypatch):
    one, other = two
    one.learn()
    text = other.source.read_text()
    other.source.write_text("int a; int b;\n")
    assert other.known() == []
    asked = []
    clone_at = Kin._clone_at
    monkeypatch.setattr(Kin, "_clone_at", lambda *them: asked.append(them) or clone_at(*them))

    assert other.known() == [] and not asked
    other.source.unlink()
    other.source.write_text(text)

    assert other.known() == [other.out] and asked


def test_other_rules_made_other_entries(two):
    one, other = two
    one.learn()

    assert other.known(rules=Rules(blind=("gcc",))) == []


def test_what_never_counts_is_not_taken(two):
    one, other = two
    one.learn()

    assert other.known(never=("gcc",)) == []


def test_a_damaged_image_is_no_clone(two):
    one, other = two
    one.learn()
    image = Path(one.ledger().image)
    image.write_bytes(image.read_bytes()[:-9] + b"123456789")

    assert other.known() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file is made by root alone")
@pytest.mark.parametrize("name", ["image", "_place", "_sources"])
def test_another_users_files_are_not_believed(two, name):
    one, other = two
    one.learn()
    os.chown(getattr(one.ledger(), name), 12345, 12345)

    assert other.known() == []


@pytest.mark.parametrize("text", ["", "[]", '{"a.c": "7"}', '{"a.c": []}', '{"../a.c\\u0000": 7}'])
def test_damaged_sources_and_memories_hurt_nobody(two, text):
    one, other = two
    one.learn()
    Path(one.ledger()._sources).write_text(text)
    other.ledger().make_room()
    Path(other.ledger()._clones).write_text(text)

    assert other.known() == []


def test_a_clone_that_began_anew_is_asked_anew(two):
    one, other = two
    one.learn()
    other.known()
    one.upkeep().clear()
    one.learn(b"another")

    assert len(other.known()) == 2
