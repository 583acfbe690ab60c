"""What package managers need to work without the network: filled once, each by its own client.

In: what a project depends on. Out: a directory that nobody may change: cargo's home, npm's cache,
wheels. Never: a network access while a row is measured, or a half-filled directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .sample import CACHE
from .sources import FETCH_TIMEOUT_S, SourceUnavailable

QUIET_NPM = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_ignore_scripts": "true",
    "npm_config_logs_max": "0",
    "npm_config_update_notifier": "false",
}


def cargo_home(manifest: str) -> Path:
    """A CARGO_HOME with all that `manifest` needs; the lock file is `Cargo.lock` in it."""

    def fill(place: Path) -> None:
        project = place / "project"
        (project / "src").mkdir(parents=True)
        (project / "src/lib.rs").touch()
        (project / "Cargo.toml").write_text(manifest)
        _run("cargo", "fetch", cwd=project, environment={"CARGO_HOME": str(place)})
        (project / "Cargo.lock").rename(place / "Cargo.lock")

    return _filled("cargo", manifest, fill)


def npm_cache(package: str) -> Path:
    """A npm cache with all that `package` (package.json) needs, and `package-lock.json` in it."""

    def fill(place: Path) -> None:
        project = place / "project"
        project.mkdir()
        (project / "package.json").write_text(package)
        _run("npm", "install", cwd=project, environment={**QUIET_NPM, **npm_home(place)})
        (project / "package-lock.json").rename(place / "package-lock.json")
        _run("rm", "-rf", "project", cwd=place, environment={})

    return _filled("npm", package, fill)


def npm_home(place: Path) -> dict[str, str]:
    """What makes npm use the cache in `place` and nobody's settings."""
    return {"npm_config_cache": str(place), "npm_config_userconfig": "/dev/null"}


def wheels(*requirements: str) -> Path:
    """A directory of wheels with `requirements` and all that they need."""

    def fill(place: Path) -> None:
        pip = (sys.executable, "-m", "pip", "download", "-q", "-d", str(place))
        _run(*pip, *requirements, cwd=place, environment={})

    return _filled("wheels", f"{sys.version_info[:2]} {requirements}", fill)


def _filled(kind: str, what: str, fill: Callable[[Path], None]) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    found = CACHE / f"{kind}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    with open(CACHE / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                whole = Path(place, "whole")
                whole.mkdir()
                fill(whole)
                whole.rename(found)
    return found


def _run(*command: str, cwd: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise SourceUnavailable(f"{' '.join(command)}: {done.stderr.strip()[-600:]}")
