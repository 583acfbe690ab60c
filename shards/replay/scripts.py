"""Scripts that use the time, random numbers, or which file is newer.

Shells, awks and nasm ask for the first two in any case, and stat all that scripts ask about. In: a
unit's log. Out: whether a script of one of them names such a thing. A script is a file that it
read, its arguments, or a variable's value. A random number in a temporary file's name counts for
nothing. A script that came by a pipe, or that a program gave to `eval`, may be anything. Never:
scripts of Python and others, which ask for themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from .. import plain
from . import programs, questions
from . import unit_log as log
from .questions import normal
from .variables import MACHINE

READ_MAX = 4 << 20

T = TypeVar("T")

# How scripts name the time or a random number. Bash: variables, and dates of printf. Awk, also
# inside of shell scripts: functions.
_TELLS = re.compile(
    rb"\bEPOCH(?:REALTIME|SECONDS)\b|\$\{?SECONDS\b|\$\{?S?RANDOM\b|\bS?RANDOM\b(?=[^\n]{0,99}?\)\))|"
    rb"%\([^)\n]{0,99}\)T|\b(?:s?rand|systime|strftime)\s{0,9}\(|"
    rb"\(\s{0,9}(?:RANDOM|TIMESTAMP)\s|\bcmake_host_system_information\b|"  # of cmake
    rb"__\??(?:UTC_)?(?:DATE|TIME)(?:_NUM)?\??__|__\??POSIX_TIME|"  # of nasm
    rb"""@P\}|\bPS[0-4]=["']?[^"'\n]{0,99}\\[dtT@AD]|"""  # of prompts
    # How long a command took
    rb"(?:^|[;&|(){!]|\b(?:then|do|else|elif|if|while|until)\b)[ \t]{0,9}"
    rb"(?:time[ \t]{1,9}[\w./\"'$({-]|times[ \t]{0,9}(?:[;&|)}>]|$))",
    re.M,
)
_TESTS = re.compile(programs.TESTS.encode())
_IS_SAME = re.compile(programs.IS_SAME_FILE.encode())
_COMPARES = re.compile(
    programs.TOLD_TIMES.encode()
    + rb"|\b(?:IS_NEWER_THAN|ARCHIVE_CREATE)\b|\(\s{0,9}TIMESTAMP\s"  # of cmake
)
# A comparison of two names that stand in the text: so the compared files are known.
_PLAIN = re.compile(
    rb"""(?<![^\s("'])([\w./+-]*[\w+])["']?\s{1,9}["']?-(?:nt|ot|ef)["']?\s{1,9}["']?"""
    rb"""([\w./+-]*[\w+])(?=["'\s)\];&|]|$)"""
)
_ARCHIVES = re.compile(
    rb"(?:^|[;&|(`/\s])(?:ar|ranlib)\s{1,9}(?:-\w{1,9}\s{1,9}){0,4}-?[a-z]{0,9}U[a-z]{0,9}\s", re.M
)
_NAMES_VARIABLES = re.compile(programs.TELLS_VARIABLES.pattern.encode(), re.M)
WORD_MAX = 100
_GIVEN = re.compile(r"(?:^|\s)(?:-f\s*|--file[=\s]|--include[=\s]|-i\s)(\S+)")
_EVALS = re.compile(rb"\beval\b")
# A program's output is run as text, which is not known. libtool runs a part of itself.
_RUNS_OUTPUT = re.compile(
    rb"""\beval\s{1,9}["']?(?:\$\((?!\()|`)(?!\$SED -n -e '/\^# ### BEGIN LIBTOOL)"""
)
# Or a program's output is run as a command. In files such text may be prose.
_CALLS_OUTPUT = re.compile(
    rb"""(?:^|[;&|({]|\b(?:then|do|else|if|while))[ \t]{0,9}["']?(?:\$\(|`)\s{0,9}"""
    rb"(?:<|(?:cat|sed|awk|head|tail|tr|cut|echo|printf)\s)",
    re.M,
)
_VARIABLE = re.compile(rb"\$\{?[#!]?([A-Za-z_]\w{0,99})")
# Variables are named without a dollar: in arithmetic, by -v, by +=.
_BARE = re.compile(
    rb"\(\(|\[\[|\blet\s|\s-[vR]\s|\w\+=|\w\[|\$\{\w+:(?:\s*[^-+=?\s]|\s+-)|"
    rb"\b(?:declare|typeset|local|readonly|export)\s+-\w*i"
)
_WORD = re.compile(rb"[A-Za-z_]\w{0,99}")
# Or their names are made up.
_INDIRECT = re.compile(rb"\\\$\{?\$|\$\{!|\b(?:declare|typeset|local)\s+-\w*n\b")
_LONE = re.compile(rb"""\$\{?["']""")  # `eval '$'$name`
# Shells ask for the machine's name as they start, and tell it so; the last is of a prompt.
_TELLS_MACHINE = re.compile(rb"\b(?:HOSTNAME|PS[0-4])\b|\\[hH]\b")
_PROMPTS_TIME = re.compile(rb"\\[dtT@AD]")
_GOES_BACK = re.compile(rb"\bcd\s+-(?=[\s;&|)]|$)|~-")
# How scripts of runtimes ask for the times of a file that they have open, in calls and compiled.
_OF_OPEN = {
    "perl": re.compile(rb"\bstat\b|-[MAC]\b"),
    "ruby": re.compile(rb"\bstat\b|\b[acm]time\b"),
    "node": re.compile(rb"fstat|\.stat\(\s*[){]"),
    # os.stat takes a descriptor, too. In compiled code a call is names, in any order.
    "python": re.compile(
        rb"fstat|\A(?s:(?=.*(?:fileno|os\.open|O_RD|\bfd)).*(?:\bstat|get[acm]time))"
    ),
}
_OF_OPEN["nodejs"] = _OF_OPEN["node"]
_ANY_OF_OPEN = re.compile(rb"fstat")
# And for those of a name that may be a link, as they do for each directory on the way to a file.
_OF_NAME = re.compile(
    rb"\A(?s:(?=.*(?:lstat|follow_symlinks)).*(?:time|\[\s*(?:8|9|10)\s*\]|File::stat))"
)
_CODE = re.compile(r"\.(?:pyc?|[cm]?js|[cm]?ts|p[lm]|rb|php|lua|tcl)$")
_INSTALLED = re.compile(r"/(?:node_modules|site-packages|dist-packages)/")
_CONFIGURES = {"subs.awk", "defines.awk"}  # of autoconf: their text stands in config.status
_VALUED = {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}


