"""Show velo at work: `python perf/demo.py` builds a real C project and says what happened.

In: the sample project, fetched with pip (see tests/end_to_end/sample.py). Out: the commands as one
would type them, their times, `velo status`, and the proof that the tree on disk is complete. Never:
anything left behind, unless --keep.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ground import SCRIPTS, velo

TOML = '[live]\nmax_memory = "1GB"\naggressive_paths = ["build/"]\n'


def main() -> int:
    """Fetch, build in memory, look, build natively, stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left
    parser = argparse.ArgumentParser(description="Build libuv with its output in memory.")
    parser.add_argument("--keep", action="store_true", help="leave the workspace where it is")
    keep = parser.parse_args().keep
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(SCRIPTS)])
    place = Path(tempfile.mkdtemp(prefix="velo-demo-"))
    try:
        _show(place)
    finally:
        subprocess.run([velo(), "stop"], cwd=place, capture_output=True)
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    print(f"\nThe workspace is {place}." if keep else "\nNothing is left of it; --keep keeps it.")
    return 0


def _show(place: Path) -> None:
    import sample

    print("Fetching libuv's sources from the package registry ...", flush=True)
    sample.unpack(place)
    (place / "velo.toml").write_text(TOML)
    _say(place, "velo", "exec", "--", "cmake", "-G", "Ninja", "-S", ".", "-B", "build")
    took_s = _say(place, "velo", "exec", "--", "ninja", "-C", "build")
    _say(place, "velo", "status", quiet=False)
    print("\nThe tree on disk is what a plain ninja would have left, so it has nothing to do:")
    _say(place, "ninja", "-C", "build", quiet=False)
    failed = sample.run_own_tests(place, place / "build")
    count = len(sample.OWN_TESTS)
    print(f"\n{count - len(failed)} of {count} of libuv's own tests pass from that tree.")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
    shutil.rmtree(place / "build")
    _say(place, "cmake", "-G", "Ninja", "-S", ".", "-B", "build")
    native_s = _say(place, "ninja", "-C", "build")
    print(f"\nUnder velo {took_s:.1f} s, natively on this disk {native_s:.1f} s.")


def _say(place: Path, *command: str, quiet: bool = True) -> float:
    """Print `command` as typed, run it in `place`, print how long it took; seconds."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    words = [velo(), *command[1:]] if command[0] == "velo" else list(command)
    start = time.perf_counter()
    done = subprocess.run(words, cwd=place, capture_output=True, text=True)
    took_s = time.perf_counter() - start
    lines = done.stdout.splitlines()
    print("\n".join(lines[-1:] if quiet and not done.returncode else lines), end="")
    print(f"   ({took_s:.1f} s)" if quiet else "", flush=True)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise SystemExit(f"{shlex.join(command)}: exit status {done.returncode}")
    return took_s


if __name__ == "__main__":
    sys.exit(main())
