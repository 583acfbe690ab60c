"""System calls made without libc reach the same files: programs of raw/ natively and hosted.

In: raw/*.c, compiled outside; a server with the gap detector, so that a call that slips past velo
fails instead of reading something old. Out: the same lines, exit status and tree; who is watched
and who is not. Never: a word about speed.
"""

from __future__ import annotations

import difflib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from support.snapshot import Snapshot

HERE = Path(__file__).parent / "raw"
TIMEOUT_S = 300
PROGRAMS = ("calls", "threads", "signals", "processes", "filtered")

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="raw/ speaks x86-64; Linux hands over no calls elsewhere"
)


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., Path]:
    """A program of raw/: `compiled("calls")`."""

    def compile_one(name: str, *flags: str) -> Path:
        program = tmp_path / name
        strict = ("-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-Wno-unused-result")
        command = [tool("gcc"), *strict, *flags, "-o", program, HERE / f"{name}.c", "-lpthread"]
        subprocess.run(command, check=True)
        return program

    return compile_one


@pytest.fixture
def place(workspace) -> Path:
    made = workspace()
    (made / "build").mkdir()
    return made


def both(velo: Velo, place: Path, *command: str | Path, poison: bool = True) -> dict[str, dict]:
    """The command in `build/`, natively and hosted, must not differ; what status says then."""
    inside = ["sh", "-c", 'cd build && "$@"', "sh", *map(str, command)]
    native = run_native(*inside, cwd=place, timeout_s=TIMEOUT_S, check=False)
    expected = Snapshot.of(place / "build")
    shutil.rmtree(place / "build")
    (place / "build").mkdir()
    if poison:
        velo.poison(cwd=place)
    hosted = velo.exec(*inside, cwd=place, timeout_s=TIMEOUT_S, check=False)
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    difference = difflib.unified_diff(lines(native), lines(hosted), "native", "hosted", lineterm="")
    assert not (text := "\n".join(difference)), text
    assert native.returncode == 0, lines(native)
    velo.stop(cwd=place)
    assert Snapshot.of(place / "build").differences(expected) == []
    return {**status["processes"], "escapes": status["escapes"]}


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [*(result.stdout + result.stderr).splitlines(), f"exit status {result.returncode}"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_raw_call_finds_what_libc_finds(
    velo: Velo, place: Path, compiled: Callable[..., Path], name: str
) -> None:
    status = both(velo, place, compiled(name))

    assert name in status["raw"]
    assert status["escapes"]["syscall"] > 0
    assert not status["opaque"]


@pytest.mark.parametrize("name", ["calls", "threads"])
def test_small_stacks_are_enough(
    velo: Velo, place: Path, compiled: Callable[..., Path], name: str
) -> None:
    limited = ("sh", "-c", 'ulimit -s 96; ulimit -n 64; exec "$0"', compiled(name))

    assert name in both(velo, place, *limited)["raw"]


def test_a_library_is_looked_at_before_it_is_loaded(
    velo: Velo, place: Path, compiled: Callable[..., Path]
) -> None:
    library = compiled("library", "-shared", "-fPIC")

    status = both(velo, place, compiled("loads"), library)

    assert status["raw"]["loads"]["count"] == 1


def test_without_the_kernels_help_such_a_program_is_opaque(
    velo: Velo, place: Path, compiled: Callable[..., Path]
) -> None:
    status = both(velo, place, compiled("without"), compiled("calls"), poison=False)

    assert "calls" in status["opaque"]
    assert not status["raw"]


def test_doctor_names_a_kernel_without_that_help(
    velo: Velo, place: Path, compiled: Callable[..., Path]
) -> None:
    with_it = velo.run("doctor", cwd=place).stdout
    command = [compiled("without"), shutil.which(velo.executable), "doctor"]

    without = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout

    assert "hands over no system calls" in without.splitlines()[0]
    assert "hands over" not in with_it


def test_rings_are_not_to_be_had(velo: Velo, place: Path, compiled: Callable[..., Path]) -> None:
    shown = velo.exec(str(compiled("rings")), cwd=place).stdout

    assert shown.splitlines() == ["raw -38", "syscall -1, errno 38", "enter -38", "register -38"]


def test_nobody_else_pays(velo: Velo, place: Path, compiled: Callable[..., Path]) -> None:
    def trace(*command: str) -> str:
        to = place / "trace"
        velo.exec(tool("strace"), "-f", "-o", str(to), *command, cwd=place)
        return to.read_text()

    plain = trace("sh", "-c", "echo x > build/x; cat build/x; git --version")

    for word in ("USER_DISPATCH", "prctl(0x3b", "SIGSYS"):
        assert word not in plain
    assert "SIGSYS" in trace(str(compiled("rings")))


def test_cargo_and_rustc_build_in_memory(velo: Velo, workspace, monkeypatch) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("no cargo on this machine")
    place = workspace(toml='[live]\naggressive_paths = ["target/"]\n')
    own_home = os.path.expanduser("~" + (os.environ.get("USER") or "root"))
    monkeypatch.setenv("HOME", own_home)  # rustup's toolchains are there
    run_native(cargo, "init", "-q", "--vcs", "none", "--name", "small", cwd=place)
    build = (cargo, "build", "-q", "--offline")
    run_native(*build, cwd=place, timeout_s=TIMEOUT_S)
    shutil.rmtree(place / "target")
    velo.poison(cwd=place)

    velo.exec(*build, cwd=place)
    velo.exec(cargo, "test", "-q", "--offline", cwd=place)
    status = json.loads(velo.run("status", "--json", cwd=place).stdout)
    velo.stop(cwd=place)

    assert {"cargo", "rustc"} <= status["processes"]["raw"].keys()
    assert not status["processes"]["opaque"]
    run_native("target/debug/small", cwd=place)
    again = run_native(cargo, "build", "-v", "--offline", cwd=place)
    assert "Fresh small" in again.stderr and "Compiling" not in again.stderr
