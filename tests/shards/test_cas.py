"""The store: every blob is whole or not there, whatever happens to its writer and its disk."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lz4.frame
import pytest

from velo.shards import cas
from velo.shards.cas import CHUNK_BYTES, FileChanged, Store
from velo.shards.errors import BlobCorrupt, BlobMissing, StoreFull, StoreUnusable

TEXT = b"int main(void) { return 0; }\n" * 100
NOISE = os.urandom(4096)
LARGE_TEXT = b"0123456789abcdef" * (CHUNK_BYTES // 8)  # 2 MiB
LARGE_NOISE = os.urandom(2 * CHUNK_BYTES + 12345)
SAMPLES = {
    "empty": b"",
    "one byte": b"x",
    "tiny": b"a" * cas.TINY_BYTES,
    "text": TEXT,
    "noise": NOISE,
    "exactly one chunk": b"ab" * (CHUNK_BYTES // 2),
    "large text": LARGE_TEXT,
    "large noise": LARGE_NOISE,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "cas")
    yield opened
    opened.close()


@contextmanager
def bytes_in(path: Path, data: bytes) -> Iterator[int]:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def put(store: Store, tmp_path: Path, data: bytes) -> bytes:
    with bytes_in(tmp_path / "in", data) as fd:
        return store.put(fd)


def get(store: Store, tmp_path: Path, digest: bytes) -> bytes:
    fd = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        store.read_into(digest, fd)
    finally:
        os.close(fd)
    return (tmp_path / "out").read_bytes()


def blobs(store: Store) -> list[Path]:
    return sorted(p for p in (store.directory / "sha256").rglob("*") if p.is_file())


def staged(store: Store) -> list[Path]:
    return [p for p in (store.directory / "staging").rglob("*") if p.is_file()]


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES.keys())
def test_what_was_put_comes_back_under_its_sha256(store, tmp_path, data):
    digest = put(store, tmp_path, data)

    assert digest == hashlib.sha256(data).digest()
    assert get(store, tmp_path, digest) == data
    assert not staged(store)


@pytest.mark.parametrize("data", [TEXT, LARGE_TEXT], ids=["small", "large"])
def test_a_blob_that_compresses_is_a_standard_lz4_frame(store, tmp_path, data):
    put(store, tmp_path, data)

    (blob,) = blobs(store)
    assert blob.suffix == ".lz4" and lz4.frame.decompress(blob.read_bytes()) == data


@pytest.mark.parametrize("data", [NOISE, LARGE_NOISE], ids=["small", "large"])
def test_a_blob_that_does_not_compress_is_the_bytes_themselves(store, tmp_path, data):
    put(store, tmp_path, data)

    (blob,) = blobs(store)
    assert blob.suffix == "" and blob.read_bytes() == data


def test_put_twice_writes_once(store, tmp_path):
    put(store, tmp_path, TEXT)
    (blob,) = blobs(store)
    before = blob.stat().st_ino

    put(store, tmp_path, TEXT)

    assert blob.stat().st_ino == before
    assert store.counters.blobs_written == 1 and store.counters.blobs_present == 1


def test_a_large_batch_is_synced_with_its_file_system_not_file_by_file(
    store, tmp_path, monkeypatch
):
    calls = {"syncfs": 0, "fdatasync": 0}
    real = cas.sync_filesystem
    monkeypatch.setattr(cas, "sync_filesystem", lambda fd: (count(calls, "syncfs"), real(fd)))
    monkeypatch.setattr(os, "fdatasync", lambda fd: count(calls, "fdatasync"))

    with store.batch() as batch:
        for number in range(cas.SYNC_EACH_MAX + 1):
            with bytes_in(tmp_path / "in", TEXT + b"%d" % number) as fd:
                batch.add(fd)
        batch.commit()

    assert calls == {"syncfs": 1, "fdatasync": 0}
    assert len(blobs(store)) == cas.SYNC_EACH_MAX + 1


def count(calls: dict[str, int], name: str) -> None:
    calls[name] += 1


def test_data_is_synced_before_the_name_exists_and_the_directory_after(
    store, tmp_path, monkeypatch
):
    # Goal: C1. Method: note the order of the three calls that make a put durable.
    order = []
    for name in ("fdatasync", "replace", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, _real=real, _name=name: (order.append(_name), _real(*a))[1]
        )

    put(store, tmp_path, TEXT)

    assert order[0] == "fdatasync" and order[-1] == "fsync"
    assert order.index("fdatasync") < order.index("replace") < len(order) - 1


def test_a_batch_that_is_not_committed_leaves_nothing(store, tmp_path):
    with store.batch() as batch, bytes_in(tmp_path / "in", TEXT) as fd:
        batch.add(fd)
        assert staged(store)

    assert not staged(store) and not blobs(store)


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[: len(blob) // 2],
        lambda blob: blob[:-1],
        lambda blob: b"",
        lambda blob: blob + b"more",
        lambda blob: bytes([blob[0] ^ 1]) + blob[1:],
        lambda blob: blob[:-20] + bytes([blob[-20] ^ 0x40]) + blob[-19:],
    ],
    ids=["half", "one byte short", "empty", "longer", "first bit", "late bit"],
)
@pytest.mark.parametrize("data", [TEXT, NOISE, LARGE_TEXT, LARGE_NOISE])
def test_a_damaged_blob_is_found_on_read_and_repaired_by_the_next_put(
    store, tmp_path, data, damage
):
    digest = put(store, tmp_path, data)
    (blob,) = blobs(store)
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(damage(whole))

    with pytest.raises(BlobCorrupt):
        get(store, tmp_path, digest)

    assert put(store, tmp_path, data) == digest
    assert get(store, tmp_path, digest) == data


def test_a_missing_blob_says_so(store, tmp_path):
    with pytest.raises(BlobMissing, match="00000000"):
        get(store, tmp_path, bytes(32))


def test_a_large_file_that_changes_while_it_is_copied_is_not_stored(store, tmp_path, monkeypatch):
    path = tmp_path / "in"
    real = cas._digest_of

    def digest_then_change(fd: int) -> bytes:
        digest = real(fd)
        with open(path, "r+b") as file:
            file.write(b"changed")
        return digest

    monkeypatch.setattr(cas, "_digest_of", digest_then_change)

    with pytest.raises(FileChanged), bytes_in(path, LARGE_TEXT) as fd:
        store.put(fd)

    assert not staged(store) and not blobs(store)


def test_a_large_file_needs_little_memory(store, tmp_path):
    # Method: a child with room for a few chunks, not for the file, stores it and reads it back.
    path = tmp_path / "in"
    with open(path, "wb") as file:
        for number in range(48):
            file.write(os.urandom(CHUNK_BYTES) if number % 2 else bytes(CHUNK_BYTES))
    code = (
        "import os,resource,sys; from pathlib import Path; from velo.shards.cas import Store\n"
        "base=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "s=Store(Path(sys.argv[1])); d=s.put(os.open(sys.argv[2],os.O_RDONLY))\n"
        "s.read_into(d, os.open('/dev/null',os.O_WRONLY)); s.close()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-base)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.directory), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < 16 * 1024  # KiB


def test_two_racing_writers_are_both_right(store, tmp_path):
    datas = [TEXT + b"%d" % number for number in range(30)] + [LARGE_TEXT]
    for number, data in enumerate(datas):
        (tmp_path / f"in{number}").write_bytes(data)
    code = (
        "import os,sys; from pathlib import Path; from velo.shards.cas import Store\n"
        "s=Store(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.read()\n"
        "[s.put(os.open(path, os.O_RDONLY)) for path in sys.argv[2:]]\n"
        "s.close()\n"
    )
    inputs = [tmp_path / f"in{number}" for number in range(len(datas))]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, store.directory, *inputs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.close()

    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert [get(store, tmp_path, hashlib.sha256(data).digest()) for data in datas] == datas
    assert len(blobs(store)) == len(datas) and not staged(store)
    for writer in writers:
        writer.stdout.close()


KILLED_AT = ("write", "close", "fdatasync", "replace", "fsync")


@pytest.mark.parametrize("step", KILLED_AT)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("data", [TEXT, LARGE_NOISE], ids=["small", "large"])
def test_a_writer_killed_at_any_step_leaves_a_whole_blob_or_none(
    store, tmp_path, step, before, data
):
    # Goal: C1, C3. Method: a child replaces one os function by one that kills it, stores, dies.
    code = (
        "import os,signal,sys; from pathlib import Path; from velo.shards.cas import Store\n"
        "s=Store(Path(sys.argv[1])); fd=os.open(sys.argv[2],os.O_RDONLY); name=sys.argv[3]\n"
        "real=getattr(os,name)\n"
        "def die(*a):\n"
        "    if sys.argv[4]=='after': real(*a)\n"
        "    os.kill(os.getpid(),signal.SIGKILL)\n"
        "setattr(os,name,die); s.put(fd)\n"
    )
    (tmp_path / "in").write_bytes(data)
    when = "before" if before else "after"
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.directory), str(tmp_path / "in"), step, when]
    )
    assert done.returncode == -signal.SIGKILL

    for blob in blobs(store):
        assert get(store, tmp_path, bytes.fromhex(blob.parent.name + blob.stem)) == data
    assert store.sweep() == 1
    assert not staged(store)
    assert get(store, tmp_path, put(store, tmp_path, data)) == data


def test_sweep_leaves_living_writers_alone(store, tmp_path):
    other = Store(store.directory)
    with other.batch() as batch, bytes_in(tmp_path / "in", TEXT) as fd:
        batch.add(fd)

        assert store.sweep() == 0

        batch.commit()
    other.close()
    assert len(blobs(store)) == 1


@contextmanager
def files_at_most(limit: int) -> Iterator[None]:
    """The disk refuses to let a file grow beyond `limit` bytes, as a full one or a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("data", [NOISE, LARGE_NOISE, LARGE_TEXT])
