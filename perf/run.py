"""Measure velo: `python perf/run.py [SCENARIO...]`; see README.md beside this file.

In: scenario names, a number of turns. Out: a table per scenario, a JSON file on demand, and exit
status 1 when a target was missed. Never: two scenarios at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path

import report
from ground import default_disk, file_system, prepared
from scenarios import SCENARIOS

TURNS = 7


def main() -> int:
    """Run what was asked for; 0 when every target holds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the ground is cleared
    options = _parse()
    chosen = [scenario for scenario in SCENARIOS if scenario.name in options.scenario]
    if options.against:
        chosen = [scenario.against_old() for scenario in chosen]
    machine = _machine(options.disk)
    print(", ".join(f"{key} {value}" for key, value in machine.items()), end="\n\n", flush=True)
    found = []
    for scenario in chosen:
        with prepared(options.disk, options.against) as ground:
            samples = scenario.run(ground, options.turns, _told if options.verbose else _silent)
        print("\n".join(report.lines(scenario, samples)), end="\n\n", flush=True)
        found.append(report.as_object(scenario, samples))
    if options.json:
        text = json.dumps({"machine": machine, "scenarios": found}, indent=2)
        options.json.write_text(text + "\n")
    return 0 if all(target["holds"] for each in found for target in each["targets"]) else 1


def _parse() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description="Measure velo against disk and tmpfs.")
    parser.add_argument("scenario", nargs="*", choices=[[], *names], help=", ".join(names))
    parser.add_argument("--turns", type=int, default=TURNS, help="of all sides, alternating")
    parser.add_argument("--disk", type=Path, default=default_disk(), help="a directory on disk")
    parser.add_argument("--against", type=_wheel, metavar="OLD.whl", help="another build of velo")
    parser.add_argument("--json", type=Path, help="also write samples and verdicts there")
    parser.add_argument("--verbose", action="store_true", help="each run as it ends")
    options = parser.parse_args()
    options.scenario = options.scenario or names
    return options


def _wheel(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".whl" or not path.is_file():
        raise argparse.ArgumentTypeError(f"{text}: not a wheel (pip wheel --no-deps DIRECTORY)")
    return path


def _machine(disk: Path) -> dict[str, str]:
    return {
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cores": str(os.cpu_count()),
        "disk": file_system(disk.resolve()),
    }


def _told(turn: int, side: str, value: float) -> None:
    print(f"    turn {turn + 1} {side:<8} {value:.2f}", file=sys.stderr, flush=True)


def _silent(turn: int, side: str, value: float) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
