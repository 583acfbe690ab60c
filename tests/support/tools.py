"""The tools of the matrix: where they come from, which version this machine has.

In: a name. Out: the version as the tool tells it, or "missing, package ...". Never: a guess.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

TIMEOUT_S = 120
# Tool -> Debian package. A name with a slash or ".so" is a file that the package brings.
TOOLS = {
    "ar": "binutils",
    "autoconf": "autoconf",
    "automake": "automake",
    "bash": "bash",
    "busybox": "busybox-static",
    "cargo": "cargo",
    "ccache": "ccache",
    "clang": "clang",
    "clang++": "clang",
    "cmake": "cmake",
    "cp": "coreutils",
    "dpkg-source": "dpkg-dev",
    "eatmydata": "eatmydata",
    "fakeroot": "fakeroot",
    "find": "findutils",
    "g++": "g++",
    "gcc": "gcc",
    "gdb": "gdb",
    "git": "git",
    "go": "golang-go",
    "install": "coreutils",
    "jar": "default-jdk-headless",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "ld.bfd": "binutils",
    "ld.gold": "binutils",
    "ld.lld": "lld",
    "libtoolize": "libtool",
    "llvm-ar": "llvm",
    "make": "make",
    "meson": "meson",
    "mold": "mold",
    "msgfmt": "gettext",
    "mv": "coreutils",
    "nasm": "nasm",
    "ninja": "ninja-build",
    "node": "nodejs",
    "npm": "npm",
    "perl": "perl",
    "python3": "python3",
    "rm": "coreutils",
    "rsync": "rsync",
    "rustc": "rustc",
    "script": "bsdutils",
    "sed": "sed",
    "setsid": "util-linux",
    "sqlite3": "sqlite3",
    "strace": "strace",
    "tail": "coreutils",
    "tar": "tar",
    "timeout": "coreutils",
    "unzip": "unzip",
    "zip": "zip",
}
# Files, found where the compiler finds libraries; their version is the package's.
FILES = {
    "libjemalloc.so.2": "libjemalloc2",
    "libasan.so": "libgcc-12-dev",
}
# How to ask, where it is not `--version`.
ASKED = {"busybox": ("--help",), "go": ("version",), "strace": ("-V",), "unzip": ("-v",)}
# Those that cannot be asked; their version is the package's.
SILENT = {"eatmydata"}


@functools.cache
def version_of(name: str) -> str:
    """The first line that `name` says about its version, or "missing, package ..."."""
    if name in FILES:
        return _version_of_file(name)
    found = shutil.which(name)
    if not found:
        return f"missing, package {TOOLS[name]}"
    if name in SILENT:
        return _version_of_package(TOOLS[name])
    return _first_line(found, *ASKED.get(name, ("--version",)))


def _version_of_file(name: str) -> str:
    path = _first_line("gcc", f"-print-file-name={name}")
    if path == name:
        return f"missing, package {FILES[name]}"
    owner = _first_line("dpkg-query", "-S", os.path.realpath(path)).partition(":")[0] or FILES[name]
    return _version_of_package(owner)


def _version_of_package(name: str) -> str:
    return _first_line("dpkg-query", "-W", "-f=${Version}", name)


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    lines = (done.stdout or done.stderr).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")
