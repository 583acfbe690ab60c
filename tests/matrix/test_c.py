"""The matrix, C and C++: build systems, compilers, linkers, and what they leave lying about."""

from __future__ import annotations

from pathlib import Path

import pytest

import sources
from matrix import Bench, Row

pytestmark = pytest.mark.matrix

CMAKE_LOGS = {
    "*/CMakeFiles/CMakeOutput.log": "names of temporary directories of CMake's try_compile",
    "*/CMakeFiles/CMakeError.log": "names of temporary directories of CMake's try_compile",
}
CMAKE_SAYS = {r"\(\d+\.\d+s\)": "(seconds)"}
CTEST_SAYS = {r" +\d+\.\d+ sec": " seconds", r"= +\d+\.\d+ sec": "= seconds"}
JANSSON = "-DJANSSON_BUILD_DOCS=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5"


def jansson(place: Path) -> None:
    sources.copy("jansson", place / "jansson")


ROWS = [
    Row(
        name="CMake and Make, the project's own tests inside the hosted tree",
        tools=("cmake", "make", "gcc", "ld.bfd", "bash"),
        prepare=jansson,
        steps=(
            f"cmake -G 'Unix Makefiles' -S jansson -B build {JANSSON}",
            "make -C build -j1",
            "cd build && ctest --output-on-failure",
            "make -C build install DESTDIR=$PWD/build/installed",
        ),
        idle="make -C build -j1 | grep -v Built",
        idle_says="Leaving directory",
        volatile={
            **CMAKE_LOGS,
            "build/Testing/Temporary/LastTest.log": "times of day",
            "build/Testing/Temporary/CTestCostData.txt": "durations",
        },
        unordered={"build/CMakeFiles/Makefile2": "CMake sorts targets by their addresses"},
        scrubbed=CMAKE_SAYS | CTEST_SAYS,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_kernel_is_the_oracle(bench: Bench, row: Row) -> None:
    bench.check(row)