class Found(NamedTuple):
    """The things that scripts use."""

    tells: bool = False  # the time, or chance: they say more than their inputs do
    compares: bool = False  # which of two files is newer, or the same; or times of files are said
    archives: bool = False  # times of files go into archives
    variables: bool = False  # those that count for nothing otherwise, or all
    tests: bool = False  # of what it compares, what shells do
    same: bool = False  # by what tells whether two names are one file
    names: frozenset[str] | None = frozenset()  # of what is tested; None: anything may be
    uses: frozenset[bytes] | None = frozenset()  # variables; None: any may be used


ANYTHING = Found._make([*[True] * 6, None, None])  # of a text that is not known


class _Text(NamedTuple):
    found: Found
    variables: frozenset[bytes]  # that are named in it
    evals: bool


_NO_TEXT = _Text(Found(), frozenset(), evals=False)


def arguments(unit: log.UnitLog) -> str:
    """The arguments of the unit's program, and those of programs inside of it that count."""
    inner = (each for each in unit.told if not programs.is_runtime(_name(each.program)))
    texts = dict.fromkeys(map(_as_text, [unit.words[2], *(each.words for each in inner)]))
    return "\n;\n".join(texts)


def _name(program: log.Record) -> str:
    return programs.name_of(*program.texts)


def _as_text(words: Sequence[str]) -> str:
    """The text of `sh -c TEXT` begins a command."""
    is_text = len(words) > 2 and words[1][:1] == "-" and words[1].endswith("c")
    return " ".join([*words[:2], f";\n{words[2]}", *words[3:]] if is_text else words)


