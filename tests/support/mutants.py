"""Rules of replay switched off one by one: does the test of each hazard fail then?

    cd tests; python -m support.mutants [ROW ...]

In: the mutants of tests/replay/hazards.toml. Each is made in a copy of the sources that has an
environment of its own. Out: a line a row; status 1 when a test did not notice. Never: a change of
the tree that this is run in.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
CASES = "end_to_end/test_replay_hazards.py"
LIMIT_S = 900.0


def copy_to(root: Path) -> Path:
    """A copy of the sources, and the Python in whose environment it is installed."""
    skipped = shutil.ignore_patterns(".git", "build", ".venv", "*.so", "__pycache__")
    shutil.copytree(TOP, root / "velo", ignore=skipped, symlinks=True)
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    python = root / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "setuptools"], check=True)
    ours = next((root / "venv/lib").glob("python*/site-packages"))
    (ours / "zz_tools.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(root, python)
    return python


def install(root: Path, python: Path) -> None:
    command = [python, "-m", "pip", "install", "-q", "--no-deps", "-e", "."]
    subprocess.run(command, cwd=root / "velo", check=True)


def notices(root: Path, python: Path, hazard: dict[str, str]) -> bool:
    """Does the row's test fail?"""
    where = CASES if "case" in hazard else hazard["test"]
    command = [python, "-m", "pytest", "-vv", "--tb=short", "-m", "", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/{where}"],
        cwd=root / "velo", capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout)
    named = re.search(rf"^E .*\b{hazard.get('case', '')}", done.stdout, re.MULTILINE)
    return done.returncode == 1 and named is not None


def main(rows: list[str]) -> int:
    table: dict[str, Any] = tomllib.loads((TOP / "tests/replay/hazards.toml").read_text())
    missed = 0
    with tempfile.TemporaryDirectory(prefix="velo-mutants-") as directory:
        root = Path(directory)
        python = copy_to(root)
        for mutant in table["mutants"]:
            path = root / "velo" / mutant["file"]
            whole = path.read_text()
            wanted = [row for row in mutant["rows"] if not rows or row in rows]
            if not wanted:
                continue
            path.write_text(whole.replace(mutant["text"], mutant["instead"]))
            if path.suffix == ".c":
                install(root, python)
            for row in wanted:
                hazard = {"test": mutant["test"]} if "test" in mutant else table["hazards"][row]
                noticed = notices(root, python, hazard)
                missed += not noticed
                print(row, "fails, as it must" if noticed else "NOT NOTICED", flush=True)
            path.write_text(whole)
            if path.suffix == ".c":
                install(root, python)
    return missed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
