"""Small shell scripts and Python programs that run natively and hosted, at the same path.

    tests/fidelity/cases/NAME.sh   bash, in a workspace with an empty `build/`
    tests/fidelity/cases/NAME.py   python3, in `build/`

A case that has `#custom` in its first lines starts velo itself, with `$RUN COMMAND` (`$RUN` is
empty natively); any other runs inside as a whole. `$SIDE` is native or hosted, `$HERE` the
workspace, `$VELO` the command line. `# needs: root bwrap` names what must be there: a skip with
that name where it is not.

In: a case. Out: what both sides printed, how they ended, what they left. Never: a difference that
is explained away; what cannot be the same (pids, random names) is hidden by the case itself.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .harness import Velo
from .snapshot import Snapshot

DIRECTORY = Path(__file__).parents[1] / "fidelity/cases"
WAYS = Path(__file__).parents[2] / "docs/ways-around.md"
CASES = sorted([*DIRECTORY.glob("*.sh"), *DIRECTORY.glob("*.py")])
TOML = '[live]\nmax_memory = "256MB"\naggressive_paths = ["build/", "target/"]\n'
TIMEOUT_S = 300
HEAD_LINES = 4
LANDLOCK_CREATE_RULESET = 444
NO_PROGRAMS = ("root", "core-files", "landlock")  # that a case may need


@dataclass(frozen=True, slots=True)
class Outcome:
    """One side: the lines it printed, its exit status last, and its tree."""

    lines: list[str]
    tree: Snapshot


def head_of(case: Path) -> list[str]:
    return case.read_text().splitlines()[:HEAD_LINES]


def missing(case: Path) -> str | None:
    """What `case` needs and this machine has not, as a reason to skip it."""
    for line in head_of(case):
        for need in line.removeprefix("# needs:").split() if line.startswith("# needs:") else ():
            if need == "root" and os.geteuid() != 0:
                return "needs root"
            if need == "landlock":
                if ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1) < 1:
                    return "needs a kernel with landlock"
                continue
            if need == "core-files":
                if not _writes_core_files():
                    return "needs a kernel that writes core files where programs stand"
                continue
            if need.startswith("/") and not os.path.exists(need):
                return f"needs {need}"
            if need != "root" and not need.startswith("/") and shutil.which(need) is None:
                return f"needs {need}"
    return None


def _writes_core_files() -> bool:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    return pattern[0] not in "|/" and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


def run(case: Path, place: Path, velo: Velo, *, hosted: bool) -> Outcome:
    """Run `case` once in `place`, which it finds as it found it the last time."""
    for entry in place.iterdir():
        if entry.name != "velo.toml":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (place / "velo.toml").write_text(TOML)
    (place / "build").mkdir()
    command = f"{velo.executable} exec --" if hosted else ""
    side = "hosted" if hosted else "native"
    environment = {"RUN": command, "SIDE": side, "HERE": str(place), "VELO": velo.executable}
    words = ["sh", "-c", 'cd build && exec python3 "$0"', str(case)]
    if case.suffix == ".sh":
        words = ["bash", str(case)]
    if not any(line.startswith("#custom") for line in head_of(case)):
        words = [*command.split(), *words]
    velo.workspaces.add(place)
    done = subprocess.run(
        words,
        cwd=place,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
    )
    lines = done.stdout.decode(errors="backslashreplace").splitlines()
    return Outcome([*lines, f"exit status {done.returncode}"], Snapshot.of(place))


def assert_same(velo: Velo, place: Path, native: Outcome, hosted: Outcome) -> None:
    """The same lines, and the same tree once all of the hosted one is on disk."""
    velo.run("stop", cwd=place, check=False)
    changed = difflib.unified_diff(native.lines, hosted.lines, "native", "hosted", lineterm="")
    assert hosted.lines == native.lines, "\n".join(changed)
    assert Snapshot.of(place).differences(native.tree) == []