def probe(unit: log.UnitLog) -> Found:
    """The things that the scripts of this unit use. Scripts are files, arguments, or variables that
    one of them names.

    A script that has changed since is judged as it is now: then there will be no entry, since the
    unit's inputs have changed, too. A script that came by a pipe, or is gone, may be anything.
    """
    told = list(unit.told)
    gone = _gone(unit)
    if any(_is_strange(each, gone) for each in told):
        return ANYTHING
    command = _bytes(arguments(unit))
    if _CALLS_OUTPUT.search(command) is not None:
        return ANYTHING
    texts = [_identify(command), *map(_what, _scripts(unit, told))]
    if any(text.evals for text in texts):
        texts += map(_what, _passed_on(unit))
    forks = list(map(_what, _read_by_forks(unit)))
    texts += _values(unit, texts + forks)
    found = _union([text.found for text in texts])
    by_all = _union([found, *(text.found for text in forks)])
    below = [by_all, *(_what(path).found for path in _of_the_system(unit))]
    return by_all._replace(
        tells=found.tells,
        archives=found.archives,
        variables=any(each.variables for each in below),
        uses=_all_of([x.uses for x in below]),
    )


def _union(found: Sequence[Found]) -> Found:
    flags = map(any, zip(*(each[:-2] for each in found), strict=True))
    names, uses = _all_of([each.names for each in found]), _all_of([each.uses for each in found])
    return Found._make([*flags, names, uses])


def _all_of(sets: Sequence[frozenset[T] | None]) -> frozenset[T] | None:
    """The union; None: one of them is anything."""
    known = [each for each in sets if each is not None]
    return frozenset[T]().union(*known) if len(known) == len(sets) else None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _values(unit: log.UnitLog, texts: Iterable[_Text]) -> Iterator[_Text]:
    """The values of variables that these texts name, and of those that such values name."""
    variables = {_bytes(name): _bytes(value) for name, value in unit.variables}
    wanted = {b"PS4"}.union(*(text.variables for text in texts))  # `sh -x` prints what that says
    while found := wanted & variables.keys():
        wanted = set()
        for name in found:
            value = variables.pop(name)
            text = _identify(value)
            if name == b"PS4" and _PROMPTS_TIME.search(value) is not None:
                text = text._replace(found=text.found._replace(tells=True))
            wanted |= text.variables
            yield text


def _is_strange(told: log.Told, gone: set[str]) -> bool:
    """Its program is a text that is not known."""
    name = _name(told.program)
    if programs.is_shell(name):
        script = _script_of(told.words)
        is_piped = script == "" and told.has_input
        scripts = [script] if script else []
    elif programs.is_awk(name):
        is_piped, scripts = False, _GIVEN.findall(" ".join(told.words))
    else:
        return False
    paths = [normal(os.path.join(told.cwd, each)) for each in scripts]
    is_lost = any(path in gone and os.path.basename(path) not in _CONFIGURES for path in paths)
    is_piped |= "-" in scripts or any(map(_is_descriptor, paths))
    return is_piped or is_lost or not told.whole


def filters(unit: log.UnitLog) -> set[int]:
    """Processes that are such filters, whatever they run."""
    told = [each for each in unit.told if programs.is_runtime(_name(each.program))]
    others = {t.process for t in told if not programs.is_filter(_name(t.program), t.words)}
    return {each.process for each in told} - others


