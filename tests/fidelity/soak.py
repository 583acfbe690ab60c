"""Random scripts, both sides, for as long as asked: python tests/fidelity/soak.py --operations N.

In: a seed and a number of operations. Out: on stdout how many were performed without a difference;
for a difference the shortest script that shows it, in --failures, and exit status 1. SIGINT and
SIGTERM end it after the script at hand. Never: more than one velo, or anything left when it ends.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import generate  # noqa: E402
from support.harness import Velo  # noqa: E402
from support.sides import BUILDS, Pair, Script, first_difference, ground, shortest  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--first", type=int, default=0, help="number of the first script")
    parser.add_argument("--length", type=int, default=60, help="operations per script")
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--threads", action="store_true", help="lanes that run at the same time")
    parser.add_argument("--build", choices=BUILDS, default="plain")
    parser.add_argument("--failures", type=Path, default=Path("oracle-failures"))
    parser.add_argument("--stop-after", type=int, default=5, help="differences")
    return parser.parse_args()


def explain(pair: Pair, script: Script, failures: Path) -> str:
    small = shortest(script, lambda one: pair.difference(one) is not None)
    small = Script(f"{script.name}.shown", small.lines, small.uid)
    native, hosted = pair.run(small)
    failures.mkdir(exist_ok=True)
    (failures / f"{script.name}.txt").write_text("\n".join(small.lines) + "\n")
    return "\n".join([*small.lines, first_difference(small, native, hosted)])


def kind_of(difference: str) -> str:
    """The operation and what was answered, without numbers: to tell old finds from new ones."""
    operation, *answers = difference.split("\n")
    return " ".join([operation.split()[0], *re.findall(r"E[A-Z]+|[a-z][=<>*]", " ".join(answers))])


def soak(options: argparse.Namespace, velo: Velo) -> int:
    done = found = 0
    known: set[str] = set()
    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    number, started = options.first, time.monotonic()
    with ground(velo) as place, place.pair(options.build) as pair:
        while (
            done < options.operations
            and time.monotonic() - started < options.seconds
            and not stopped.is_set()
        ):
            script = (
                generate.lanes(options.seed, number)
                if options.threads
                else generate.script(
                    options.seed, number, operations=options.length, uid=options.uid
                )
            )
            difference = pair.difference(script)
            if difference is not None:
                found += 1
                if (kind := kind_of(difference)) not in known:
                    known.add(kind)
                    print(f"+++ {script.name} {difference}")
                    text = explain(pair, script, options.failures)
                    print(f"--- {script.name}\n{text}", flush=True)
                if len(known) == options.stop_after:
                    break
            done += generate.count_of(script)
            number += 1
        states = dict(pair.forcer.reached)
    took = time.monotonic() - started
    print(
        f"seed {options.seed}: {done} operations in scripts {options.first}..{number - 1},"
        f" {found} differences, {took:.0f} s; states {states}"
    )
    return 1 if found else 0


def main() -> int:
    options = parse()
    root = Path("/dev/shm", f"velo-soak-{secrets.token_hex(4)}")
    cache = tempfile.mkdtemp(prefix="velo-soak-")
    for name in [name for name in os.environ if name.startswith("VELO_")]:
        del os.environ[name]
    os.environ["VELO_RUNTIME_DIR"] = str(root)
    os.environ["VELO_CACHE_DIR"] = cache
    os.environ["VELO_CAS_DIR"] = f"{cache}/cas"
    os.environ["VELO_SHARDS"] = "2"
    executable = shutil.which("velo", path=str(Path(sys.executable).parent))
    assert executable, "velo is not installed beside this python"
    velo = Velo(root, executable)
    try:
        return soak(options, velo)
    finally:
        left = velo.tear_down()
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
        if left:
            print(f"left behind: {left}")


if __name__ == "__main__":
    sys.exit(main())
