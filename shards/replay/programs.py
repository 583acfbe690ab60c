"""Which programs are known, and what they may ask without that an answer depends on it.

One table decides: a program is known by its name when it lies outside of the workspace. Whatever
is not here is strict: the times of files that it stats are inputs, and the clock or randomness
make its step uncached.
"""

from __future__ import annotations

import os
import re

# Compilers, assemblers, linkers: they look at no time of a file and ask the clock for nothing but
# random names.
COMPILERS = re.compile(
    r"cc1|cc1plus|cc1obj|cc1objplus|f951|lto1|lto-wrapper|collect2|as|gas|ld|ld\.bfd|ld\.gold|gold|ld\.lld|lld|"
    r"ld64\.lld|mold|ld\.mold|gcc|g\+\+|cc|c\+\+|cpp|c89|c89-gcc|c99|c99-gcc|gfortran|clang|clang\+\+|clang-cpp|"
    r"ar|ranlib|gcc-ar|gcc-ranlib|gcc-nm|llvm-ar|llvm-ranlib|nm|objcopy|objdump|strip|readelf|size|rustc"
)
# Shells and small tools: no times, no clock, unless their arguments ask for it (ASKS_FOR_TIMES).
TOOLS = re.compile(
    r"sh|dash|bash|busybox|rm|mkdir|mv|cp|ln|cat|echo|printf|true|false|test|\[|touch|sed|grep|egrep|fgrep|tr|cut|"
    r"head|tail|sort|uniq|wc|basename|dirname|env|expr|install|tee|cmp|chmod|awk|mawk|gawk|m4|rmdir|pwd|cmake|"
    r"git-rev-parse|diff|xargs|nice|flex|bison|yacc|lex"
)
# They fstat whatever they open, and make nothing of it; a stat by name is a question of theirs.
RUNTIMES = re.compile(
    r"python[\d.]*|node|nodejs|perl[\d.]*|ruby[\d.]*|lua[\d.]*|tclsh[\d.]*|php[\d.]*"
)

ASKS_FOR_TIMES = re.compile(
    r"(?:^|[\s;&|(])(?:-nt|-ot|-ef|-u|--update|--newer|-newer\w*|ru|ur|-r|--reference\S*)(?:[\s;&|)]|$)"
)
FORCES_REMOVAL = re.compile(r"(?:^|[\s;&|(])rm\s+-\w*f")  # whether it was there makes no difference
ASKS_FOR_DATE = re.compile(
    r"(?:^|[\s;&|(`])date(?:[\s;&|)`]|$)|EPOCH(?:REALTIME|SECONDS)|\$RANDOM|\bSRANDOM\b|%\("
)

PREFIX = re.compile(r"^(?:[\w.]+-){2,3}(?=[a-z])")
SUFFIX = re.compile(r"-\d+(?:\.\d+)*$")


def name_of(path: str, invoked: str) -> str:
    """`x86_64-linux-gnu-gcc-12` is gcc; what a multi-call program was called as is what it is."""
    name = os.path.basename(path)
    if name in ("busybox", "coreutils", "toybox"):
        name = invoked
    return SUFFIX.sub("", PREFIX.sub("", name))


def is_compiler(name: str) -> bool:
    return COMPILERS.fullmatch(name) is not None


def is_blind(name: str) -> bool:
    """It makes nothing of the times of files."""
    return is_compiler(name) or TOOLS.fullmatch(name) is not None


def is_runtime(name: str) -> bool:
    return RUNTIMES.fullmatch(name) is not None
