"""Programs that write without end, commands beside them, and kills of all of it: nothing is lost.

    cd tests; python -m support.storm --seconds 600 --seed 7

In: seeds. Out: for each round what did not hold. Writers make, replace, read and remove files of
their own below build/, and note outside of it, before and after each step, what they do. Meanwhile
commands are run, and writers, shards, the router and commands are killed; then commands alone. At
the end each file must be what the notes allow, all that was read must be, and nothing of velo may
be left. `--rate 0` kills nothing. Never: two writers of one file.
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
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .harness import SCRIPTS, Velo, parent_of, processes_of, session_of, wait_for

LIMIT_S = 180
BESIDE_MAX = 3  # commands at once
COMMANDS = (["sync"], ["unload"], ["status"], ["exec", "--", "ls", "-R", "build"], ["stop"])
ENDING = (["sync"], ["unload"], ["exec", "--", "sh", "-c", "echo > build/x"], ["stop", "--force"])
VICTIMS = {"writer": 45, "shard": 16, "router": 7, "command": 6, "velo": 2, "none": 24}
ABSENT = 0  # the version of a file that is not there


# ---- a writer, in a process of its own -----------------------------------------------------------


def write(notes: str, name: str) -> None:
    """Do one step after the other until killed; each is noted before (upper case) and after it."""
    draw, version = random.Random(os.getpid()), time.time_ns()
    log = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    while True:
        time.sleep(draw.choice([0, 0, 0.02, 0.1]))  # so that files live for as long as a flush
        version += 1
        directory = f"build/{name}{draw.choice(['', '/d', '/e', '/d/deep'])}"
        path = f"{directory}/{draw.randrange(12)}"
        line = f"{path} {version}\n"
        content = line * (draw.choice([10, 5000, 70_000, 300_000]) // len(line) + 1)
        os.makedirs(directory, exist_ok=True)
        step = draw.choice(["replace", "replace", "write", "write", "remove", "read"])
        if step == "read":
            with suppress(FileNotFoundError):
                found = Path(path).read_text().partition("\n")[0] or f"{path} {ABSENT}"
                os.write(log, f"read {path} {found}\n".encode())
            continue
        os.write(log, f"{step.upper()} {line}".encode())
        if step == "remove":
            Path(path).unlink(missing_ok=True)
        elif step == "write":
            Path(path).write_text(content)
        else:
            Path(f"build/{name}/new").write_text(content)
            os.rename(f"build/{name}/new", path)
        os.write(log, f"{step} {line}".encode())


def keep_writing(directory: str, count: int) -> None:
    """Writers, each started again when it is killed."""
    live: dict[int, int] = {}
    for number in range(count):
        live[_writer(directory, number)] = number
    while True:
        number = live.pop(os.wait()[0])
        live[_writer(directory, number)] = number


def _writer(directory: str, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        write(f"{directory}/{number}", f"w{number}")
    return pid


# ---- what the notes allow ------------------------------------------------------------------------


def wrong(notes: Path, place: Path) -> Iterator[str]:
    """What was read, or is there, and cannot be."""
    last: dict[str, tuple[str, int]] = {}
    begun: dict[str, list[tuple[str, int]]] = {}
    for line in notes.read_text().splitlines():
        step, path, *rest = line.split(" ")
        if step == "read":
            maybe = [last.get(path, ("remove", ABSENT)), *begun.get(path, [])]
            if not _allows(maybe, path, rest[0], int(rest[1])):
                yield f"{line}: not of {maybe}"
        elif step.isupper():
            begun.setdefault(path, []).append((step.lower(), int(rest[0])))
        else:
            last[path] = (step, int(rest[0]))
            begun[path] = []
    for path in begun:
        maybe = [last.get(path, ("remove", ABSENT)), *begun[path]]
        data = (place / path).read_text() if (place / path).exists() else None
        lines = (data or "").splitlines()
        if data is None:
            if not any(step == "remove" for step, _ in maybe):
                yield f"{path} is gone: {maybe}"
        elif not any(step == "write" for step, _ in begun[path]):  # else it may be half written
            name, version = lines[0].split(" ") if lines else (path, str(ABSENT))
            if not _allows(maybe, path, name, int(version)) or set(lines) != {lines[0]}:
                yield f"{path} has {len(lines)} lines like {lines[:1]}: {maybe}"


def _allows(maybe: list[tuple[str, int]], path: str, name: str, version: int) -> bool:
    if version == ABSENT:  # empty: it was being written
        return any(step == "write" for step, _ in maybe[1:])
    return name == path and any(version == each for step, each in maybe if step != "remove")


# ---- a round -------------------------------------------------------------------------------------


def round_of(
    velo: Velo, place: Path, seed: int, *, rate: float, seconds: float, killed: Counter[str]
) -> list[str]:
    """What did not hold; `place` is an empty directory, and so is the runtime root of `velo`."""
    draw = random.Random(seed)
    cap, shards = draw.choice(["8MB", "16MB", "128MB"]), draw.choice([1, 2, 4])
    workspace, notes = place / "w", place / "notes"
    (workspace / "build").mkdir(parents=True)
    notes.mkdir()
    (workspace / "velo.toml").write_text(
        f'[live]\nmax_memory = "{cap}"\nshards = {shards}\nidle_flush = "100ms"\n'
        'aggressive_paths = ["build/"]\n'
    )
    found = _write_and_kill(velo, workspace, notes, draw, rate, seconds, killed)
    _end_and_kill(velo, workspace, draw, rate, killed)
    velo.exec("true", cwd=workspace)  # adopts what the last kill left
    done = velo.run("sync", cwd=workspace, check=False, timeout_s=LIMIT_S)
    found += [f"sync: {done.stderr}"] if done.returncode else []
    found += velo.tear_down()
    found += [each for log in notes.iterdir() for each in wrong(log, workspace)]
    return [f"seed {seed}, {cap}, {shards} shards: {each}" for each in found]


def _write_and_kill(
    velo: Velo, place: Path, notes: Path, draw: random.Random, rate: float, seconds: float,
    killed: Counter[str],
) -> list[str]:  # fmt: skip
    writing = (sys.executable, "-m", "support.storm", "--write", str(notes), "--writers", "5")
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    # Writers that are killed say nothing; one that meets an error says so, and is started again.
    words = ("exec", "--require", "--", *writing)  # natively, its first is not to be told apart
    storm = velo.start(*words, cwd=place, env=env, start_new_session=True)
    beside: list[subprocess.Popen[str]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until and storm.poll() is None:
        time.sleep(draw.expovariate(rate or 4.0))
        live = [each.pid for each in beside if each.poll() is None]
        who = draw.choices(list(VICTIMS), list(VICTIMS.values()))[0] if rate else "none"
        if who == "none" and len(live) < BESIDE_MAX:
            beside.append(velo.start(*draw.choice(COMMANDS), cwd=place))
        writers = [pid for pid in session_of(velo.root, storm.pid) if parent_of(pid) != storm.pid]
        _kill(velo, who, {"writer": writers, "command": live}, draw, killed)
    wait_for(lambda: not _ended(velo, storm.pid), timeout_s=LIMIT_S)
    ends = [velo.finish(each, check=False, timeout_s=LIMIT_S) for each in (storm, *beside)]
    return [done.stderr for done in ends if "Traceback" in done.stderr]


def _end_and_kill(
    velo: Velo, place: Path, draw: random.Random, rate: float, killed: Counter[str]
) -> None:
    for words in draw.sample(ENDING, len(ENDING)) if rate else ():
        for _ in range(4):
            command = velo.start(*words, cwd=place)
            time.sleep(draw.uniform(0, 0.5))
            who = draw.choice(["shard", "router", "command", "velo"])
            _kill(velo, who, {"command": [command.pid]}, draw, killed)
            velo.finish(command, check=False, timeout_s=LIMIT_S)


def _kill(
    velo: Velo, who: str, pids: dict[str, list[int]], draw: random.Random, killed: Counter[str]
) -> None:
    with suppress(OSError, ValueError, IndexError):
        server = velo.server_pid()
        shards = [pid for pid in processes_of(velo.root) if parent_of(pid) == server]
        pids |= {"router": [server], "shard": shards, "velo": [server, *shards]}
    chosen = pids.get(who, [])
    for pid in chosen if who == "velo" else chosen and [draw.choice(chosen)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed[who] += 1


def _ended(velo: Velo, session: int) -> list[int]:
    """Those that were still there, which are killed."""
    found = session_of(velo.root, session)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--round-seconds", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rate", type=float, default=10.0, help="kills and commands a second")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--writers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        keep_writing(options.write, options.writers)
    until, seed, found = time.monotonic() + options.seconds, options.seed, 0
    killed: Counter[str] = Counter()
    while time.monotonic() < until:
        velo = Velo(Path("/dev/shm") / f"velo-storm-{os.getpid()}", str(SCRIPTS / "velo"))
        with tempfile.TemporaryDirectory(prefix="velo-storm-") as directory:
            os.environ |= {"VELO_RUNTIME_DIR": str(velo.root), "VELO_CACHE_DIR": f"{directory}/c"}
            for each in round_of(
                velo, Path(directory), seed,
                rate=options.rate, seconds=options.round_seconds, killed=killed,
            ):  # fmt: skip
                found += 1
                print(each, flush=True)
        seed += 1
    kills = f"{killed.total()} kills {dict(killed)}"
    print(f"{seed - options.seed} rounds from seed {options.seed}, {kills}: {found} did not hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
