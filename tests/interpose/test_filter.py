"""What a seccomp filter is taken for before it is installed (filter.c).

In: filters written by hand, and random ones. Out: whether the process stays in the namespace; for
random ones the same answer as the kernel gives in a child that has the filter.
"""

from __future__ import annotations

import platform
import random
from pathlib import Path

import pytest

from support.drivers import answers, compiled
from support.shared import made_once

Line = tuple[int, int, int, int]
Filter = list[Line]

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
IMM, ABS, MEM, LEN = 0x00, 0x20, 0x60, 0x80
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, XOR = (step << 4 for step in (*range(9), 10))
JA, JEQ, JGT, JGE, JSET = (step << 4 for step in range(5))
K, X, A = 0x00, 0x08, 0x10
TAX, TXA = 0x00, 0x80
ALLOW, LOG, ERRNO, TRAP, KILL = 0x7FFF0000, 0x7FFC0000, 0x50000, 0x30000, 0
NUMBER, ARCH, ARGUMENT = 0, 4, 16  # where struct seccomp_data has them

MINE = platform.machine()
OURS = 0xC000003E if MINE == "x86_64" else 0xC00000B7
# openat, prctl, getppid, reboot
OPENAT, PRCTL, PARENT, REBOOT = (257, 157, 110, 169) if MINE == "x86_64" else (56, 167, 173, 142)


def load(offset: int) -> Line:
    return (LD | ABS, 0, 0, offset)


def when(number: int, *, skip: int) -> Line:
    """Equal: go on; else `skip` lines further."""
    return (JMP | JEQ | K, 0, skip, number)


def say(action: int) -> Line:
    return (RET | K, 0, 0, action)


def refusing(number: int, action: int = ERRNO | 1) -> Filter:
    return [load(NUMBER), when(number, skip=1), say(action), say(ALLOW)]


FILTERS = {
    # what it is: lines, what an attached process does, what a watched one does
    "all pass": ([say(ALLOW)], "stays", "stays"),
    "all are logged": ([say(LOG)], "stays", "stays"),
    "all fail": ([say(ERRNO | 1)], "leaves", "ends"),
    "all are trapped": ([say(TRAP)], "leaves", "ends"),
    "all kill": ([say(KILL)], "leaves", "ends"),
    "one that we need fails": (refusing(OPENAT), "leaves", "ends"),
    "one that nobody needs fails": (refusing(REBOOT), "stays", "stays"),
    "no thread can be watched any more": (refusing(PRCTL), "stays", "filtered"),
    "another machine's calls kill": (
        [load(ARCH), when(OURS, skip=1), say(ALLOW), say(KILL)],
        "stays",
        "stays",
    ),
    "this machine's calls kill": (
        [load(ARCH), when(OURS, skip=1), say(KILL), say(ALLOW)],
        "leaves",
        "ends",
    ),
    "numbers from 2^30 on kill": (
        [load(NUMBER), (JMP | JGE | K, 0, 1, 1 << 30), say(KILL), say(ALLOW)],
        "stays",
        "stays",
    ),
    "an argument decides over all": (
        [load(ARGUMENT), when(0, skip=1), say(KILL), say(ALLOW)],
        "leaves",
        "ends",
    ),
    "an argument decides over one that nobody needs": (
        [
            load(NUMBER),
            when(REBOOT, skip=3),
            load(ARGUMENT),
            when(0, skip=1),
            say(KILL),
            say(ALLOW),
        ],
        "stays",
        "stays",
    ),
    "the size of the data": (
        [(LD | LEN, 0, 0, 0), when(64, skip=1), say(ALLOW), say(KILL)],
        "stays",
        "stays",
    ),
    "by way of memory and the index": (
        [
            load(NUMBER),
            (ST, 0, 0, 3),
            (LD | IMM, 0, 0, 7),
            (LDX | MEM, 0, 0, 3),
            (MISC | TXA, 0, 0, 0),
            when(OPENAT, skip=1),
            say(KILL),
            say(ALLOW),
        ],
        "leaves",
        "ends",
    ),
    "by a comparison with the index": (
        [
            (LDX | IMM, 0, 0, OPENAT),
            load(NUMBER),
            (JMP | JEQ | X, 0, 1, 0),
            say(KILL),
            say(ALLOW),
        ],
        "leaves",
        "ends",
    ),
    "a jump over the refusal": ([(JMP | JA, 0, 0, 1), say(KILL), say(ALLOW)], "stays", "stays"),
    "what was computed is the action": (
        [(LD | IMM, 0, 0, ALLOW >> 16), (ALU | LSH | K, 0, 0, 16), (RET | A, 0, 0, 0)],
        "stays",
        "stays",
    ),
    "a division by nothing kills": (
        [(LD | IMM, 0, 0, 1), (LDX | IMM, 0, 0, 0), (ALU | DIV | X, 0, 0, 0), say(ALLOW)],
        "leaves",
        "ends",
    ),
}