def asks_of_open(unit: log.UnitLog, process: int) -> bool:
    """A script of this runtime asks for the times of files that it has open, or may do so. The
    runtime itself does so with each, and does not use the answer."""
    return _is_named(unit, process, _OF_OPEN, _ANY_OF_OPEN)


def asks_of_names(unit: log.UnitLog, process: int) -> bool:
    """The same of directories whose names it comes by."""
    return _is_named(unit, process, {}, _OF_NAME)


def _is_named(
    unit: log.UnitLog,
    process: int,
    patterns: dict[str, re.Pattern[bytes]],
    otherwise: re.Pattern[bytes],
) -> bool:
    said = [" ".join(each.words) for each in unit.told if each.process == process]
    for life in unit.lives:
        runtime = life.program if life.process == process else None
        if runtime is None or not programs.runs_in_runtime(_name(runtime)):
            continue
        pattern = patterns.get(_name(runtime).rstrip("0123456789."), otherwise)
        if runtime.flags & log.GIVEN_TEXT and not said:
            return True
        if any(pattern.search(_bytes(text)) for text in said):
            return True
        if any(holds(path, pattern) for path in _code_of(runtime, life, unit)):
            return True
    return False


def _code_of(runtime: log.Record, life: log.Life, unit: log.UnitLog) -> Iterator[str]:
    """What it read of the project's own, or a fork of it."""
    program, _, script = runtime.texts
    library = os.path.dirname(os.path.dirname(program)) + "/lib/"
    for path in (*_read_by(life), *_read_by_forks(unit)):
        is_code = _CODE.search(path) or os.path.basename(path) == os.path.basename(script)
        if is_code and not path.startswith(library) and _INSTALLED.search(path) is None:
            yield path


