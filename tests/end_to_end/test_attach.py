"""Programs that cannot see the arena, or see it as somebody else: never an empty directory.

In: processes without address space, without their privileges, with a library that was built anew.
Out: what each sees and leaves is what it would natively.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import Velo, run_native, tool
from velo.interpose import launch

STARVED_KIB = 30_000  # enough for cat and its libraries, not for the map of an arena


def test_a_program_without_address_space_sees_and_leaves_the_real_tree(
    velo: Velo, workspace
) -> None:
    place = workspace()
    (place / "build").mkdir()
    starve = f"ulimit -v {STARVED_KIB}"
    script = f"""
        echo one > build/first
        ({starve}; cat build/first; echo two > build/second; rm build/first)
        ls build; cat build/second; echo three > build/second
        ({starve}; exec cat build/second)
    """
    expected = run_native("sh", "-c", script, cwd=place).stdout
    shutil.rmtree(place / "build")
    (place / "build").mkdir()

    hosted = velo.exec("sh", "-c", script, cwd=place)

    assert hosted.stderr == ""
    assert hosted.stdout == expected
    assert (place / "build/second").read_text() == "three\n"
    status = velo.run("status", "--json", cwd=place).stdout
    assert '"attach": 0' not in status, "nobody was starved: the test says nothing"


def test_programs_load_a_copy_that_a_rebuild_does_not_change(velo: Velo, workspace) -> None:
    place = workspace()

    maps = velo.exec(tool("cat"), "/proc/self/maps", cwd=place).stdout

    assert str(velo.memory() / launch.INSTALLED) in maps
    assert launch.library_path() not in maps


def test_a_library_that_is_being_built_anew_is_not_missed(tmp_path: Path, monkeypatch) -> None:
    launch.install(str(tmp_path), str(tmp_path / "elsewhere"))
    built = Path(launch.library_path()).read_bytes()

    def missing() -> str:
        raise launch.LibraryMissing("half installed")

    monkeypatch.setattr(launch, "library_path", missing)
    library = launch.environment(str(tmp_path), {})[launch.PRELOAD]

    assert library.startswith(str(tmp_path))
    assert Path(library).read_bytes() == built
    assert os.access(library, os.X_OK)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A workspace that every user may enter; what pytest makes is for its own user alone."""
    with tempfile.TemporaryDirectory(prefix="velo-test-") as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "velo.toml").write_text('[live]\nmax_memory = "256MB"\n')
        yield place


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("how", ["setuid", "seteuid", "exec"])
def test_a_program_that_drops_its_privileges_goes_on_seeing_its_files(
    reachable: Path, velo: Velo, how: str
) -> None:
    place = reachable

    def fill() -> None:
        shutil.rmtree(place / "build", ignore_errors=True)
        (place / "build").mkdir()
        (place / "build").chmod(0o777)
        (place / "build/on-disk").write_text("disk\n")

    (place / "drop.py").write_text(DROP)
    command = [tool("python3"), "-I", "-S", str(place / "drop.py"), how]
    fill()
    expected = run_native(*command, cwd=place).stdout
    native = sorted((path.name, path.stat().st_uid) for path in (place / "build").iterdir())
    fill()

    hosted = velo.exec(*command, cwd=place)

    assert hosted.stderr == ""
    assert hosted.stdout == expected
    left = sorted((path.name, path.stat().st_uid) for path in (place / "build").iterdir())
    assert left == native


DROP = r"""
import os, stat, sys

def tell(what, call, *arguments):
    try:
        print(what, call(*arguments))
    except OSError as error:
        print(what, error.strerror)

def read(path):
    with open(path) as file:
        return file.read()

def write(path, mode="w"):
    with open(path, mode) as file:
        return file.write(path)

def look(path):
    found = os.stat(path)
    return oct(found.st_mode), found.st_uid, found.st_size, found.st_nlink

STRANGER = '''
exec 2>&1; cd build
for f in mine shared secret closed/file on-disk none; do cat $f; echo more >> $f; done
echo new > new; cat new; mv new newer; ln newer link; rm link mine; rm -f mine
mkdir directory; echo below > directory/file; ls -lnR . | sed 's/ [A-Z][a-z][a-z] .*:.. / /'
'''

os.umask(0o022)
how = sys.argv[1]
write("build/mine")
write("build/shared")
os.chmod("build/shared", 0o666)
write("build/secret")
os.chmod("build/secret", 0o600)
os.mkdir("build/closed", 0o700)
write("build/closed/file")
if how == "seteuid":
    os.setegid(12345)
    os.seteuid(12345)
else:
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
if how == "exec":
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", "-c", STRANGER])
for name in ("mine", "shared", "secret", "closed/file", "on-disk", "none"):
    path = "build/" + name
    tell("stat " + name, look, path)
    tell("read " + name, read, path)
    tell("append " + name, write, path, "a")
    tell("chmod " + name, os.chmod, path, 0o640)
    tell("access " + name, os.access, path, os.R_OK)
tell("create", write, "build/new")
tell("stat new", look, "build/new")
tell("read new", read, "build/new")
tell("rewrite", write, "build/new")
tell("link", os.link, "build/new", "build/link")
tell("rename", os.rename, "build/new", "build/newer")
tell("truncate", os.truncate, "build/newer", 3)
tell("read newer", read, "build/newer")
tell("unlink link", os.unlink, "build/link")
tell("unlink mine", os.unlink, "build/mine")
tell("mkdir", os.mkdir, "build/directory")
tell("create below", write, "build/directory/file")
tell("list", lambda: sorted(os.listdir("build")))
tell("list closed", os.listdir, "build/closed")
"""
