"""How much memory each way of writing takes, against `max_memory`: the table of the cap.

    python -m support.cap --velo PATH --caps 2,8,32 --mib 64 [WAY...]      (from tests/)

In: a cap, a way of writing (`WAYS`). Out: what programs said, which bytes were wrong, and the
highest sum of what the arena's files took, sampled every 20 ms. Files without a name are seen only
in a file system of the arena's own: `--own` mounts one, which needs root and `unshare -m`.
"""

from __future__ import annotations

import argparse
import os
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

SAMPLE_S = 0.02
MIB = 1 << 20
WRITER = Path(__file__).with_name("cap_writer.c")
LINKS = """import os
files = [f"build/{i}" for i in range(100)]
for file in files:
    open(file, "w").close()
for d in range(300):
    os.mkdir(f"build/d{d}")
for d in range(300):
    for i, file in enumerate(files):
        os.link(file, f"build/d{d}/{i}")
print({os.stat(file).st_nlink for file in files})
"""
TIMEOUT_S = 60

_ONE = "{w} %s build/one {mib}"
_THIRD = "for i in 1 2 3 4 5 6 7 8 9; do {w} %s build/f$i {third} || exit 1; done"

# name -> a shell command; {w} writes (cap_writer.c), {static} is the same as a static program.
WAYS = {
    **{way: _ONE % way for way in ("write", "pwrite", "writev", "fprintf", "putc", "fwrite")},
    **{
        way: _ONE % way
        for way in (
            "append",
            "raw",
            "syscall",
            "mapped",
            "allocated",
            "mapped-then-written",
            "shared-append",
            "own-append",
            "at-once",
            "opened-twice",
            "nameless-twice",
            "linked",
            "read-held",
            "nameless",
        )
    },
    "read-held-beside": "for i in 1 2 3; do {w} write build/f$i {third}; done;"
    " {w} read-held build/one {mib}",
    **{
        f"thirds-{way}": _THIRD % way for way in ("write", "fprintf", "putc", "mapped", "allocated")
    },
    "thirds-redirected": "for i in 1 2 3 4 5 6 7 8 9; do {w} write - {third} > build/f$i || exit 1;"
    " done",
    "thirds-cp": "{w} write source {third}; for i in 1 2 3 4 5 6 7 8 9; do cp source build/f$i ||"
    " exit 1; done; rm source",
    "eight-writers": "for i in 1 2 3 4 5 6 7 8; do {w} write build/f$i {eighth} & done; wait",
    "redirected": "{w} write - {mib} > build/one",
    "redirected-stream": "{w} fprintf - {mib} > build/one",
    "redirected-raw": "{w} raw - {mib} > build/one",
    "braces": "{{ {w} write - {half}; {w} fprintf - {half}; }} > build/one",
    "appended": "{w} write - {half} >> build/one; {w} write - {half} >> build/one",
    "static": "{static} write - {mib} > build/one",
    "static-braces": "{{ {static} write - {half}; {static} fprintf - {half}; }} > build/one",
    "dash-braces": "sh -c '{{ {w} write - {half}; {w} write - {half}; }} > build/one'",
    "awk": "awk 'BEGIN {{ for (i = 0; i < {mib} * 16384; i++)"
    ' printf("%063d\\n", i) > "build/one" }}\'',
    "python-run": 'python3 -c \'import subprocess; f = open("build/one", "wb");'
    ' subprocess.run(["{w}", "write", "-", "{half}"], stdout=f, check=True);'
    ' subprocess.run(["{w}", "write", "-", "{half}"], stdout=f, check=True)\'',
    "dd": "dd if=/dev/zero of=build/one bs=1M count={mib} status=none",
    "cp": "{w} write source {mib}; cp source build/one || exit 1; rm source",
    "cat": "{w} write source {mib}; cat source source > build/one || exit 1; rm source",
    "tee": "{w} write - {mib} | tee build/one > build/two",
    "many-open": "ulimit -n 4096; {w} many-open build/f 1000 && rm -f build/f.??",
    "many-read": "ulimit -n 4096; {w} many-read build/f 600 && rm -f build/f.??",
    "many-links": "python3 {links} && find build | wc -l && rm -rf build/d*",
    "no-pages-truncated": "truncate -s {mib}M build/one; truncate -s 5T build/two",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way at one cap."""

    way: str
    cap_mib: int
    peak_bytes: int
    wrong: str  # what differs from a plain directory, or nothing
    seconds: float  # of the hosted command

    @property
    def over_bytes(self) -> int:
        """What is beyond `max_memory` + 1 MiB + 1 %: the bound of the arena."""
        cap = self.cap_mib * MIB
        return max(0, self.peak_bytes - cap - MIB - cap // 100)

    def __str__(self) -> str:
        share = self.peak_bytes / (self.cap_mib * MIB)
        flag = "OVER" if self.over_bytes else ""
        head = f"{self.way:22} {self.cap_mib:4} MiB {share:6.2f}x {self.seconds:6.1f} s"
        return f"{head} {flag:5} {self.wrong}"


class Meter(threading.Thread):
    """Samples what all files below `root` take, until stopped."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._root = root
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            with suppress(FileNotFoundError):  # a directory went while it was listed
                self.peak_bytes = max(self.peak_bytes, self._now())

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _now(self) -> int:
        if os.path.ismount(self._root):
            found = os.statvfs(self._root)
            return (found.f_blocks - found.f_bfree) * found.f_frsize
        return sum(_held(path) for path in self._root.glob("*/*")) + sum(
            _held(path) for path in self._root.glob("*/i/*")
        )


def _held(path: Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0  # it left memory meanwhile


def build_writers(directory: Path) -> dict[str, str]:
    """The writer, dynamic and static, compiled into `directory`."""
    flags = ["-O1", "-w", str(WRITER), "-o"]
    subprocess.run(["gcc", *flags, directory / "writer"], check=True)
    subprocess.run(["gcc", "-static", *flags, directory / "static"], check=True)
    (directory / "links.py").write_text(LINKS)
    names = {"w": "writer", "static": "static", "links": "links.py"}
    return {key: str(directory / name) for key, name in names.items()}


def command_of(way: str, writers: dict[str, str], mib: int, cap_mib: int) -> str:
    """The shell command of `way`, for `mib` MiB in all."""
    third = max(1, min(cap_mib // 3, mib))
    return WAYS[way].format(**writers, mib=mib, half=mib // 2, eighth=mib // 8, third=third)


def digest_of(place: Path) -> str:
    """Names, sizes and contents below build/; lines are sorted, for writers race."""
    script = (
        "cd build && for f in *; do echo $f $(stat -c %s $f)"
        " $([ $(stat -c %b $f) = 0 ] && echo empty || LC_ALL=C sort $f | sha256sum); done"
    )
    return subprocess.run(
        ["sh", "-c", script], cwd=place, check=True, capture_output=True, text=True
    ).stdout


def measure(
    velo: str, place: Path, root: Path, way: str, *, writers: dict[str, str], mib: int, cap_mib: int
) -> Outcome:
    """Run one way natively, then hosted in an arena below `root`; both in `place`, emptied."""
    command = command_of(way, writers, mib, cap_mib)
    native = _run(["bash", "-c", command], place, root)
    expected = native.stdout, native.returncode, digest_of(place)
    _empty(place)
    text = f'[live]\nmax_memory = "{cap_mib}MiB"\naggressive_paths = ["build/"]\n'
    (place / "velo.toml").write_text(text)
    meter = Meter(root)
    meter.start()
    began = time.monotonic()
    try:
        hosted = _run([velo, "exec", "--", "bash", "-c", command], place, root)
        seconds = time.monotonic() - began
        digest = digest_of(place)
    finally:
        stopped = _run([velo, "stop"], place, root)
        meter.stop()
    wrong = []
    if (hosted.stdout, hosted.returncode) != expected[:2]:
        wrong.append(f"said {hosted.stdout.strip()[-60:]!r} ({hosted.returncode})")
    if hosted.stderr != native.stderr:
        wrong.append(hosted.stderr.strip()[-90:])
    if digest != expected[2]:
        wrong.append("wrong bytes")
    if stopped.returncode != 0:
        wrong.append(f"stop: {stopped.stderr.strip()[-80:]}")
    _empty(place)
    return Outcome(way, cap_mib, meter.peak_bytes, "; ".join(wrong), seconds)


def _empty(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    (place / "build").mkdir(parents=True)


def _run(command: list[str], place: Path, root: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VELO_RUNTIME_DIR": str(root)}
    with subprocess.Popen(
        command,
        cwd=place,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0], f"took over {TIMEOUT_S} s"
    return subprocess.CompletedProcess(command, process.returncode, *said)


def main() -> None:
    """The whole table, or some rows of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ways", nargs="*", default=list(WAYS), metavar="WAY")
    parser.add_argument("--velo", default="velo")
    parser.add_argument("--caps", default="2,8,32")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--own", action="store_true", help="a tmpfs for the arena alone")
    options = parser.parse_args()
    if options.own and "VELO_CAP_INSIDE" not in os.environ:
        os.environ["VELO_CAP_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-m", "support.cap", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(tempfile.mkdtemp(prefix="velo-cap-", dir="/dev/shm"))
        root.chmod(0o711)
        if options.own:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=711", "cap", root], check=True)
        place = Path(scratch, "place")
        _empty(place)
        os.environ["XDG_CACHE_HOME"] = os.path.join(scratch, "cache")
        writers = build_writers(Path(scratch))
        for cap_mib in map(int, options.caps.split(",")):
            for way in options.ways:
                found = measure(
                    options.velo,
                    place,
                    root,
                    way,
                    writers=writers,
                    mib=options.mib,
                    cap_mib=cap_mib,
                )
                print(found, flush=True)
        if options.own:
            subprocess.run(["umount", "-l", root], check=True)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