def text(lines: Filter) -> str:
    return " ".join(",".join(map(str, line)) for line in lines)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = ("filter_driver.c",)
    return made_once(tmp_path_factory, "filter", lambda to: compiled(to, *files))


@pytest.mark.parametrize(("state", "column"), [("attached", 1), ("watched", 2)])
def test_a_process_stays_while_what_we_need_passes(driver: Path, state: str, column: int) -> None:
    said = answers(driver, state, lines=[text(each[0]) for each in FILTERS.values()])

    expected = {name: each[column] for name, each in FILTERS.items()}
    assert dict(zip(FILTERS, said, strict=True)) == expected


def drawn(chance: random.Random) -> Filter:
    """A filter that the kernel accepts: it computes the errno of getppid, and all others pass."""
    lines = [load(NUMBER), (JMP | JEQ | K, 1, 0, PARENT), say(ALLOW)]
    lines += [(ST, 0, 0, slot) for slot in range(4)]  # none may be read before it is written
    for _ in range(chance.randrange(1, 40)):
        number = chance.choice([0, 1, 2, 31, 32, 33, 255, 1 << 31, (1 << 32) - 1, PARENT])
        number = chance.choice([number, chance.randrange(1 << 32)])
        step = chance.choice([ADD, SUB, MUL, DIV, OR, AND, XOR, LSH, RSH])
        least = {DIV: 1, LSH: 0, RSH: 0}.get(step, 0)
        amount = number % 32 if step in (LSH, RSH) else max(least, number)
        lines += [
            chance.choice(
                [
                    (ALU | step | K, 0, 0, amount),
                    (ALU | step | X, 0, 0, 0),
                    (ALU | NEG, 0, 0, 0),
                    (LD | IMM, 0, 0, number),
                    (LDX | IMM, 0, 0, number),
                    (LD | MEM, 0, 0, chance.randrange(4)),
                    (LDX | MEM, 0, 0, chance.randrange(4)),
                    (ST, 0, 0, chance.randrange(4)),
                    (STX, 0, 0, chance.randrange(4)),
                    (MISC | TAX, 0, 0, 0),
                    (MISC | TXA, 0, 0, 0),
                    (LD | LEN, 0, 0, 0),
                    load(chance.choice([NUMBER, ARCH])),
                    *(2 * [(JMP | chance.choice([JEQ, JGT, JGE, JSET]) | K, 1, 0, number)]),
                    (JMP | chance.choice([JEQ, JGT, JGE, JSET]) | X, 0, 1, 0),
                ]
            )
        ]
    # 1 to 255, so that it is an errno; behind a last jump there is a line.
    ends = [(ALU | AND | K, 0, 0, 0xFE), (ALU | OR | K, 0, 0, ERRNO | 1), (RET | A, 0, 0, 0)]
    return [*lines, (ALU | ADD | K, 0, 0, 0), *ends]


def test_random_filters_say_what_the_kernel_says(driver: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    filters = [drawn(chance) for _ in range(400)]

    said = answers(driver, "kernel", lines=map(text, filters))

    wrong = []
    for lines, answer in zip(filters, said, strict=True):
        ours, kernels = map(int, answer.split())
        killed = ours == KILL and kernels == -1  # by a division by nothing
        if ours != kernels and not killed:
            wrong.append(f"{text(lines)}: {answer}")
    assert wrong == []