def test_a_full_disk_is_a_store_full_with_numbers_and_leaves_no_rubbish(store, tmp_path, data):
    with bytes_in(tmp_path / "in", data) as fd, files_at_most(1000):
        with pytest.raises(StoreFull, match=rf"wanted {len(data)} bytes, \d+ free"):
            store.put(fd)

    assert not staged(store) and not blobs(store)
    assert get(store, tmp_path, put(store, tmp_path, data)) == data


def test_a_disk_that_fills_up_in_a_batch_keeps_what_was_committed_before(
    store, tmp_path, monkeypatch
):
    first = put(store, tmp_path, TEXT)
    real = os.fdatasync

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(StoreFull):
        put(store, tmp_path, NOISE)
    monkeypatch.setattr(os, "fdatasync", real)

    assert get(store, tmp_path, first) == TEXT
    assert get(store, tmp_path, put(store, tmp_path, NOISE)) == NOISE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a tmpfs")
def test_a_really_full_file_system_refuses_and_recovers(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", mount])
    if done.returncode:
        pytest.skip("may not mount here")
    try:
        store = Store(mount / "cas")
        with pytest.raises(StoreFull, match="free"):
            put(store, tmp_path, LARGE_NOISE)
        assert get(store, tmp_path, put(store, tmp_path, NOISE)) == NOISE
        store.close()
    finally:
        subprocess.run(["umount", mount], check=True)


OPENS_AND_SWEEPS = """
import sys
from pathlib import Path
from velo.shards.cas import Store
for _ in range(300):
    store = Store(Path(sys.argv[1]))
    store.sweep()
    store.close()
"""


def test_stores_opened_and_swept_at_once_do_not_hinder_each_other(tmp_path):
    # Goal: shards start together, and each looks for what the dead left while others just begin.
    command = [sys.executable, "-c", OPENS_AND_SWEEPS, str(tmp_path / "cas")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]

    said = [process.communicate(timeout=300)[1] for process in running]

    assert said == [""] * 4


def test_a_store_that_cannot_be_made_says_where_and_why(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnusable, match="file/cas"):
        Store(tmp_path / "file" / "cas")
