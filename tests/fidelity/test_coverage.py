"""Every door of libc that leads to a file is watched, or left open on purpose.

In: coverage.toml (the reviewed reasons), calls.def (what libvelo.so stands in front of), and what
this machine really has: its libc, its build tools and the libraries they load. Out: one failure per
name that nobody has looked at. Never: a name taken for granted because no tool uses it today.
"""

from __future__ import annotations

import ctypes
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from support.harness import exports, tool
from velo.interpose import launch

HERE = Path(__file__).parent

# What a build runs. Compilers and linkers must be there; of the others, what the machine has.
NEEDED_TOOLS = "gcc cc1 collect2 as ld ar make dash bash python3 git tar cp"
TOOLS = f"""{NEEDED_TOOLS} g++ cc1plus lto1 lto-wrapper clang ld.bfd ld.gold ld.lld mold ranlib
    strip objcopy objdump nm cmake ninja meson m4 autoconf perl ccache cargo rustc node npm go
    java javac jar busybox mv rm ln ls cat install mkdir mktemp touch truncate dd sort split
    head tail tee wc cut env chmod chown stat readlink realpath sha256sum cmp diff patch sed
    grep awk gawk mawk find xargs rsync zip unzip gzip xz zstd bzip2 cpio file strace gdb
    sqlite3 curl ssh pkg-config flex bison less script timeout setsid flock tclsh ruby lua php"""
LIBRARIES = """libstdc++ libgcc_s libpython3* libuv libnode libbfd* libopcodes* libctf* libsframe*
    libLLVM* libclang* librustc_driver* libstd-* libarchive libsqlite3 libperl libz libzstd liblzma
    libbz2 libcurl libgit2 libssl libcrypto libgio-2* libglib-2* libselinux libacl libattr libmagic
    libtinfo libreadline libjemalloc libtbb* libasan libtsan libubsan liblsan"""
VARIANTS = ("{}64", "__{}", "__{}64", "__{}_chk", "{}_chk", "__{}_2", "__{}64_2", "{}at", "__x{}")
VARIANTS += ("__l{}", "__f{}", "{}_np", "_{}", "__libc_{}", "{}_unlocked")


