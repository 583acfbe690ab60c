"""What is on disk after `velo sync`, wherever the power is cut from then on, and on the way there.

Method: strace tells in which order a shard makes bytes and names durable. The model is the one that
every file system keeps: bytes are durable once their file, or all of its file system, was synced; a
name once its directory, or all, was synced after the name was made.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.harness import Velo, tool, wait_for

CALLS = "fsync,fdatasync,syncfs,rename,renameat,renameat2,linkat"
UNFINISHED = "<unfinished ...>"
TOML = '[live]\naggressive_paths = ["build/"]\n'
FILES = 24  # some shard has more than the store syncs one by one


def traced_sync(velo: Velo, place: Path, log: Path) -> list[tuple[str, str]]:
    """Calls of the shards while `velo sync` ran: name, arguments with the paths of descriptors."""
    shards = velo.shard_pids()
    strace = subprocess.Popen(
        [tool("strace"), "-f", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={CALLS}"]
        + [f"--attach={pid}" for pid in shards],
        stderr=subprocess.DEVNULL,
    )
    for pid in shards:
        wait_for(lambda pid=pid: "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text())
    velo.run("sync", cwd=place)
    strace.send_signal(signal.SIGINT)
    strace.wait(30)
    return list(finished(log.read_text().splitlines()))


def finished(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Calls that succeeded, by their ends; strace splits those beside which others were made."""
    begun: dict[str, str] = {}
    for line in lines:
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith(UNFINISHED):
            begun[pid] = text.removesuffix(UNFINISHED)
            continue
        if text.startswith("<... "):
            text = begun.pop(pid, "") + text.partition("resumed>")[2]
        if text.endswith("= 0"):
            yield text.partition("(")[0], text


def test_after_a_sync_no_cut_of_power_takes_anything(velo: Velo, workspace, tmp_path: Path) -> None:
    # Given new files, and one that replaces what is on disk
    place = workspace(toml=TOML)
    (place / "build").mkdir()
    velo.exec("sh", "-c", "echo old > build/f1", cwd=place)
    velo.run("pause", cwd=place)
    script = f"for i in $(seq {FILES}); do echo new $i > build/n; mv build/n build/f$i; done"
    velo.run("exec", "--no-wait", "--", "sh", "-c", script, cwd=place)

    calls = traced_sync(velo, place, tmp_path / "trace")

    # then all names of the tree are made before its file system is synced
    names = [
        at
        for at, (call, rest) in enumerate(calls)
        if call.startswith(("link", "rename")) and f"<{place}/build>" in rest
    ]
    syncs = [at for at, (call, _) in enumerate(calls) if call == "syncfs"]
    assert len(names) == FILES and any(at > names[-1] for at in syncs)
    # and a blob has its bytes before its name, and its name before the answer
    blobs = [
        (at, rest.split('"')[1], rest.split('"')[3])
        for at, (call, rest) in enumerate(calls)
        if call == "rename" and "/sha256/" in rest
    ]
    assert len(blobs) == FILES
    for at, staged, name in blobs:
        before, after = calls[:at], calls[at:]
        assert any(
            (call == "fdatasync" and f"<{staged}>" in rest)
            or (call == "syncfs" and f"<{Path(staged).parent}>" in rest)
            for call, rest in before
        ), name
        assert any(call == "fsync" and f"<{Path(name).parent}>" in rest for call, rest in after)
    velo.stop(cwd=place)
