"""Two sides that perform the same scripts: a plain directory and a hosted one, and how they differ.

    script -> native oracle -> lines \\
                                       first difference
    script -> hosted oracle -> lines /
                 | "state PATH evicted"
              Forcer: brings a file into a state, through the shards' own doors

In: the oracle (oracle/*.c), a velo. Out: what each side printed, and for a difference the script as
short as it can be made. Never: a rule that hides a difference; what two native runs disagree on is
left out by the oracle itself, which says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from velo.interpose.core import BACKED, COLD, DISK, Region
from velo.shards import flush
from velo.shards.cas import Store

from .harness import Velo

SOURCES = sorted((Path(__file__).parents[1] / "fidelity/oracle").glob("*.c"))
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
# What glibc's headers turn into other symbols: open64, __open_2, __read_chk...
BUILDS = {
    "plain": ["-O1", "-U_FORTIFY_SOURCE"],
    "fortify": ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"],
    "lfs": ["-O1", "-U_FORTIFY_SOURCE", "-D_FILE_OFFSET_BITS=64"],
}
TOML = '[live]\nmax_memory = "512MB"\naggressive_paths = ["build/"]\n'
STATES = ("fresh", "flushed", "evicted", "disk", "cold")
NODE_MASK = 2**32 - 1
NOBODY = 65534
NOT_UNDERSTOOD = "3"  # exit status of an oracle that has no such operation, or too few words
MESSAGE_BYTES = 64  # of oracle.h
HOSTED_INODE = 1 << 47  # of a hosted file's st_ino; the node is in its lower half


# Scripts go up ".." and may do so as root: for both sides the rest of the machine is read-only.
FENCE = """
for place; do [ "$place" = -- ] && break; mount --bind "$place" "$place"; done
mount -o remount,bind,ro / || exit 1
while [ "$1" != -- ]; do shift; done
shift; cd "$1"; shift; exec "$@"
"""


def fenced(words: Sequence[str], cwd: Path, *writable: Path) -> list[str]:
    """`words` run in `cwd` where, for root, only what is below `writable` can be changed."""
    if os.geteuid() != 0:
        return list(words)
    places = [str(place) for place in writable]
    return [
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("sh", "-ec", FENCE, "fence", *places, "--", str(cwd), *words),
    ]


def build_oracle(kind: str, directory: Path) -> Path:
    """The oracle compiled in one of the ways of BUILDS."""
    program = directory / f"oracle-{kind}"
    command = ["cc", "-std=gnu11", "-D_GNU_SOURCE", *WARNINGS, *BUILDS[kind]]
    made = subprocess.run(
        [*command, "-o", program, *SOURCES, "-lpthread"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return program


def stamps_are_fine(directory: Path) -> bool:
    """True when a change right after a look always gets a later stamp (Linux 6.13 and later).

    Otherwise whether two changes have the same stamp depends on the clock's tick, and the oracle
    leaves relations of times out.
    """
    probe = directory / "probe"
    for round_ in range(20):
        probe.write_text("")
        before = probe.stat().st_mtime_ns
        probe.write_text(str(round_))
        if probe.stat().st_mtime_ns == before:
            return False
    return True


# ---- states --------------------------------------------------------------------------------------


class Control:
    """Two pipes between an oracle and its Forcer: 64 bytes that ask, one that answers."""

    def __init__(self) -> None:
        self.asked, ask = os.pipe()
        answer, self.answers = os.pipe()
        self.theirs = (ask, answer)

    def given(self) -> None:
        """The oracle has its ends: ours of them are closed."""
        for fd in self.theirs:
            os.close(fd)

    def close(self) -> None:
        os.close(self.asked)
        os.close(self.answers)


@dataclass
class Forcer:
    """Brings hosted files into states when the oracle asks, by what shards do to them anyway."""

    region: Region
    store: Store
    reached: Counter[str] = field(default_factory=Counter)

    def serve(self, control: Control) -> None:
        """Answer one oracle until it is gone."""
        with suppress(BrokenPipeError):
            while message := os.read(control.asked, MESSAGE_BYTES):
                inode, _, state = message.rstrip(b"\0").decode().partition(" ")
                if int(inode) & HOSTED_INODE:
                    self.force(int(inode) & NODE_MASK, state)
                os.write(control.answers, b"!")

    def force(self, node: int, state: str) -> None:
        """Try to; a file that somebody has open may refuse, as it would refuse a shard."""
        if state in ("flushed", "evicted", "cold"):
            self._keep(node)
        if state in ("flushed", "evicted", "disk"):
            with suppress(OSError):
                self.region.writeback(node)
        if state in ("evicted", "disk", "cold"):
            self.region.evict(node)
        info = self.region.info(node)
        if info is None:
            return
        clean = not info.dirty_disk
        now = {BACKED: "flushed" if clean else "fresh", DISK: "disk", COLD: "cold"}[info.state]
        if now == "disk" and not info.dirty_store:
            now = "evicted"
        self.reached[now] += 1

    def _keep(self, node: int) -> None:
        info = self.region.info(node)
        if info is not None:
            flush.store_files(self.region, self.store, [info])


# ---- sides ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """What one child of the oracle performs."""

    name: str
    lines: tuple[str, ...]
    uid: int = 0

    def text(self, *, keep: bool) -> str:
        fate = "keep" if keep else "remove"
        return "\n".join([f"begin {self.name} {self.uid} {fate}", *self.lines, "end", ""])


class OracleDied(Exception):
    """An oracle ended, or said nothing for too long."""


class Side:
    """One running oracle. `run` performs scripts one after the other."""

    def __init__(self, process: subprocess.Popen[str], build: Path) -> None:
        self.process = process
        self.build = build

    def send(self, script: Script, *, keep: bool) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(script.text(keep=keep))
        self.process.stdin.flush()

    def receive(self, script: Script) -> list[str]:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(f"done {script.name} "):
                return lines
        raise OracleDied(f"{self.build}: status {self.process.wait()} after {lines[-3:]}")

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=120)


@dataclass
class Pair:
    """Both sides, running."""

    native: Side
    hosted: Side
    forcer: Forcer

    def run(self, script: Script, *, keep: bool = False) -> tuple[list[str], list[str]]:
        """What each side printed; they work at the same time."""
        self.native.send(script, keep=keep)
        self.hosted.send(script, keep=keep)
        return self.native.receive(script), self.hosted.receive(script)

    def difference(self, script: Script, *, keep: bool = False) -> str | None:
        """The first line that is not the same, with the operation it came from.

        Raises:
            ValueError: the script has a line that the oracle does not understand.
        """
        native, hosted = self.run(script, keep=keep)
        if native[-1].split()[2:] == [NOT_UNDERSTOOD]:
            raise ValueError(f"{script.name}: see what the oracle says about it")
        return None if native == hosted else first_difference(script, native, hosted)


def first_difference(script: Script, native: Sequence[str], hosted: Sequence[str]) -> str:
    for index in range(max(len(native), len(hosted))):
        one = native[index] if index < len(native) else "(nothing)"
        other = hosted[index] if index < len(hosted) else "(nothing)"
        if one != other:
            number = one.split(" ", 1)[0]
            what = script.lines[int(number) - 1] if number.isdigit() and int(number) else "audit"
            return f"{what}\n  native {one}\n  hosted {other}"
    return "none"


def shortest(script: Script, differs: Callable[[Script], bool], *, tries_max: int = 400) -> Script:
    """Take out lines while it still `differs`: halves first, then smaller pieces, then single."""
    lines, tries = list(script.lines), 0
    size = max(1, len(lines) // 2)
    while tries < tries_max:
        start, removed = 0, False
        while start < len(lines) and tries < tries_max:
            fewer = lines[:start] + lines[start + size :]
            tries += 1
            if differs(Script(f"{script.name}.{tries}", tuple(fewer), script.uid)):
                lines, removed = fewer, True
            else:
                start += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    return Script(script.name, tuple(lines), script.uid)


# ---- a whole ground ------------------------------------------------------------------------------


@dataclass
class Ground:
    """Two sibling workspaces with paths of equal length, one hosted by a running velo."""

    velo: Velo
    directory: Path
    with_times: bool
    programs: dict[str, Path] = field(default_factory=dict)

    @property
    def plain(self) -> Path:
        return self.directory / "plain"

    @property
    def hosted(self) -> Path:
        return self.directory / "hosts"

    def program(self, kind: str) -> Path:
        if kind not in self.programs:
            self.programs[kind] = build_oracle(kind, self.directory)
        return self.programs[kind]

    @contextmanager
    def pair(self, kind: str = "plain") -> Iterator[Pair]:
        """Both oracles of one build, started; ended afterwards."""
        words = [str(self.program(kind)), "build", "side", *(["times"] if self.with_times else [])]
        native = Side(self._start(words, self.plain), self.plain / "build")
        control = Control()
        hosted = Side(
            self._start([self.velo.executable, "exec", "--", *words], self.hosted, control),
            self.hosted / "build",
        )
        control.given()
        self.velo.workspaces.add(self.hosted)
        # One script through both: from then on there is an arena to attach to.
        first = Script(f"first-{kind}", ("stat .",))
        for side in (native, hosted):
            side.send(first, keep=False)
            side.receive(first)
        region = Region.attach(str(self.velo.arena()))
        forcer = Forcer(region, Store(Path(os.environ["VELO_CAS_DIR"])))
        server = threading.Thread(target=forcer.serve, args=(control,))
        server.start()
        try:
            yield Pair(native, hosted, forcer)
        finally:
            native.close()
            hosted.close()
            server.join(timeout=30)
            control.close()
            region.check()

    def _start(
        self, words: Sequence[str], cwd: Path, control: Control | None = None
    ) -> subprocess.Popen[str]:
        environment = dict(os.environ)
        passed: tuple[int, ...] = ()
        if control is not None:
            environment["ORACLE_CONTROL"] = ",".join(map(str, control.theirs))
            passed = control.theirs
        cache = Path(os.environ["VELO_CACHE_DIR"])
        cache.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            fenced(words, cwd, self.directory, cache),
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=passed,
        )


def open_below(directory: Path) -> None:
    """Give the owner his rights back: what scripts closed, an ordinary user could not remove."""
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        with suppress(OSError):
            here.chmod(0o700)
            with os.scandir(here) as entries:
                waiting += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]


@contextmanager
def ground(velo: Velo) -> Iterator[Ground]:
    """A ground in a directory that other users may enter, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="velo-oracle-", dir="/var/tmp"))
    try:
        directory.chmod(0o755)
        found = Ground(velo, directory, stamps_are_fine(directory))
        for place in (found.plain, found.hosted):
            for name in ("build", "side"):
                (place / name).mkdir(parents=True)
            (place / "velo.toml").write_text(TOML)  # a walk that goes up meets it on both sides
        yield found
        for place in list(velo.workspaces):
            velo.run("stop", cwd=place, check=False)
            velo.workspaces.discard(place)
    finally:
        open_below(directory)
        shutil.rmtree(directory, ignore_errors=True)
