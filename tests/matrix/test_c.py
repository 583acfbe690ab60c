# ruff: noqa: E101 - the makefiles below mix tabs and spaces, as makefiles must.
"""The matrix, C and C++: build systems, compilers, linkers, and what they leave lying about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support import sources
from support.matrix import Bench, Row

pytestmark = pytest.mark.matrix

CMAKE_LOGS = {
    "*/CMakeFiles/CMakeConfigureLog.yaml": "names of temporary directories of try_compile",
    "*/CMakeFiles/CMakeError.log": "names of temporary directories of try_compile",
    "*/CMakeFiles/CMakeOutput.log": "names of temporary directories of try_compile",
}
CMAKE_SAYS = {r"\(\d+\.\d+s\)": "(seconds)"}
CTEST_LOGS = {
    "*/Testing/Temporary/CTestCostData.txt": "durations",
    "*/Testing/Temporary/LastTest.log": "times of day and durations",
}
CTEST_SAYS = {r" +\d+\.\d+ sec": " seconds", r"= +\d+\.\d+ sec": "= seconds"}
NINJA_LOGS = {
    "*.ninja_deps": "times of files",
    "*.ninja_log": "durations and times of files",
}
NINJA_IDLE = "ninja -C build -d explain -n"

# jansson's sources by a makefile of ours, so that compilers and linkers can be put into it.
MAKEFILE = r"""
O = build
CC = gcc
CFLAGS = -O1 -g
LDFLAGS =
INCLUDES = -DHAVE_CONFIG_H -I$O -Ijansson/android -Ijansson/src
sources := $(sort $(wildcard jansson/src/*.c))
objects := $(sources:jansson/src/%.c=$O/%.o)
linkers = bfd
all: $(linkers:%=$O/process-%)
$O:
	mkdir $O
$O/%.o: jansson/src/%.c $O/jansson_private_config.h
	$(CC) $(CFLAGS) $(INCLUDES) -fPIC -MMD -MP -c -o $@ $<
$O/jansson_private_config.h: Makefile | $O
	for name in STDINT_H FCNTL_H UNISTD_H SYS_TYPES_H SYS_STAT_H; do \
	  echo "#define HAVE_$$name 1"; done > $@.new && mv $@.new $@
$O/libjansson.a: $(objects)
	$(AR) rcs $@ $^
$O/libjansson-%.so: $(objects)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -fuse-ld=$* -Wl,-soname,$(@F) -o $@ $^
.PRECIOUS: $O/libjansson-%.so
$O/process-%: jansson/test/bin/json_process.c $O/libjansson-%.so $O/libjansson.a
	$(CC) $(CFLAGS) $(LDFLAGS) -fuse-ld=$* $(INCLUDES) -Wl,-rpath,'$$ORIGIN' \
	  -o $@ $< $O/libjansson-$*.so -lm
	$(CC) $(CFLAGS) $(LDFLAGS) -fuse-ld=$* $(INCLUDES) -o $@-static $< $O/libjansson.a -lm
	printf '[1, {"a": "b"}]' | $@ --env > $@.txt; cat $@.txt
	printf '[1, {"a": "b"}]' | $@-static --env | cmp - $@.txt
-include $(wildcard $O/*.d)
"""

CLANG_PCH = "CXX=clang++ PCH=pch PCHFLAGS='-Xclang -fno-pch-timestamp'"
PRECOMPILED = r"""
O = build
CXX = g++
PCH = gch
all: $O/program.txt
$O:
	mkdir $O
$O/all.hpp: all.hpp | $O
	cp $< $@
$O/all.hpp.$(PCH): $O/all.hpp
	$(CXX) -O1 $(PCHFLAGS) -x c++-header -o $@ $<
$O/%.o: %.cpp $O/all.hpp.$(PCH)
	$(CXX) -O1 -Winvalid-pch -include $O/all.hpp -H -MMD -c -o $@ $< 2> $@.headers
$O/program: $O/one.o $O/two.o
	$(CXX) -o $@ $^
$O/program.txt: $O/program
	$< > $@ && cat $@ $O/*.headers
"""


def jansson(place: Path) -> None:
    sources.copy("jansson", place / "jansson")


def jansson_inside(place: Path) -> None:
    (place / "build").mkdir()
    sources.copy("jansson", place / "build/jansson")


def lz4(place: Path) -> None:
    sources.copy("lz4", place / "lz4")


def lz4_inside(place: Path) -> None:
    (place / "build").mkdir()
    sources.copy("lz4", place / "build/lz4")


def jansson_made(place: Path) -> None:
    jansson(place)
    (place / "Makefile").write_text(MAKEFILE)


def precompiled(place: Path) -> None:
    (place / "Makefile").write_text(PRECOMPILED)
    (place / "all.hpp").write_text("#include <map>\n#include <string>\n#include <vector>\n")
    (place / "one.cpp").write_text('std::vector<std::string> words() { return {"a", "b"}; }\n')
    (place / "two.cpp").write_text(
        "#include <cstdio>\nstd::vector<std::string> words();\n"
        "int main() { for (auto &word : words()) puts(word.c_str()); }\n"
    )


def made(
    name: str, flags: str, tools: tuple[str, ...], *, env: Mapping[str, str] | None = None, **more
) -> Row:
    """jansson by MAKEFILE; then a header is touched and all of it built again, or nothing."""
    return Row(
        name=name,
        tools=("make", "ar", *tools),
        prepare=jansson_made,
        steps=(
            f"make {flags}",
            f"make {flags}",
            f"touch jansson/src/utf.h && rm build/utf.o && make {flags}",
        ),
        idle=f"make {flags}",
        idle_says="Nothing to be done",
        environment=env or {},
        **more,
    )


BUILD_SYSTEMS = [
    Row(
        name="CMake and Make, the project's own tests inside the hosted tree",
        tools=("cmake", "make", "gcc", "ld.bfd", "bash"),
        prepare=jansson,
        steps=(
            "cmake -G 'Unix Makefiles' -S jansson -B build"
            " -DJANSSON_BUILD_DOCS=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5",
            "make -C build -j1",
            "cd build && ctest --output-on-failure",
            "make -C build install DESTDIR=$PWD/build/installed",
        ),
        idle="make -C build -j1 | grep -v Built",
        idle_says="Leaving directory",
        volatile=CMAKE_LOGS | CTEST_LOGS,
        unordered={"build/CMakeFiles/Makefile2": "CMake sorts targets by their addresses"},
        scrubbed=CMAKE_SAYS | CTEST_SAYS,
    ),
    Row(
        name="CMake and Ninja",
        tools=("cmake", "ninja", "clang"),
        prepare=lz4,
        steps=(
            "cmake -G Ninja -S lz4/build/cmake -B build -DCMAKE_C_COMPILER=clang"
            " -DCMAKE_BUILD_TYPE=Debug -DCMAKE_POLICY_VERSION_MINIMUM=3.5",
            "ninja -C build -j1",
            "touch lz4/lib/lz4hc.h && ninja -C build -j1 -d explain",
            "ninja -C build -t deps | grep -v '#deps'",
            "DESTDIR=$PWD/build/installed ninja -C build install",
        ),
        idle=NINJA_IDLE,
        idle_says="no work to do",
        volatile=CMAKE_LOGS | NINJA_LOGS,
        scrubbed=CMAKE_SAYS | {r"\(\d+ vs \d+\)": "(times)"},
    ),
    Row(
        name="Meson and Ninja, several jobs",
        tools=("meson", "ninja", "gcc"),
        prepare=lz4,
        steps=(
            "meson setup build lz4/contrib/meson -Dbuildtype=debug -Ddefault_library=both"
            " -Dprograms=true",
            "ninja -C build -j4",
            "build/meson/programs/lz4 -k -f lz4/lib/lz4.c build/lz4.c.lz4",
            "build/meson/programs/lz4 -d -c build/lz4.c.lz4 | cmp - lz4/lib/lz4.c",
            "DESTDIR=$PWD/build/installed meson install -C build",
        ),
        idle=NINJA_IDLE,
        idle_says="no work to do",
        parallel=True,
        environment={"PYTHONHASHSEED": "0"},  # else meson writes its sets in any order
        volatile={
            **NINJA_LOGS,
            "build/meson-logs/meson-log.txt": "a date, names of temporary files",
            "build/meson-private/build.dat": "random identities of targets",
            "build/meson-private/coredata.dat": "random identities of targets",
        },
    ),
    Row(
        name="autotools inside the hosted tree",
        tools=("autoconf", "automake", "libtoolize", "perl", "make", "gcc"),
        prepare=jansson_inside,
        steps=(
            "cd build/jansson && autoreconf -fi",
            "cd build/jansson && ./configure",
            "make -C build/jansson",
            "make -C build/jansson install DESTDIR=$PWD/build/installed",
            "make -C build/jansson distclean",
        ),
        environment={"PERL_HASH_SEED": "0"},  # else autom4te writes its cache in any order
    ),
    Row(
        name="make with its jobserver, makefiles that call make",
        tools=("make", "gcc"),
        prepare=lz4_inside,
        steps=(
            "make -C build/lz4 -j4 lib lz4 CFLAGS=-O0",
            "touch build/lz4/lib/lz4hc.h && make -C build/lz4 -j4 lib lz4 CFLAGS=-O0",
        ),
        idle="cd build/lz4 && make -q -C lib CFLAGS=-O0 liblz4.a liblz4 &&"
        " make -q -C programs CFLAGS=-O0 lz4 && echo up to date",
        idle_says="^up to date",
        parallel=True,
    ),
]
COMPILERS = [
    made(
        "gcc with ld.bfd, gold, lld and mold",
        "CC=gcc linkers='bfd gold lld mold'",
        ("gcc", "ld.bfd", "ld.gold", "ld.lld", "mold"),
    ),
    made(
        "clang with ld.bfd, gold, lld and mold",
        "CC=clang linkers='bfd gold lld mold'",
        ("clang", "ld.bfd", "ld.gold", "ld.lld", "mold"),
    ),
    made(
        "gcc with link-time optimisation",
        "CC=gcc AR=gcc-ar CFLAGS='-O1 -flto=2 -frandom-seed=velo' linkers='bfd mold'",
        ("gcc", "ld.bfd", "mold"),
    ),
    made(
        "clang with thin link-time optimisation and its cache inside",
        "CC=clang AR=llvm-ar CFLAGS='-O1 -flto=thin' linkers=lld"
        " LDFLAGS=-Wl,--thinlto-cache-dir=build/lto,--thinlto-jobs=1",
        ("clang", "llvm-ar", "ld.lld"),
    ),
    made("gcc -save-temps", "CC=gcc CFLAGS='-O1 -g -save-temps=obj -dumpdir build/'", ("gcc",)),
    made("clang -save-temps", "CC=clang CFLAGS='-O1 -g -save-temps=obj'", ("clang",)),
    made(
        "gcc with split debug information and coverage",
        "CC=gcc CFLAGS='-O0 -gsplit-dwarf --coverage -frandom-seed=velo'",
        ("gcc",),
        volatile={"build/hashtable.gcda": "jansson seeds its hash tables by the clock"},
    ),
    made("ASan-built by gcc", "CC=gcc CFLAGS='-O1 -g -fsanitize=address,undefined'", ("gcc",)),
    made("ASan-built by clang", "CC=clang CFLAGS='-O1 -g -fsanitize=address'", ("clang",)),
    Row(
        name="ccache with its cache inside the hosted tree",
        tools=("ccache", "make", "gcc"),
        prepare=jansson_made,
        steps=(
            "export CCACHE_DIR=$PWD/build/ccache && make CC='ccache gcc'",
            "export CCACHE_DIR=$PWD/build/ccache && rm build/*.o && make CC='ccache gcc'",
            "export CCACHE_DIR=$PWD/build/ccache && ccache -s | grep -v -i updated",
        ),
        idle="make CC='ccache gcc'",
        idle_says="Nothing to be done",
        volatile={"build/ccache/?/?/*[MR]": "when it was made"},
        ignored={
            "build/ccache/?/?/stats": "in one of 256 places, by process id",
            "build/ccache/?": "there for what is in it",
            "build/ccache/?/?": "there for what is in it",
        },
    ),
    Row(
        name="C++ with precompiled headers, g++",
        tools=("make", "g++"),
        prepare=precompiled,
        steps=("make CXX=g++", "touch all.hpp && make CXX=g++"),
        idle="make CXX=g++",
        idle_says="Nothing to be done",
        volatile={"build/all.hpp.gch": "g++ writes bytes it never set"},
    ),
    Row(
        name="C++ with precompiled headers, clang++",
        tools=("make", "clang++"),
        prepare=precompiled,
        steps=(f"make {CLANG_PCH}", f"touch all.hpp && make {CLANG_PCH}"),
        idle=f"make {CLANG_PCH}",
        idle_says="Nothing to be done",
    ),
]


@pytest.mark.parametrize("row", BUILD_SYSTEMS + COMPILERS, ids=lambda row: row.name)
def test_the_kernel_is_the_oracle(bench: Bench, row: Row) -> None:
    bench.check(row)
