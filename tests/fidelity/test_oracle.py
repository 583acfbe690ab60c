"""The kernel is the oracle, operation by operation: see sides.py and oracle/oracle.h.

In: oracle_scripts/*.txt, each a difference that was found once or a corner that must not come back;
scripts made at random, by a seed (VELO_ORACLE_SEED) and by Hypothesis. Out: line
by line the same result natively and hosted, and the same tree on disk. Never: a random script of
which nobody can say how to get it again: a difference is printed with its shortest script.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import generate
from support.harness import Velo
from support.sides import NOBODY, Ground, Pair, Script, first_difference, ground, shortest
from support.snapshot import Snapshot

SCRIPTS = sorted((Path(__file__).parent / "oracle_scripts").glob("*.txt"))
# The same for everybody, so that a red run means a change of ours; soak.py draws its own.
SEED = int(os.environ.get("VELO_ORACLE_SEED", "20261122"))
# Together more than 100,000 operations; with the audits after each script it is about twice that.
SHARES = {
    # name: build, scripts, operations of each
    "plain": ("plain", 700, 60),
    "fortify": ("fortify", 400, 60),
    "lfs": ("lfs", 400, 60),
    "threads": ("plain", 90, 110),
    "other-user": ("plain", 200, 60),
}
OPERATIONS_MIN = 100_000
EXAMPLES = 60


@pytest.fixture
def place(velo: Velo) -> Iterator[Ground]:
    with ground(velo) as found:
        yield found


def read_script(path: Path) -> Script:
    text = path.read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    uid = NOBODY if text.startswith("# as another user\n") and os.geteuid() == 0 else 0
    return Script(path.stem, tuple(lines), uid)


def show(pair: Pair, script: Script) -> str:
    """The shortest script that shows the difference, for whoever reads the report."""
    small = shortest(script, lambda one: pair.difference(one) is not None)
    small = Script(f"{script.name}.shown", small.lines, small.uid)
    native, hosted = pair.run(small)
    return "\n".join([*small.lines, first_difference(small, native, hosted)])


def run_many(place: Ground, kind: str, scripts: Iterator[Script]) -> tuple[int, set[str]]:
    """All of `scripts` on both sides, then both trees; how many operations, which states."""
    count = 0
    with place.pair(kind) as pair:
        for script in scripts:
            difference = pair.difference(script, keep=True)
            if difference is not None:
                pytest.fail(f"seed {SEED}: {script.name}: {difference}\n\n{show(pair, script)}")
            count += generate.count_of(script)
        reached = {state for state, times in pair.forcer.reached.items() if times}
    # The hosted oracle has ended, so its velo exec has put the tree on disk.
    left = Snapshot.of(place.hosted / "build")
    for name, entry in left.entries.items():  # absolute targets of symlinks name the workspace
        content = entry.content.replace(str(place.hosted), str(place.plain))
        left.entries[name] = dataclasses.replace(entry, content=content)
    assert left.differences(Snapshot.of(place.plain / "build")) == [], f"seed {SEED}"
    return count, reached


def test_named_scripts_print_the_same_in_a_hosted_directory(place: Ground) -> None:
    problems = []
    with place.pair() as pair:
        for script in map(read_script, SCRIPTS):
            found = pair.difference(script)
            if found:
                problems.append(f"{script.name}: {found}")

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("share", SHARES)
def test_random_scripts_print_the_same_in_a_hosted_directory(place: Ground, share: str) -> None:
    kind, scripts, length = SHARES[share]
    if share == "other-user" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    uid = NOBODY if share == "other-user" else 0
    make: Callable[[int], Script] = lambda number: (  # noqa: E731
        generate.lanes(SEED, number, operations=length // 3)
        if share == "threads"
        else generate.script(f"{SEED}.{share}", number, operations=length, uid=uid)
    )

    count, reached = run_many(place, kind, map(make, range(scripts)))

    print(f"{share}: {count} operations of seed {SEED}, states {sorted(reached)}")
    assert count >= scripts * length * 0.9
    if share == "plain":
        assert reached >= {"fresh", "flushed", "evicted", "disk"}
        assert "cold" in reached or os.geteuid() != 0


def test_the_shares_are_a_hundred_thousand_operations() -> None:
    total = sum(scripts * length * 0.9 for _, scripts, length in SHARES.values())

    assert total >= OPERATIONS_MIN


def test_hypothesis_finds_no_script_that_can_tell(place: Ground) -> None:
    # Goal: a shortest script by shrinking, when there is one. Method: lines of the grammar as drawn
    # by Hypothesis, which knows how to leave lines out and how to choose simpler words.
    number = iter(range(1_000_000))
    with place.pair() as pair:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(line_strategy(), min_size=5, max_size=40))
        def check(lines: list[str]) -> None:
            script = Script(f"h{next(number)}", (*generate.START, *lines))
            difference = pair.difference(script)
            assert difference is None, difference

        check()


@st.composite
def line_strategy(draw: st.DrawFn) -> str:
    words = (FORMS, generate.KINDS) if os.geteuid() == 0 else (FORMS_OF_USERS, generate.USER_KINDS)
    return generate.operation(lambda choices: draw(st.sampled_from(choices)), *words)


FORMS = list(generate.GRAMMAR)
FORMS_OF_USERS = sorted(set(generate.USER_LINES))


def test_a_soak_can_be_started_by_hand(tmp_path: Path) -> None:
    soak = [sys.executable, str(Path(__file__).with_name("soak.py"))]

    done = subprocess.run(
        [*soak, "--operations", "60", "--seed", "7"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differences" in done.stdout
