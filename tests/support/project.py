"""A small CMake project, written by the test that builds it.

In: a directory, a size. Out: sources with a generated header, a static library, a versioned shared
library, programs, one of which runs during the build, and a hard link: what a real build does, in
a few seconds. Never: more than one look at it to know what the build should contain.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .harness import run_native, tool
from .snapshot import Snapshot

UNITS_PER_PROGRAM = 6
BUILD_TIMEOUT_S = 400  # the sample takes 20 s on two idle cores; they may be anything but

LISTS = """cmake_minimum_required(VERSION 3.16)
project(small C)
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
add_custom_command(OUTPUT answer.h
  COMMAND sed -e s/@ANSWER@/42/ "${CMAKE_SOURCE_DIR}/answer.h.in" > answer.h
  DEPENDS answer.h.in)
add_custom_target(answer DEPENDS answer.h)
include_directories("${CMAKE_BINARY_DIR}")
add_library(common STATIC common.c)
add_dependencies(common answer)
add_library(shared SHARED shared.c)
set_target_properties(shared PROPERTIES VERSION 1.2.3 SOVERSION 1)
"""
PROGRAM = """add_executable(tool{index} tool{index}.c {units})
target_link_libraries(tool{index} common shared)
add_dependencies(tool{index} answer)
"""
RUN = """add_custom_command(OUTPUT result.txt
  COMMAND tool0 > result.txt
  COMMAND ln -f result.txt result.link
  DEPENDS tool0)
add_custom_target(result ALL DEPENDS result.txt)
"""
UNIT = """#include "answer.h"
const unsigned char payload{index}[{payload}] = {{1}};
int unit{index}(void) {{ return ANSWER + {index} + payload{index}[0]; }}
"""


def write(directory: Path, *, units: int = 24, payload_bytes: int = 1) -> None:
    """Sources of `units` compiled files in programs of six, each unit `payload_bytes` larger."""
    (directory / "answer.h.in").write_text("#define ANSWER @ANSWER@\n")
    (directory / "common.c").write_text('#include "answer.h"\nint common(void){return ANSWER;}\n')
    (directory / "shared.c").write_text("int shared(void) { return 7; }\n")
    lists = [LISTS]
    for program, first in enumerate(range(0, units, UNITS_PER_PROGRAM)):
        indexes = range(first, min(first + UNITS_PER_PROGRAM, units))
        for index in indexes:
            text = UNIT.format(index=index, payload=payload_bytes)
            (directory / f"unit{index}.c").write_text(text)
        (directory / f"tool{program}.c").write_text(_main(indexes))
        names = " ".join(f"unit{index}.c" for index in indexes)
        lists.append(PROGRAM.format(index=program, units=names))
    (directory / "CMakeLists.txt").write_text("\n".join([*lists, RUN]))


def configure_command() -> list[str]:
    return [tool("cmake"), "-G", "Ninja", "-S", ".", "-B", "build"]


def build_command(*, jobs: int = 2, target: str = "all") -> list[str]:
    return [tool("ninja"), "-C", "build", f"-j{jobs}", target]


def build(run: Callable[..., Any], workspace: Path, *, jobs: int = 2, target: str = "all") -> None:
    """Configure and build `workspace` with `run`: `velo.exec` or `run_native`."""
    run(*configure_command(), cwd=workspace)
    run(*build_command(jobs=jobs, target=target), cwd=workspace, timeout_s=BUILD_TIMEOUT_S)


def native(workspace: Path, *, jobs: int = 2, target: str = "all") -> Snapshot:
    """What a native build leaves in `workspace`/build, which is removed again."""
    build(run_native, workspace, jobs=jobs, target=target)
    found = Snapshot.of(workspace / "build")
    shutil.rmtree(workspace / "build")
    return found


def assert_built_as(expected: Snapshot, workspace: Path, *, target: str = "all") -> None:
    """The tree on disk equals `expected`, and a plain ninja agrees that it is up to date."""
    differences = expected.differences(Snapshot.of(workspace / "build"))
    assert not differences, "\n".join(differences[:20])
    assert_up_to_date(workspace, target=target)


def assert_up_to_date(workspace: Path, *, target: str = "all") -> None:
    """A plain ninja has nothing to do."""
    said = run_native(tool("ninja"), "-C", "build", "-d", "explain", "-n", target, cwd=workspace)
    assert "no work to do" in said.stdout, said.stdout[-2000:] + said.stderr[-2000:]


def _main(indexes: range) -> str:
    calls = " + ".join(f"unit{index}()" for index in indexes)
    declared = "".join(f"int unit{index}(void);" for index in indexes)
    return (
        f"#include <stdio.h>\n{declared} int common(void); int shared(void);\n"
        f'int main(void) {{ printf("%d\\n", common() + shared() + {calls}); return 0; }}\n'
    )