def holds(path: str, pattern: re.Pattern[bytes]) -> bool:
    """The file has such a text; or is not there any more."""
    try:
        found = os.stat(path)
        return _holds_now(path, pattern, found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return True  # it is not there any more


@lru_cache(maxsize=4096)  # as _what_now
def _holds_now(path: str, pattern: re.Pattern[bytes], mtime_ns: int, inode: int, size: int) -> bool:
    with plain.opened(path) as file:
        return size > READ_MAX or pattern.search(file.read(READ_MAX)) is not None


def _is_descriptor(path: str) -> bool:
    return log.is_device(path) or path.startswith("/proc/")


def _script_of(words: Sequence[str]) -> str | None:
    """The file that a shell is told to run; None when it is given a text, "" if neither."""
    rest = iter(words[1:])
    for word in rest:
        if word in ("-", "--"):
            return next(rest, "")
        if word[:1] not in ("-", "+"):
            return word
        if not word.startswith("--") and "c" in word:
            return None
        if not word.startswith("--") and "s" in word:
            return ""
        if word in _VALUED:
            next(rest, "")
    return ""


def _gone(unit: log.UnitLog) -> set[str]:
    """What the unit removed, and is not there again."""
    removed = {normal(each.path) for each in unit.deeds if each.kind in (log.GONE, log.RENAME)}
    return {path for path in removed if not os.path.exists(path)}


def _scripts(unit: log.UnitLog, told: Sequence[log.Told]) -> Iterator[str]:
    words = [unit.words[2], *(each.words for each in told)]
    given = {os.path.basename(path) for each in words for path in _GIVEN.findall(" ".join(each))}
    for name, life in _named(unit):
        if programs.is_shell(name) or name in ("cmake", "nasm", "yasm"):
            yield from _read_by(life)
        elif programs.is_awk(name):  # most of what it reads is no script, but data
            paths = _read_by(life)
            yield from (p for p in paths if p.endswith(".awk") or os.path.basename(p) in given)


def _passed_on(unit: log.UnitLog) -> Iterator[str]:
    """The files that may be in a text that such a program printed and `eval` runs."""
    for name, life in _named(unit):
        if programs.passes_on(name):
            yield from _read_by(life)


def _read_by_forks(unit: log.UnitLog) -> Iterator[str]:
    """Files that forks read, as `(. ./settings)`, or `filter <in`, which is no script.

    What a fork asks counts strictly. But it does not ask again what its parent asked before it.
    """
    return (path for life in unit.lives if life.program is None for path in _read_by(life))


def _of_the_system(unit: log.UnitLog) -> Iterator[str]:
    """Scripts that are installed: in all but variables they are known to do what they are for."""
    for name, life in _named(unit):
        if programs.is_shell(name) or programs.is_awk(name):
            yield from filter(_is_packaged, _opened_by(life))


def _named(unit: log.UnitLog) -> Iterator[tuple[str, log.Life]]:
    for life in unit.lives:
        if life.program is not None:
            yield _name(life.program), life


def _read_by(life: log.Life) -> Iterator[str]:
    return (path for path in _opened_by(life) if not _is_packaged(path))


def _is_packaged(path: str) -> bool:
    return path.startswith(programs.SYSTEM) and not path.startswith(programs.LOCAL)


def _opened_by(life: log.Life) -> Iterator[str]:
    return (each.path for each in questions.asked(life.questions) if each.reads)


def _what(path: str) -> _Text:
    try:
        found = os.stat(path)
        return _what_now(path, found.st_mtime_ns, found.st_ino, found.st_size)
    except OSError:
        return _NO_TEXT


@lru_cache(maxsize=1024)
def _what_now(path: str, mtime_ns: int, inode: int, size: int) -> _Text:
    """What does the script at `path` use? The other arguments tell one text from the next."""
    with plain.opened(path) as file:
        text = file.read(READ_MAX)
    if text.startswith(b"\x7fELF"):
        return _NO_TEXT  # a program that the shell found
    return _identify(text)


def _identify(text: bytes) -> _Text:
    if _RUNS_OUTPUT.search(text) is not None:
        return _Text(ANYTHING, frozenset(), evals=True)
    tests = _TESTS.search(text) is not None
    found = Found(
        any(not _is_temporary(text, found) for found in _TELLS.finditer(text)),
        tests or _COMPARES.search(text) is not None,
        _ARCHIVES.search(text) is not None,
        _NAMES_VARIABLES.search(text) is not None,
        tests,
        tests and _IS_SAME.search(text) is not None,
        _tested(text) if tests else frozenset(),
        _used(text),
    )
    evals = _EVALS.search(text) is not None
    return _Text(found, frozenset(_VARIABLE.findall(text)), evals)


def _used(text: bytes) -> frozenset[bytes] | None:
    """The variables that a shell looks at for this text; None: it makes up their names."""
    if _INDIRECT.search(text) is not None or (_EVALS.search(text) and _LONE.search(text)):
        return None
    names = _WORD if _BARE.search(text) is not None else _VARIABLE
    used = set(names.findall(text))
    if _GOES_BACK.search(text) is not None:
        used.add(b"OLDPWD")
    if _TELLS_MACHINE.search(text) is not None:
        used.add(MACHINE)
    return frozenset(used)


def _tested(text: bytes) -> frozenset[str] | None:
    """The last components of what is compared."""
    if _TESTS.search(_PLAIN.sub(b"", text)) is not None:
        return None
    return frozenset(
        os.path.basename(name.decode()) for pair in _PLAIN.findall(text) for name in pair
    )


def _is_temporary(text: bytes, found: re.Match[bytes]) -> bool:
    """In a word such as `conf$$-$RANDOM`, as configure and libtool name what they remove again."""
    before = text[max(0, found.start() - WORD_MAX) : found.start()]
    after = text[found.end() : found.end() + WORD_MAX]
    word = (before.split() or [b""])[-1] if not before[-1:].isspace() else b""
    word += (after.split() or [b""])[0] if not after[:1].isspace() else b""
    return found[0].endswith(b"RANDOM") and b"$$" in word
