"""Which programs are known, and what they may ask although their outputs do not depend on it.

One table decides: a program is known by its name when it lies outside of the workspace. A program
that is not here is strict: the times of files that it stats are inputs, and the clock or randomness
make its step uncached.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .questions import Fact

# Compilers, assemblers, linkers: they look at no time of a file and ask the clock for nothing but
# random names.
COMPILERS = re.compile(
    r"cc1|cc1plus|cc1obj|cc1objplus|f951|lto1|lto-wrapper|collect2|as|gas|ld|ld\.bfd|ld\.gold|gold|ld\.lld|lld|"
    r"ld64\.lld|rust-lld|wasm-ld|mold|ld\.mold|gcc|g\+\+|cc|c\+\+|cpp|c89|c89-gcc|c99|c99-gcc|gfortran|clang|clang\+\+|clang-cpp|"
    r"ar|ranlib|gcc-ar|gcc-ranlib|gcc-nm|llvm-ar|llvm-ranlib|nm|objcopy|objdump|strip|readelf|size|rustc|clippy-driver|"
    r"make"  # within a step it works for gcc's linker (-flto=auto)
)
DRIVERS = re.compile(r"gcc|g\+\+|cc|c\+\+|c[89]9(?:-gcc)?|gfortran|clang(?:\+\+)?|cc1\w*|f951")
# Shells and small tools: no times, no clock, unless their arguments ask for it (ASKS_FOR_TIMES).
TOOLS = re.compile(
    r"sh|dash|bash|busybox|rm|mkdir|mv|cp|ln|cat|echo|printf|true|false|test|\[|touch|sed|grep|egrep|fgrep|tr|cut|"
    r"head|tail|sort|uniq|wc|basename|dirname|env|expr|install|tee|cmp|chmod|awk|mawk|gawk|m4|rmdir|pwd|cmake|"
    r"git-rev-parse|msgfmt|msgmerge|msgcat|diff|xargs|nice|flex|bison|yacc|lex|tsc|nasm|yasm|ccache"
)
# What a system has before its compilers on PATH (Debian, Fedora, Arch).
CCACHE = re.compile(r"/usr/(?:local/)?lib(?:64)?/ccache/(?:bin/)?[^/]+")
# What projects bring along and build: helpers of the build system of Linux (also busybox's), one of
# which runs after each compilation. They take sizes from stat, and no times.
BROUGHT = re.compile(
    r"/.*/(?:scripts/(?:basic/fixdep|mod/modpost|genksyms/genksyms|kallsyms|sorttable|recordmcount)|"
    r"tools/objtool/objtool)"
)
# Tools that copy their input to their output, also from a device of random numbers. Other tools use
# random numbers only to name temporary files.
PASSES_ON = re.compile(r"cat|head|tail|tr|cut|sort|tee|dd|grep|sed|wc")
# Programs that print inodes, links, blocks, and when a file was changed in whatever way.
TELLS_WHOLE = re.compile(r"stat|ls|dir|vdir|du|find|namei|zip|cpio|tar|bsdtar")
# An operator may be quoted, or come out of a variable: `[ a -$newer b ]`, `[ a $newer b ]`.
# `test` where a command begins; looked behind, since there are many beginnings.
_TEST = (
    r"""(?:\[|test(?:(?<=[;&|({!`\n\t"']test)|(?<=[;&|({!`\s"'] test)|(?<![^\n]test)|"""
    r"(?<=(?:if|do) test)|(?<=(?:then|else) test)|(?<=(?:while|until) test)))"
)
IN_VARIABLE = (
    r"""(?:\[|test)\s[^\];&|\n]{1,200}\s["']?-["']?\$|"""
    rf"""{_TEST}\s{{1,9}}(?:[^\];&|\n]{{0,99}}\s-[ao]\s{{1,9}})?(?:!\s{{1,9}})?"""
    r"""(?!-\w+\s|!)(?:"[^"\n]{0,99}"|[^\s\]"`(]{1,99})\s{1,9}["']?\$\{?\w+\}?["']?\s{1,9}[^\s\];&|]"""
)
IS_SAME_FILE = rf"-ef(?<![\w-]...)(?![\w-])|{IN_VARIABLE}"
# TypeScript's compiler, which is a script. It reads all sources, but for those that `tsc --build`
# finds older than what was built of them.
TSC = re.compile(r"(?:^|/)node_modules/(?:\.bin/tsc|typescript/(?:bin/tsc|lib/_?tsc\.js))$")
TSC_CALLS = re.compile(r"(?:^|[\s/\"'])_?tsc(?:\.js)?[\"']?(?:[ \t]+(\S+)|(?=\s|$))")
TSC_COMPARES = re.compile(r"--?b(?:uild)?|.*[$`].*", re.IGNORECASE)  # as the first of its words
# Runtimes fstat each file that they open, and do not use the answer; a stat by name is a question.
RUNTIMES = re.compile(
    r"python[\d.]*|node|nodejs|perl[\d.]*|ruby[\d.]*|lua[\d.]*|tclsh[\d.]*|php[\d.]*"
)

# Options of `perl -pe TEXT` that load no code, and what leads to a time in its text.
FILTERING = re.compile(r"-(?:[0-9aelnpw]*|i[.\w]*|[alnp]*i)")
ASKS_IN_PERL = re.compile(
    r"time|\$\^|CORE|-[MAC]\b|\b(?:eval|do|require|use|syscall)\b|"
    r"[^\w\s][gimosxr]*e[gimosxr]*e[gimosxre]*(?!\w)"  # s/...//ee
)

SYSTEM = ("/usr/", "/lib", "/etc/")
LOCAL = ("/usr/local/bin/", "/usr/local/sbin/")  # scripts there are of the user, not of a package

# Tests that a shell does itself: which file is newer, whose it is, whether it was read.
TESTS = (
    rf"{_TEST}\s(?:[^\];&|\n]{{0,200}}\s)?-[OGN]\s|{IN_VARIABLE}|"
    r"-(?:nt|ot|ef)(?<![\w-]...)(?![\w-])"  # wherever it stands: `is=-nt; [ a $is b ]`
)


def _call(name: str, options: str) -> str:
    return rf"""{name}(?<![\w.-]{name})\s(?:[^;&|\n]{{0,200}}?\s)?(?:{options})(?=[\s;&|)"'`]|$)"""


# And tools, by options that mean another thing to others: `ld -r`, `sort -u`. Those that are not
# named above, as date, ls, tar and find, are strict whatever their options are.
TOLD_TIMES = (
    f"{_call('(?:cp|mv)', r'-[a-zA-Z]*u[a-zA-Z]*|--update[=a-z]*')}|"
    f"{_call('touch', r'-[a-zA-Z]*r|--reference(?:=[^ ]*)?')}|"
    r"diff(?<![\w.-]diff)\s(?:[^;&|\n]{0,200}\s)?(?:-\w*[cCuUp]|--unified|--context|--show-c)|"
    # of cmake, which so finds what to do in the makefiles that it made
    r"-E\s+(?:tar|copy_(?:directory_)?if_newer|cmake_(?:depends|auto(?:gen|rcc)))\b|"
    r"--check-build-system\b"
)
ASKS_FOR_TIMES = re.compile(f"{TESTS}|{TOLD_TIMES}")
# By which option it makes no difference to them that a file was where they make or remove one, and
# that the directory that they make was. Not `ln -sf`: below a directory it makes another name.
REPLACING = {"rm": "f", "mv": "f"}
KEEPING = {"mkdir": "p", "install": "[dD]"}
ASKS_FOR_DATE = re.compile(
    r"(?:^|[\s;&|(`])date(?:[\s;&|)`]|$)|EPOCH(?:REALTIME|SECONDS)|\$\{?(?:RANDOM|SECONDS)\b|\bSRANDOM\b|"
    r"\(\([^)]{0,99}\bRANDOM\b|%\(|"
    r"\b(?:s?rand|systime|strftime)\s{0,9}\(|"  # of awk
    r"\s-E\s+time\b"  # of cmake
)

SHELLS = re.compile(r"sh|dash|bash|busybox")
AWKS = re.compile(r"[mg]?awk")
# Variables that count for nothing otherwise (interpose/preload/replay/key.c), and all of them.
UNCOUNTED = (
    r"\b(?:SHLVL|OLDPWD|WINDOWID|TERM_SESSION_ID|XDG_SESSION_\w+|SSH_\w+|DBUS_\w+|CARGO_MAKEFLAGS|M(?:AKE)?FLAGS|"
    r"MAKE_TERM(?:OUT|ERR))\b|\$ENV\{[^}\n]{0,99}\$|\$\{!\w+\}"  # or one whose name is made up
)
TELLS_VARIABLES = re.compile(
    rf"\bENVIRON\b|\bexport\s+-p\b|\bdeclare\s+-[px]|\bcompgen\b|-E\s+environment\b|{UNCOUNTED}|"
    r"(?:^|[;&|(){!]|\b(?:then|do|else|elif|if|while|until)\b)[ \t]{0,99}"
    r"(?:set|export|declare|typeset|readonly)[ \t]{0,99}(?:\d?[<>]|[;&|)}\n]|$)",
    re.MULTILINE,
)

ASKS_FOR_TERMINAL = re.compile(r"(?:^|[\s;&|(\[])-t(?:[\s;&|)\]]|$)|\btty\b|\bTERM\b")

# Known programs that go through `environ` (`nm -D` tells), or run code that may.
ALL_VARIABLES = re.compile(r"tsc|ccache|make|env|git-rev-parse")

ARCHIVERS = re.compile(r"(?:gcc-|llvm-)?(?:ar|ranlib)")
KEEPS_TIMES = re.compile(r"-?\w*U\w*")  # the first argument of an archiver
ARCHIVES_TIMES = re.compile(r"(?:^|[\s;&|(/-])(?:ar|ranlib)\s(?:[^;&|]*\s)?-?\w*U\w*(?:\s|$)")

ASKS_UUID = "build-id=uuid"  # of a linker
CLANGS = re.compile(r"clang(?:\+\+)?")
PRECOMPILES = re.compile(
    r"(?:^|\s)(?:-x\s*[\w+-]+-(?:header|module)|-emit-(?:pch|module)\S*|-fmodules\S*|"
    r"-o\s*\S+\.(?:pch|pcm|gch))(?:\s|$)"
)

PREFIX = re.compile(r"^(?:[\w.]+-){2,3}(?=[a-z])")
SUFFIX = re.compile(r"-\d+(?:\.\d+)*$")


class Habits(NamedTuple):
    """How a program uses the answers to its questions."""

    unasked: bool  # what it asks of its own outputs changes nothing
    keeps: bool  # nor does it whether a directory that it makes was there
    strict: bool  # times of files are inputs
    whole: bool  # and so is all else that stat tells of them
    times: bool  # it fstats what it opens, or hands that on to a program which does
    skips_same: bool = False  # of one file by two names, which it does not read, the bytes count
    untimed: frozenset[Fact] = frozenset()  # of times: these count as facts without times


_remembered = lru_cache(maxsize=4096)  # thousands of steps run the same programs
STRANGE = Habits(unasked=False, keeps=False, strict=True, whole=False, times=True)


@_remembered
def name_of(path: str, invoked: str, script: str = "") -> str:
    """`x86_64-linux-gnu-gcc-12` is gcc; what a multi-call program was called as is what it is."""
    name = os.path.basename(path)
    if name in ("node", "nodejs") and TSC.search(script):
        return "tsc"
    if name in ("busybox", "coreutils", "toybox"):
        name = invoked
    if CCACHE.fullmatch(path) is not None:
        name = "ccache"
    return SUFFIX.sub("", PREFIX.sub("", name))


@_remembered
def is_compiler(name: str) -> bool:
    return COMPILERS.fullmatch(name) is not None


@_remembered
def is_driver(name: str) -> bool:
    """The program compiles, or runs the programs that do."""
    return DRIVERS.fullmatch(name) is not None


@_remembered
def is_blind(name: str) -> bool:
    """The program does not use the times of files. The build's own have paths for names."""
    known = is_compiler(name) or TOOLS.fullmatch(name) is not None
    return known or BROUGHT.fullmatch(name) is not None


def is_tool(name: str, *, makes_date: bool) -> bool:
    """The program may ask anything: no answer goes into an output, but for dates of cmake's."""
    return is_blind(name) and not is_compiler(name) and not (makes_date and name == "cmake")


@_remembered
def is_shell(name: str) -> bool:
    """The program tells limits, too, to its scripts."""
    return SHELLS.fullmatch(name) is not None


@_remembered
def is_awk(name: str) -> bool:
    return AWKS.fullmatch(name) is not None


def may_tell_variables(names: set[str], arguments: str) -> bool:
    """All variables, in their order. An `env` that starts a program is known by that one's name."""
    tells = "env" in names or TELLS_VARIABLES.search(arguments) is not None
    return tells or not all(map(is_blind, names))


@_remembered
def asks_by_name(name: str) -> bool:
    """The program asks for each variable by its name, or its scripts do: a shell, an awk."""
    reads_all = runs_plugins(name) or ALL_VARIABLES.fullmatch(name) is not None
    return is_blind(name) and not reads_all


@_remembered
def tests(name: str) -> bool:
    """The program compares files for scripts, and does not use times otherwise."""
    return is_shell(name) or name in ("test", "[")


def tells_whole(name: str, *, is_same: bool) -> bool:
    """Does the program print more of a stat than times? `is_same`: a script may use -ef."""
    return is_same if tests(name) else TELLS_WHOLE.fullmatch(name) is not None


def uses_times(name: str, first: str, arguments: str) -> bool:
    """Archivers put times of files into archives, when they are told to; clang puts those of
    headers into what it precompiles, and refuses it when they are others. `tsc --build` does not
    read a source that is old; a script may run that, whose text is not among the arguments."""
    if name == "tsc":
        calls: list[str] = TSC_CALLS.findall(arguments)
        return not calls or any(map(TSC_COMPARES.fullmatch, calls))
    if CLANGS.fullmatch(name) is not None and PRECOMPILES.search(arguments) is not None:
        return True
    told = KEEPS_TIMES.fullmatch(first) or ARCHIVES_TIMES.search(arguments)
    return ARCHIVERS.fullmatch(name) is not None and told is not None


def replaces(name: str, first: str, arguments: str) -> bool:
    """The program's questions about its own outputs change nothing, unless something that is no
    file stands in their way. An archiver is none: it goes on with the archive that is there."""
    makes_anew = is_compiler(name) and not is_archiver(name)
    return makes_anew or _is_told(REPLACING, name, first, arguments)


def keeps(name: str, first: str, arguments: str) -> bool:
    """The program makes a directory, or finds it there, with the same result."""
    return is_compiler(name) or name == "cmake" or _is_told(KEEPING, name, first, arguments)


def _is_told(options: dict[str, str], name: str, first: str, arguments: str) -> bool:
    """All calls of the program in `arguments` have that option."""
    if name not in options or first:  # the first argument of this call, if it is no option
        return False
    calls = re.findall(rf"(?:^|[\s;&|(/]){name}\s+((?:-\S+\s+(?:\d+\s+)?)*)", arguments)
    option = re.compile(rf"(?:^|\s)(?:-\w*{options[name]}|--(?:force|parents|directory))")
    return bool(calls) and all(map(option.search, calls))


def skips_same(name: str) -> bool:
    """The program does not read two names of one file or directory, which it tells by the inode."""
    return name == "diff"


@_remembered
def is_archiver(name: str) -> bool:
    return ARCHIVERS.fullmatch(name) is not None


def tells_what_it_reads(name: str) -> bool:
    """The program may print /proc/meminfo, which others only read to size their buffers."""
    return is_awk(name) or (passes_on(name) and name != "sort")


@_remembered
def passes_on(name: str) -> bool:
    return PASSES_ON.fullmatch(name) is not None


@_remembered
def is_runtime(name: str) -> bool:
    return RUNTIMES.fullmatch(name) is not None


def runs_in_runtime(name: str) -> bool:
    """The program is a runtime, or a script that is known, in one."""
    return is_runtime(name) or name == "tsc"


def hands_on(name: str) -> bool:
    """The program may start others with what it opened as their input."""
    return is_shell(name) or runs_in_runtime(name)


def is_filter(name: str, words: Sequence[str]) -> bool:
    """`perl -pe TEXT`, whose text asks for no time. Perl does as it starts, whatever it is told."""
    options, texts, rest = "", list[str](), iter(words[1:])
    for word in rest:
        if word[:1] != "-":
            break
        if FILTERING.fullmatch(word) is None:
            return False
        options += word
        if word.endswith("e") and word[1] != "i":
            texts.append(next(rest, ""))
    loops = name.startswith("perl") and bool({"n", "p"} & {*options}) and bool(texts)
    return loops and not any(map(ASKS_IN_PERL.search, texts))


def runs_plugins(name: str) -> bool:
    """Code of the project runs inside of the program: macros of Rust."""
    return name in ("rustc", "clippy-driver")


def crates_in(cwd: str, arguments: list[str]) -> set[str]:
    """Directories in which rustc finds the crates that crates depend on."""
    words = [each.removeprefix("dependency=") for each in arguments if "dependency=" in each]
    return {os.path.normpath(os.path.join(cwd, word.removeprefix("-L"))) for word in words}
