"""The kernel is the oracle, operation by operation: see sides.py and oracle/oracle.h.

In: oracle_scripts/*.txt, each a difference that was found once or a corner that must not come back.
Out: line by line the same result natively and hosted.
"""

from __future__ import annotations

from pathlib import Path

from harness import Velo
from sides import Script, ground

SCRIPTS = sorted((Path(__file__).parent / "oracle_scripts").glob("*.txt"))


def read_script(path: Path) -> Script:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return Script(path.stem, tuple(lines))


def test_named_scripts_print_the_same_in_a_hosted_directory(velo: Velo) -> None:
    problems = []
    with ground(velo) as place, place.pair() as pair:
        for script in map(read_script, SCRIPTS):
            found = pair.difference(script)
            if found:
                problems.append(f"{script.name}: {found}")

    assert not problems, "\n".join(problems)
