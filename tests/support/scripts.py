"""What a fidelity script finds in its workspace, and what is compared of its end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def prepare(place: Path) -> None:
    for name in ("build", "src"):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
    (place / "src/a.c").write_text("int main(void) { return 0; }\n")


def outcome(result: subprocess.CompletedProcess[str]) -> tuple[int, list[str]]:
    return result.returncode, (result.stdout + result.stderr).splitlines()
