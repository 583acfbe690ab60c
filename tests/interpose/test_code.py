"""Which machine code makes system calls that name files: lengths of instructions, and the scan.

In: bytes written by hand, and libc's own text. Out: what x86_decode.c and syscall_scan.c say of
them. The numbers that name files are the driver's: open, openat, unlink do; read and getpid do not.
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.drivers import answers, compiled
from support.harness import tool
from support.shared import made_once

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 machine")

LENGTHS = {
    "c3": 1,  # ret
    "90": 1,  # nop
    "6690": 2,  # its two-byte form
    "f30f1efa": 4,  # endbr64
    "0f05": 2,  # syscall
    "89d8": 2,  # mov eax, ebx
    "8b04": 0,  # the index byte is missing
    "8b0425": 0,  # its displacement, too
    "8b042578563412": 7,  # mov eax, [0x12345678]
    "8b0578563412": 6,  # mov eax, [rip + ...]
    "8b4508": 3,  # mov eax, [rbp + 8]
    "8b442408": 4,  # mov eax, [rsp + 8]
    "8b842480000000": 7,  # mov eax, [rsp + 128]
    "b801010000": 5,  # mov eax, 257
    "66b80101": 4,  # mov ax, 257
    "48b80102030405060708": 10,  # mov rax, imm64
    "48c7c001010000": 7,  # mov rax, 257
    "a10102030405060708": 9,  # mov eax, [moffs64]
    "67a101020304": 6,  # the same with a 32-bit address
    "f6c301": 3,  # test bl, 1
    "f6d3": 2,  # not bl
    "f7c301000000": 6,  # test ebx, 1
    "66f7c30100": 5,  # test bx, 1
    "f7db": 2,  # neg ebx
    "c8100000": 4,  # enter 16, 0
    "c20800": 3,  # ret 8
    "e800000000": 5,  # call
    "0f8400000000": 6,  # je
    "7400": 2,  # je, short
    "66666648e800000000": 9,  # data16 data16 data16 rex.W call
    "0f1f840000000000": 8,  # nop [rax + rax]
    "660f3a0fc108": 6,  # palignr xmm0, xmm1, 8
    "660f3800c1": 5,  # pshufb xmm0, xmm1
    "0fbae007": 4,  # bt eax, 7
    "0fa4c205": 4,  # shld edx, eax, 5
    "c5f877": 3,  # vzeroupper
    "c5f857c0": 4,  # vxorps xmm0, xmm0, xmm0
    "c4e37d39c101": 6,  # vextracti128 xmm1, ymm0, 1
    "c4e27918c0": 5,  # vbroadcastss xmm0, xmm0
    "c5f970c01b": 5,  # vpshufd xmm0, xmm0, 27
    "62f17c485800": 6,  # vaddps zmm0, zmm0, [rax]
    "62f37d483ac101": 7,  # vinserti32x8 zmm0, zmm0, ymm1, 1
    "06": 0,  # push es: not in 64-bit code
    "d4": 0,
    "0f04": 0,
    "e8000000": 0,  # cut short
    "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0": 0,  # prefixes only
    "": 0,
}

NUMBER = "b801010000"  # mov eax, 257: openat
HARMLESS = "b827000000"  # mov eax, 39: getpid
CALL = "0f05"
NOP = "90"


def whole(*code: str) -> str:
    """A text that is one function."""
    bytes_ = "".join(code)
    return f"0:{len(bytes_) // 2} {bytes_}"


TEXTS = {
    "a number that names files": (whole(NUMBER, CALL), True),
    "one that does not": (whole(HARMLESS, CALL), False),
    "the number zero": (whole("31c0", CALL), False),  # xor eax, eax: read
    "a number beyond the table": (whole("b8ffff0000", CALL), False),
    "as a 64-bit load": (whole("48c7c001010000", CALL), True),
    "by way of another register": (whole("bf01010000", "89f8", CALL), True),
    "the same with r8": (whole("41b801010000", "4489c0", CALL), True),
    "a harmless one by way of another": (whole("bf27000000", "89f8", CALL), False),
    "pushed and popped": (whole("6a02", "58", CALL), True),
    "a harmless one pushed and popped": (whole("6a27", "58", CALL), False),
    "popped first of all": (whole("58", CALL), True),  # may be any
    "an argument of the function": (whole("89f8", CALL), True),
    "read from memory": (whole("8b07", CALL), True),
    "made by an address": (whole("8d4701", CALL), True),
    "a byte, made wider": (whole("0fb6c7", CALL), True),
    "chosen by a condition": (whole(HARMLESS, "0f44c1", CALL), True),
    "in a branch nearby": (whole(NUMBER, "eb05", HARMLESS, CALL), True),
    "in a branch far away": (whole(NUMBER, "eb05", HARMLESS, NOP * 120, CALL), False),
    "another call's, which only wants to be seen": (whole("b809000000", CALL), False),  # mmap
    "inside another instruction": (whole("b80f050000", "c3"), False),
    "inside a displacement": (whole("488b050f050000", "c3"), False),
    "behind the end of the function": (f"0:5 {NUMBER}{CALL}", True),  # small: believed
    "in the second of two functions": (f"0:6,6:7 {HARMLESS}c3{NUMBER}{CALL}", True),
    "in the first of two": (f"0:7,7:6 {NUMBER}{CALL}{HARMLESS}c3", True),
    "in neither": (f"0:6,6:7 {HARMLESS}c3{HARMLESS}{CALL}", False),
    "small, and no table": (f"- {HARMLESS}{CALL}", True),
    "nothing at all": (f"- {NOP * 40}", False),
    "half of it at the end": (f"- {NOP * 40}0f", False),
}
LARGE = NOP * 70_000
LARGE_TEXTS = {
    "no table, a number before": (f"- {LARGE}{NUMBER}{CALL}{LARGE}", True),
    "no table, a harmless number before": (f"- {LARGE}{HARMLESS}{CALL}{LARGE}", False),
    "no table, and nothing before": (f"- {LARGE}{CALL}{LARGE}", False),
    "syscall(2) itself": (f"- {LARGE}4889f84989ca{CALL}{LARGE}", True),  # rax, r10 from arguments
    "constants behind the code": (f"0:1 c3{LARGE}{NUMBER}{CALL}", False),
    "a function that is too long to be read": (whole(NUMBER, LARGE, CALL), False),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = ("code_driver.c", "sud/x86_decode.c", "sud/syscall_scan.c")
    return made_once(tmp_path_factory, "code", lambda to: compiled(to, *files))


def test_an_instruction_is_as_long_as_the_manual_says(driver: Path) -> None:
    said = answers(driver, "length", lines=LENGTHS)

    assert dict(zip(LENGTHS, map(int, said), strict=True)) == LENGTHS


@pytest.mark.parametrize("texts", [TEXTS, LARGE_TEXTS], ids=["small", "large"])
def test_a_text_names_files_or_does_not(driver: Path, texts: dict[str, tuple[str, bool]]) -> None:
    said = answers(driver, "text", lines=[line for line, _ in texts.values()])

    found = {name: answer == "1" for name, answer in zip(texts, said, strict=True)}
    assert found == {name: expected for name, (_, expected) in texts.items()}


def test_a_call_is_found_wherever_it_stands(driver: Path) -> None:
    # The search takes 16 bytes at a time: each place in a step, and each distance from the end.
    places = [(before, after) for before in range(40) for after in range(20)]
    texts = [whole(NOP * before, NUMBER, CALL, NOP * after) for before, after in places]

    assert set(answers(driver, "text", lines=texts)) == {"1"}


def instructions(path: str) -> Iterator[str]:
    """Each different instruction of the code in `path`, as objdump reads it, in hex."""
    shown = subprocess.run(
        [tool("objdump"), "-d", "-w", "--no-show-raw-insn", "-M", "intel", "--insn-width=16"]
        + ["--show-raw-insn", "-j", ".text", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seen = set()
    for address, bytes_, name in re.findall(r"^ *(\w+):\t([0-9a-f ]+?) *\t(\S+)", shown, re.M):
        code = bytes_.replace(" ", "")
        if code not in seen and "(bad)" not in name and address:
            seen.add(code)
            yield code


def test_libc_is_read_as_objdump_reads_it(driver: Path) -> None:
    maps = Path("/proc/self/maps").read_text()
    libc = re.search(r"\S+/libc\.so\.6$|\S+/libc-2[^/]*\.so$", maps, re.M)
    assert libc, "this python has no glibc"
    codes = list(instructions(libc[0]))

    said = answers(driver, "length", lines=codes)

    wrong = [
        f"{code}: {length}"
        for code, length in zip(codes, said, strict=True)
        if int(length) != len(code) // 2
    ]
    assert len(codes) > 10_000
    assert wrong == []
