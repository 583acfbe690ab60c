"""The cap on the store, from the command line: by itself when a server ends, and by `velo gc`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from support.harness import Velo, sentence
from velo.shards import collector, depot

WRITE = (
    "mkdir -p build; for i in $(seq 20); do head -c 65536 /dev/urandom > build/$i; done;"
    " cp build/1 c"
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def blobs_in(cache: Path) -> list[Path]:
    return [path for path in (cache / "cas/sha256").rglob("*") if path.is_file()]


def grow_old(cache: Path) -> None:
    """Nobody used anything for long."""
    for path in blobs_in(cache):
        os.utime(path, (1e9, 1e9))


def filled(velo: Velo, place: Path, env: dict[str, str]) -> None:
    velo.exec("sh", "-c", WRITE, cwd=place, env=env)
    velo.run("sync", cwd=place, env=env)


def test_gc_brings_the_store_down_to_what_was_asked_for(velo: Velo, workspace, cache) -> None:
    place, env = workspace(), {"VELO_CACHE_DIR": str(cache)}
    filled(velo, place, env)
    grow_old(cache)
    before = len(blobs_in(cache))

    said = velo.run("gc", "--max-size", "256KiB", "--dry-run", cwd=place, env=env).stdout
    kept = len(blobs_in(cache))
    done = velo.run("gc", "--max-size", "256KiB", cwd=place, env=env).stdout

    assert before == kept == 20 and "would remove 16 of 20 blobs" in said
    assert len(blobs_in(cache)) == 4 and "removed 16 of 20 blobs" in done
    assert (place / "build/1").read_bytes() == (place / "c").read_bytes()


def test_gc_keeps_what_was_just_stored_and_says_so(velo: Velo, workspace, cache) -> None:
    place, env = workspace(), {"VELO_CACHE_DIR": str(cache)}
    filled(velo, place, env)

    done = velo.run("gc", "--max-size", "0", cwd=place, env=env).stdout

    assert len(blobs_in(cache)) == 20 and "used just now" in done


def test_gc_without_a_store_does_nothing_and_in_anothers_directory_refuses(
    velo: Velo, workspace, tmp_path
) -> None:
    place = workspace()
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/thesis").write_text("his")

    none = velo.run("gc", cwd=place, env={"VELO_CAS_DIR": str(tmp_path / "none")})
    depot.prepare(tmp_path / "new")
    velo.run("gc", cwd=place, env={"VELO_CAS_DIR": str(tmp_path / "new")})
    his = {"VELO_CAS_DIR": str(tmp_path / "documents")}
    refused = velo.run("gc", "--max-size", "0", cwd=place, env=his, check=False)

    assert "no store" in none.stdout and not (tmp_path / "none").exists()
    assert refused.returncode == 1 and "not a store" in refused.stderr
    assert [path.name for path in (tmp_path / "documents").iterdir()] == ["thesis"]


def test_gc_names_a_store_that_cannot_be_used(velo: Velo, workspace, tmp_path) -> None:
    place, store = workspace(), tmp_path / "file"
    store.touch()

    refused = velo.run("gc", cwd=place, env={"VELO_CAS_DIR": str(store)}, check=False)

    assert refused.returncode == 1
    assert sentence(refused).startswith(f"velo: store unusable: {store}: File exists; ")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("whose", ["the store", "the cache"])
def test_a_store_of_another_user_is_not_used_unless_it_is_named(
    velo: Velo, workspace, cache, whose
) -> None:
    # Goal: what replay would take from there is that user's, and so is where links in it lead.
    place, env = workspace(), {"VELO_CACHE_DIR": str(cache)}
    store = cache / "cas"
    depot.prepare(store)
    foreign = store if whose == "the store" else cache
    os.chown(foreign, 12345, 12345)
    before = sorted(cache.rglob("*"))

    done = velo.exec("sh", "-c", WRITE, cwd=place, env=env)
    doctor = velo.run("doctor", cwd=place, env=env, check=False)
    refused = velo.run("gc", cwd=place, env=env, check=False)

    words = f"not trusted: {foreign}: it belongs to uid 12345"
    assert words in done.stderr and "sh runs natively" in done.stderr
    assert words in doctor.stdout and doctor.returncode == 1
    assert words in sentence(refused)
    assert sorted(cache.rglob("*")) == before
    for trusted in ({"VELO_TRUST": str(foreign)}, {"SUDO_UID": "12345"}):
        assert velo.exec("sh", "-c", WRITE, cwd=place, env=env | trusted).stderr == ""
        velo.run("stop", cwd=place, env=env | trusted)
    assert blobs_in(cache)


def test_a_server_that_ends_brings_the_store_below_its_cap(velo: Velo, workspace, cache) -> None:
    place = workspace()
    env = {"VELO_CACHE_DIR": str(cache), "VELO_STORE_MAX_SIZE": "512KiB"}
    filled(velo, place, env)
    grow_old(cache)

    velo.run("stop", cwd=place, env=env)
    after_one = len(blobs_in(cache))
    (place / "build/1").unlink()
    filled(velo, place, env)
    grow_old(cache)
    velo.run("stop", cwd=place, env=env)

    assert after_one == 7  # nine tenths of 512 KiB
    assert len(blobs_in(cache)) > 7  # the second one, within ten minutes, did not look
    assert (cache / "cas" / depot.COLLECTED).exists()


def test_four_workspaces_on_one_store_with_a_collector_beside_them(
    velo: Velo, workspace, cache
) -> None:
    # Goal: flush, sync, evict and collect at once, without grace; every tree is whole and nobody is
    # refused anything.
    env = {"VELO_CACHE_DIR": str(cache)}
    places = [workspace(f"w{i}") for i in range(4)]
    for place in places:
        velo.exec("true", cwd=place, env=env)
    ended = threading.Event()
    removed: list[int] = []
    trouble: list[BaseException] = []

    def collect() -> None:
        while not ended.is_set():
            try:
                found = collector.collect(cache / "cas", max_bytes=0, grace_s=-1e9)
            except BaseException as error:
                trouble.append(error)
                return
            removed.append(found.removed)

    def build(place: Path, number: int) -> None:
        try:
            for turn in range(3):
                text = f"for i in $(seq 40); do echo {number % 2} {turn} $i > build/$i; done"
                velo.exec("sh", "-c", f"mkdir -p build; {text}", cwd=place, env=env)
                velo.run("unload" if turn == 1 else "sync", cwd=place, env=env)
        except BaseException as error:
            trouble.append(error)

    threads = [threading.Thread(target=build, args=(p, i)) for i, p in enumerate(places)]
    beside = threading.Thread(target=collect)
    for thread in (beside, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    beside.join()

    assert trouble == [] and sum(removed) > 0
    for number, place in enumerate(places):
        texts = [(place / f"build/{i}").read_text() for i in range(1, 41)]
        assert texts == [f"{number % 2} 2 {i}\n" for i in range(1, 41)]
        velo.run("stop", cwd=place, env=env)
