"""Wild stores into an arena's table (`meta`): nothing of velo crashes, hangs or says a traceback.

    cd tests; python -m support.fuzz_meta --seconds 600 --seed 7

In: seeds. Out: for each round what was done to the table, and what did not hold. A round makes
files, damages the table as its seed says, with the server alive or killed before, and asks the
commands. Never: a promise about bytes that only memory had; wild values within bounds cannot be
told from true ones.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .harness import SCRIPTS, Velo, processes_of

COMMANDS = (
    ["exec", "--", "sh", "-c", "ls build build/d >&2; cat build/f1; echo 2 > build/g; rm build/f2"],
    ["status"],
    ["sync"],
    ["exec", "--", "sh", "-c", "mkdir build/e; mv build/d build/e; ln build/f3 build/h"],
    ["stop"],
    ["stop", "--force"],
)
LIMIT_S = 60.0  # each command; a few seconds are for shards that are started again
FILES = "for i in 1 2 3 4 5; do echo $i > build/f$i; echo $i > build/d/$i; done; ln -s f1 build/l"
CRASHED = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL}


def damaged(draw: random.Random, meta: bytearray) -> str:
    """Change bytes that are in use, most of them nearby; what was changed."""
    used = [at for at in range(0, len(meta), 8) if meta[at : at + 8] != bytes(8)]
    kind = draw.choice(["flip", "words", "bytes", "copy"])
    count = draw.choice([1, 1, 3, 30, 300])
    for _ in range(count):
        at = draw.choice(used)
        if kind == "flip":
            meta[at + draw.randrange(8)] ^= 1 << draw.randrange(8)
        elif kind == "bytes":
            meta[at + draw.randrange(8)] = draw.randrange(256)
        elif kind == "words":
            word = draw.choice([0, 1, 2, 255, 2**31, 2**32 - 1, draw.randrange(2**32)])
            place = at + draw.choice([0, 4])
            meta[place : place + 4] = word.to_bytes(4, "little")
        else:
            other = draw.choice(used)
            meta[at : at + 8] = meta[other : other + 8]
    return f"{kind} x{count}"


@contextmanager
def ground() -> Iterator[tuple[Velo, Path]]:
    """A workspace with files in memory, and its server; nothing is left of them."""
    with tempfile.TemporaryDirectory(prefix="velo-fuzz-") as place:
        root = Path("/dev/shm") / Path(place).name
        os.environ |= {
            "VELO_RUNTIME_DIR": str(root),
            "VELO_CACHE_DIR": f"{place}/cache",
            "VELO_SHARDS": "2",
        }
        workspace = Path(place, "workspace")
        (workspace / "build" / "d").mkdir(parents=True)
        toml = '[live]\nmax_memory = "16MB"\naggressive_paths = ["build/"]\n'
        (workspace / "velo.toml").write_text(toml)
        try:
            yield Velo(root, str(SCRIPTS / "velo")), workspace
        finally:
            for pid in processes_of(root):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["rm", "-rf", root], check=True)


def round_of(seed: int) -> list[str]:
    """One round; what was not as it should be."""
    draw, wrong = random.Random(seed), []
    with ground() as (velo, workspace):
        velo.run("exec", "--no-wait", "--", "sh", "-c", FILES, cwd=workspace)
        meta, alive = velo.memory() / "meta", draw.random() < 0.5
        log = velo.arena() / "server.log"
        if not alive:
            for pid in processes_of(velo.root):
                os.kill(pid, signal.SIGKILL)
        whole = bytearray(meta.read_bytes())
        before = bytes(whole)
        what = damaged(draw, whole)
        with open(meta, "r+b") as file:  # only what is changed: the server may write beside it
            for at in range(0, len(whole), 8):
                if whole[at : at + 8] != before[at : at + 8]:
                    os.pwrite(file.fileno(), whole[at : at + 8], at)
        if not alive and draw.random() < 0.1:
            os.truncate(meta, draw.randrange(len(whole)))
            what += ", cut off"
        for command in COMMANDS:
            wrong += asked(velo, workspace, command)
        with suppress(OSError):
            if "Traceback" in (text := log.read_text(errors="replace")):
                wrong.append(f"server.log: {text[-2000:]}")
    about = f"seed {seed} ({what}, server {'alive' if alive else 'killed'})"
    return [f"{about}: {each}" for each in wrong]


def asked(velo: Velo, workspace: Path, command: list[str]) -> list[str]:
    process = velo.start(*command, cwd=workspace, errors="replace")  # names may have any bytes
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        for pid in processes_of(velo.root):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        return [f"{command} took over {LIMIT_S:.0f} s"]
    if process.returncode in CRASHED or "Traceback" in err or "internal error" in err:
        return [f"{command} ended with {process.returncode}: {err}"]
    return [f"{command}: {line}" for line in err.splitlines() if "fault" in line or "core" in line]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    until, seed, found = time.monotonic() + options.seconds, options.seed, 0
    while time.monotonic() < until:
        for each in round_of(seed):
            found += 1
            print(each, flush=True)
        seed += 1
    print(f"{seed - options.seed} rounds from seed {options.seed}: {found} things did not hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
