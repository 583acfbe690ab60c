"""The matrix, odd company: programs that trace, wrap, limit, preload, filter or outlive others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from support.harness import run_native, wait_for
from support.matrix import Bench, Row, versions_or_skip

pytestmark = pytest.mark.matrix

FILES = Path(__file__).with_name("files.c")
MAKEFILE = r"""
O = build
CC = gcc
CFLAGS = -O1 -g
all: $O/report
$O:
	mkdir $O
$O/files: files.c | $O
	$(CC) $(CFLAGS) -MMD -c -o $O/files.o $<
	$(CC) $(CFLAGS) -o $@ $O/files.o -pthread
$O/lib.a: $O/files
	for i in 1 2 3 4; do cp $O/files.o $O/part$$i.o || exit; done
	$(AR) rcs $@ $O/part*.o && rm $O/part[12].o
	mkdir -p $O/deep/er && mv $O/part3.o $O/deep/er/ && ln -s deep/er/part3.o $O/soft
	ln $O/deep/er/part3.o $O/hard && chmod 600 $O/hard && touch -d @1000000000 $O/part4.o
$O/report: $O/lib.a
	rm -rf $O/work && $O/files $O/work $(HOW) > $@.new && mv $@.new $@
	find $O -type f | sort >> $@ && cat $@
"""
IDLE = {"idle": "make", "idle_says": "Nothing to be done"}


def small(place: Path) -> None:
    shutil.copy(FILES, place / "files.c")
    (place / "Makefile").write_text(MAKEFILE)


def odd(name: str, line: str, *tools: str, **more) -> Row:
    """The small project, built by `line`."""
    return Row(
        name=name, tools=("make", "gcc", "ar", *tools), prepare=small, steps=(line,), **IDLE, **more
    )


ROWS = [
    odd("env -i", "env -i PATH=$PATH make"),
    odd("env -u LD_PRELOAD", "env -u LD_PRELOAD -u VELO_ARENA make"),
    odd("setsid", "setsid --wait make", "setsid"),
    odd("timeout", "timeout 100 make", "timeout"),
    odd(
        "script",
        "script -q -e -c make build.log < /dev/null | tr -d '\\r' && rm build.log",
        "script",
    ),
    odd("strace", "strace -f -o /dev/null make", "strace"),
    odd(
        "strace with its log inside",
        "mkdir build && strace -f -e trace=execve -o build/log make",
        "strace",
        volatile={"build/log": "process ids"},
    ),
    odd(
        "gdb",
        "make && rm -rf build/work && gdb -nx -batch -ex 'break by_name' -ex 'run build/work'"
        " -ex backtrace -ex 'shell ls build/work' -ex 'print (int)access(\"plain\", 0)'"
        " -ex continue build/files",
        "gdb",
        scrubbed={r"process \d+": "process", r"0x[0-9a-f]+": "0x", r"Inferior .*": ""},
    ),
    odd(
        "fakeroot",
        "fakeroot sh -c 'make && chown -R 1234:4321 build/deep && mknod build/device c 1 3 &&"
        " stat -c %u:%g:%F build/deep/er/part3.o build/device &&"
        " tar --sort=name --mtime=@0 -cf build.tar build' && tar tvf build.tar"
        " && mv build.tar build/",
        "fakeroot",
        "tar",
    ),
    odd("eatmydata", "eatmydata make", "eatmydata"),
    odd("jemalloc preloaded", "LD_PRELOAD=libjemalloc.so.2 make", "libjemalloc.so.2"),
    odd(
        "ASan preloaded",
        "make && rm -rf build/work build/report && LD_PRELOAD=$(gcc -print-file-name=libasan.so)"
        " ASAN_OPTIONS=detect_leaks=0 make",
        "libasan.so",
    ),
    odd("ulimit -v", "ulimit -v 1000000; make"),
    odd("ulimit -n 64", "ulimit -n 64; make"),
    odd("ulimit -n 16", "ulimit -n 16; make"),
    odd("a filter that kills at any other call", "make HOW=few-calls"),
    odd("threads with stacks of 64 KiB", "make HOW='threads 65536'", parallel=True),
    odd("threads with stacks of 16 KiB", "make HOW='threads 16384'", parallel=True),
    odd("a filter that denies mounts", "make HOW=no-mounts"),
    odd("a filter that denies the network", "make HOW=no-network"),
    odd(
        "ASan-built by gcc",
        "make CFLAGS='-O1 -g -fsanitize=address,undefined' HOW='threads 262144'",
        parallel=True,
    ),
    odd(
        "ASan-built by clang",
        "make CC=clang CFLAGS='-O1 -g -fsanitize=address,undefined' HOW='threads 262144'",
        "clang",
        parallel=True,
    ),
    odd(
        "TSan-built by gcc",
        "make CFLAGS='-O1 -g -fsanitize=thread' HOW='threads 262144'",
        parallel=True,
    ),
]


@pytest.mark.parametrize("poison", ["", "with poison"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_kernel_is_the_oracle(bench: Bench, row: Row, poison: str) -> None:
    # With poison whatever slips past velo fails, and all changes of names happen on disk, too.
    if poison:
        row = replace(row, environment={"VELO_POISON": "1"}, name=f"{row.name}, {poison}")
    bench.check(row)


def test_only_a_filter_that_denies_what_velo_needs_makes_a_program_opaque(bench: Bench) -> None:
    versions_or_skip(("gcc",))
    (bench.place / "build").mkdir()
    run_native("gcc", "-pthread", "-o", "files", str(FILES), cwd=bench.place)
    counts = []
    for how in ("no-mounts", "no-network", "few-calls"):
        bench.velo.exec("./files", f"build/{how}", how, cwd=bench.place)
        status = json.loads(bench.velo.run("status", "--json", cwd=bench.place).stdout)
        counts.append(status["processes"]["opaque"].get("files", {"count": 0})["count"])

    assert counts == [0, 1, 2]


DAEMON = r"""
mkdir -p build && echo begun > build/state
setsid sh -c '
  exec < /dev/null > build/daemon.log 2>&1
  until [ -e go ]; do sleep 0.05; done
  for i in 1 2 3; do echo "line $i" >> build/later; echo "said $i"; done
  mkdir -p build/made && mv build/state build/made/state && chmod 600 build/made/state
  echo done > build/end
' &
"""


def test_a_daemon_outlives_its_command_and_its_later_writes_arrive_on_disk(bench: Bench) -> None:
    # Goal: what a daemon writes after `velo exec` returned is on disk soon, with nobody asking.
    versions_or_skip(("setsid",))
    place = bench.place

    bench.velo.exec("sh", "-c", DAEMON, cwd=place, timeout_s=300)
    (place / "go").touch()

    wait_for(lambda: (place / "build/end").exists() and (place / "build/end").read_text() != "")
    assert (place / "build/later").read_text() == "line 1\nline 2\nline 3\n"
    assert (place / "build/made/state").read_text() == "begun\n"
    assert (place / "build/made/state").stat().st_mode & 0o777 == 0o600
    assert not (place / "build/state").exists()
    wait_for(lambda: (place / "build/daemon.log").read_text() == "said 1\nsaid 2\nsaid 3\n")