def defined(path: str | Path) -> dict[str, set[str]]:
    """The functions that a library exports, each with its versions; the default one as "@@..."."""
    lines = subprocess.run(
        [tool("nm"), "-D", "--defined-only", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found: dict[str, set[str]] = defaultdict(set)
    for _, kind, name in (line.split() for line in lines):
        if kind in "TWi":
            plain, _, version = name.partition("@")
            found[plain].add("@" + version)
    return found


def wanted(path: str | Path) -> set[str]:
    shown = subprocess.run(
        [tool("nm"), "-D", "--undefined-only", path], capture_output=True, text=True, check=False
    ).stdout
    return {line.split()[-1].partition("@")[0] for line in shown.splitlines() if line.strip()}


@cache
def libc() -> dict[str, set[str]]:
    """What programs can reach of libc: GLIBC_PRIVATE is for libc's own libraries."""
    maps = Path("/proc/self/maps").read_text()
    path = re.search(r"\S+/libc\.so\.6$|\S+/libc-2[^/]*\.so$", maps, re.M)
    assert path, "this python has no glibc"
    found = defined(path[0])
    return {
        name: versions
        for name, versions in found.items()
        if any("PRIVATE" not in version for version in versions)
    }


@cache
def covered() -> frozenset[str]:
    return frozenset(exports())


class Table:
    def __init__(self) -> None:
        table = tomllib.loads((HERE / "coverage.toml").read_text())
        self.skipped = {
            name: reason for reason, names in table["skipped"].items() for name in names.split()
        }
        self.listed = [name for names in table["skipped"].values() for name in names.split()]
        patterns = [each for names in table["elsewhere"].values() for each in names.split()]
        self.elsewhere = re.compile("|".join(fnmatch.translate(each) for each in patterns))

    def classes(self, name: str) -> list[str]:
        return [
            label
            for label, holds in (
                ("covered", name in covered()),
                ("skipped", name in self.skipped),
                (
                    "elsewhere",
                    name not in covered() and self.elsewhere.match(name) is not None,
                ),
            )
            if holds
        ]


@cache
def table() -> Table:
    return Table()


def found_tools() -> dict[str, str]:
    found = {}
    for name in TOOLS.split():
        path = shutil.which(name)
        if path is None and shutil.which("gcc"):
            shown = subprocess.run(
                ["gcc", f"-print-prog-name={name}"], capture_output=True, text=True, check=False
            ).stdout.strip()
            path = shown if os.path.isabs(shown) and os.path.exists(shown) else None
        if path is not None:
            found[name] = os.path.realpath(path)
    found["this python"] = os.path.realpath(sys.executable)
    return found


def found_libraries() -> dict[str, str]:
    folders = ["/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/usr/lib/llvm*/lib", "/usr/local/lib"]
    folders += ["/usr/lib/gcc/*/*", os.path.join(sys.base_prefix, "lib")]
    folders += [os.path.expanduser("~/.rustup/toolchains/*/lib")]
    found = {}
    for name in LIBRARIES.split():
        for folder in folders:
            for path in glob.glob(f"{folder}/{name}.so*") + glob.glob(f"{folder}/{name}-*.so"):
                found[os.path.basename(path)] = os.path.realpath(path)
    return found


def test_every_function_of_libc_is_covered_skipped_or_elsewhere_and_only_one() -> None:
    classes = {name: table().classes(name) for name in libc()}

    unknown = sorted(name for name, found in classes.items() if not found)
    torn = {name: found for name, found in classes.items() if len(found) > 1}

    assert len(libc()) > 1500, "this is no whole libc"
    assert not unknown, f"nobody has looked at {unknown}: see coverage.toml"
    assert not torn, f"in two classes: {torn}"


def test_a_name_is_listed_once() -> None:
    listed = table().listed

    assert len(listed) == len(set(listed)), {n for n in listed if listed.count(n) > 1}


def test_every_variant_of_a_covered_function_was_checked_for_itself() -> None:
    # A pattern of `elsewhere` must not swallow the other spellings of what we cover.
    variants = {
        variant.format(name): name
        for name in covered()
        for variant in VARIANTS
        if variant.format(name) in libc()
    }

    swallowed = {
        variant: name
        for variant, name in variants.items()
        if "elsewhere" in table().classes(variant)
    }

    assert variants["fstatat"] == "fstat" and variants["__readlink_chk"] == "readlink"
    assert not swallowed, f"twins of covered functions, by pattern only: {swallowed}"


@pytest.mark.parametrize("found", [found_tools, found_libraries], ids=["tools", "libraries"])
def test_what_tools_import_of_libc_is_covered_or_skipped(found) -> None:
    programs = found()
    if found is found_tools:
        missing = [name for name in NEEDED_TOOLS.split() if name not in programs]
        assert not missing, f"a machine that builds has {missing}"

    unknown: dict[str, list[str]] = {}
    imports = 0
    for path in set(programs.values()):
        names = wanted(path) & libc().keys()
        imports += len(names)
        nobody = sorted(name for name in names if not table().classes(name))
        if nobody:
            unknown[path] = nobody

    assert imports > 300, "nm reads nothing"
    assert not unknown, f"imported, and nobody has looked: {unknown}"


def test_the_library_stands_in_front_of_libc_only() -> None:
    # Names of a newer libc than this one's, which programs here cannot import.
    newer = {"pidfd_spawn", "pidfd_spawnp"}

    strangers = covered() - libc().keys() - newer

    assert not strangers, f"no function of this libc: {strangers}"
    assert set(defined(launch.library_path())) == covered()


def test_of_two_versions_the_next_function_is_the_default_one() -> None:
    # velo_next asks dlsym without a version; for realpath, glob, nftw, posix_spawn and others libc
    # has an old twin that behaves differently.
    handle = ctypes.CDLL(None)
    for function in (handle.dlsym, handle.dlvsym):
        function.restype = ctypes.c_void_p
    handle.dlsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    handle.dlvsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    double = {name for name in covered() & libc().keys() if len(libc()[name]) > 1}
    assert "realpath" in double and "posix_spawn" in double

    for name in double:
        default = next(v for v in libc()[name] if v.startswith("@@"))
        reached = handle.dlsym(handle._handle, name.encode())
        right = handle.dlvsym(handle._handle, name.encode(), default.lstrip("@").encode())
        assert reached == right, f"{name}: not {default}"
