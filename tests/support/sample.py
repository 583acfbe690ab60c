"""The real project that velo is shown on: libuv, as the source package `uvloop` carries it.

In: a package registry that pip reaches, or the cache of an earlier run. Out: libuv's source tree,
unpacked anywhere. Never: a byte that is not the pinned release's (sha256), or a copy in this
repository.

Why this one: C, CMake + Ninja, 465 build steps in 17 s on 2 cores, static and shared libraries,
versioned symlinks, three programs, its own tests, no dependency, and builds that are equal byte
for byte. It is fetched from the index that pip is configured with, but not by pip, which builds a
source package, and all that is needed for that, before it hands it over.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import html
import json
import os
import re
import ssl
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

PACKAGE = "uvloop"
ARCHIVE = "uvloop-0.23.0.tar.gz"
SHA256 = "28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27"
INSIDE = "uvloop-0.23.0/vendor/libuv/"
STEPS_MIN = 200
HALF = "uv_run_tests_a"  # a target: the static library and its tests, half of all steps
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
ANSWER_TIMEOUT_S = 30  # for the next bytes, not for all of them
PART_BYTES = 64 * 1024
JSON = "application/vnd.pypi.simple.v1+json"  # the simple repository API, in its two forms
HTML = "text/html;q=0.1"

# Taken at import, before a test moves HOME away.
CACHE = Path(os.environ.get("VELO_SAMPLES_DIR") or Path.home() / ".cache" / "velo-samples")


class SampleUnavailable(Exception):
    """The sample could not be fetched; the message says why, in one line."""


Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)


def fetch(cache: Path = CACHE, *, progress: Progress = lambda done, whole: None) -> Path:
    """The archive, from the cache or the registry. Several processes may ask at once.

    Raises:
        SampleUnavailable: it could not be had; the cache is as it was.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        archive = cache / ARCHIVE
        with open(cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (archive.exists() and _digest(archive) == SHA256):
                _download(archive, progress)
    except (OSError, HTTPException, ValueError) as error:
        raise SampleUnavailable(f"{ARCHIVE}: {error}") from None
    return archive


def unpack(
    directory: Path, *, cache: Path = CACHE, progress: Progress = lambda done, whole: None
) -> Path:
    """libuv's sources in the new `directory`, which is returned."""
    prefix_parts = INSIDE.count("/")
    with tarfile.open(fetch(cache, progress=progress)) as archive:
        members = []
        for member in archive.getmembers():
            if member.name.startswith(INSIDE):
                member.name = member.name.split("/", prefix_parts)[-1]
                members.append(member)
        archive.extractall(directory, members, filter="data")
    return directory


def run_own_tests(source: Path, build: Path, program: str = "uv_run_tests") -> list[str]:
    """Run the selection natively on a finished build; the names of those that failed."""
    environment = {**os.environ, "UV_RUN_AS_ROOT": "1"}
    return [
        name
        for name in OWN_TESTS
        if subprocess.run(
            [build / program, name],
            cwd=source,
            env=environment,
            capture_output=True,
            timeout=300,
        ).returncode
    ]


def _download(archive: Path, progress: Progress) -> None:
    index = _index().rstrip("/") + f"/{PACKAGE}/"
    with _open(index, JSON + ", " + HTML) as page:
        kind, text = page.headers.get("Content-Type", ""), page.read().decode()
    partial = archive.with_suffix(".part")
    with _open(_link(text, kind, index), "*/*") as body, open(partial, "wb") as file:
        whole = int(body.headers.get("Content-Length") or 0)
        while part := body.read(PART_BYTES):
            file.write(part)
            progress(file.tell(), whole)
    if (found := _digest(partial)) != SHA256:
        partial.unlink()
        raise ValueError(f"sha256 is {found}, not the pinned {SHA256}")
    os.replace(partial, archive)


def _link(text: str, kind: str, index: str) -> str:
    """Where the archive is, by the package's page in the index."""
    if kind.startswith(JSON):
        urls = [file["url"] for file in json.loads(text)["files"] if file["filename"] == ARCHIVE]
    else:
        urls = re.findall(rf'href="([^"]*{re.escape(ARCHIVE)}[^"]*)"', text)
    if not urls:
        raise ValueError("not in the index that pip is configured with")
    return urllib.parse.urljoin(index, html.unescape(urls[0]))


def _open(url: str, accept: str) -> Any:
    """Ask `url`, with pip's certificates, and the name and password that it may carry."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": accept}
    if parts.username is not None:
        pair = (
            f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        )
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    context = ssl.create_default_context(cafile=_configured("cert") or None)
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S, context=context)


def _index() -> str:
    """The index of packages that pip is configured with, by default pip's own default."""
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return _configured("index-url") or _said(sys.executable, "-c", default)


def _configured(name: str) -> str:
    """What pip's environment variables or files say of an option, or ""."""
    variable = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    return variable or _said(sys.executable, "-m", "pip", "config", "get", f"global.{name}")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
