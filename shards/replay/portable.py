"""Is what a step made in this workspace what it would make in a clone of it, elsewhere?

In: a unit's log, what became of it, the bytes that it left. Out: why not; "" when it is. The facts
of an entry are checked in the clone as anywhere, so what is asked here is one thing: can the place
of the workspace have gone into an output, other than as text that is seen there? Compilers,
linkers and a few tools write it as text or not at all; other programs might count its letters.
[asks the disk where PWD leads]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from . import programs
from . import unit_log as log
from .analysis import FILE, SYMLINK, Analysed
from .questions import normal
from .unit_log import UnitLog

SHELLS = ("sh", "dash", "bash")
# These programs use the path of their directory only as text; so do compilers.
TOOLS = re.compile(
    r"rm|mkdir|rmdir|mv|cp|ln|cat|echo|printf|true|false|test|\[|touch|sed|grep|egrep|fgrep|tr|cut|head|tail|sort|uniq|"
    r"cmp|chmod|install|tee|flex|lex|bison|yacc|m4"
)
# Their output holds less than their input, so it does not show what was in there.
READERS = re.compile(
    r"sed|e?grep|fgrep|tr|cut|head|tail|sort|uniq|cmp|m4|nm|objdump|readelf|size|"
    r"(?:llvm-)?(?:strip|objcopy)"  # the build-id of what they leave is a digest of all there was
)
# In a shell's command: what may ask for the directory, leave it, or run text from elsewhere.
ASKS = re.compile(
    r"[$`]|~\+|(?<![\w./-])(?:cd|pushd|popd|dirs|pwd|set|export|declare|typeset|readonly|local|"
    r"env|printenv|eval|type|command|which|hash|source|exec|trap)(?![\w./-])|(?:^|[\s;&|({])\.\s|PWD",
    re.I,
)
ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")  # of a linker; the shell's quotes keep it
STARTS = ("BASH_ENV=", "BASH_FUNC_")  # variables that give a shell more to do
# By these compilers find headers, whose names a source may count the letters of.
SEARCHED = re.compile(r"CPATH|(?:C|CPLUS|OBJC|OBJCPLUS)_INCLUDE_PATH|COMPILER_PATH|GCC_EXEC_PREFIX")
PLUGINS = re.compile(r"-f(?:pass-)?plugin|-load\b|--load-pass-plugin|-specs=")
OBJECT = log.OBJECT.to_bytes(2, "little")  # how the key of such a record begins
PLAIN = re.compile(r"/[\w./+-]*")  # programs write other paths with escapes
NAMED = re.compile(r"(?<![^\0:=,; \"'(ILBR])/[^\0:=,; \"'()|&]*")  # absolute paths in texts
SEPARATOR = rb"[!-/:-@\[-`{-~]"
# How files begin in which texts are packed, and what is in such files
PACKED = (
    b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\x04\x22\x4d\x18",
    b"BC\xc0\xde", b"\xde\xc0\x17\x0b", b"CPCH", b"gpch",
)  # fmt: skip
PACKING = (b".gnu.lto_", b".gnu.debuglto_", b".llvm", b"__llvm_cov", b".zdebug_")
ELF, COMPRESSED = b"\x7fELF", 0x800


class Place:
    """Where a workspace is, as it may stand in texts."""

    def __init__(self, workspace: str) -> None:
        self.path = workspace
        self.is_plain = PLAIN.fullmatch(workspace) is not None and workspace.count("/") > 0
        parts = [re.escape(part) for part in workspace.encode(errors="surrogateescape").split(b"/")]
        self._name = workspace.rpartition("/")[2].encode(errors="surrogateescape")
        # gcov writes `#a#b` for `/a/b`, JSON may write `\/a\/b`.
        between = SEPARATOR + rb"{1,3}"
        text = SEPARATOR + between.join(parts[1:]) + rb"(?![A-Za-z0-9])"
        self._text = re.compile(text)
        argument = rf"-f(?:file|debug|macro|profile)-prefix-map={re.escape(workspace)}(?=[/=])"
        self._map = re.compile(argument)

    def is_in(self, data: bytes) -> bool:
        """Does a text name it, however it separates the names?"""
        return self._name in data and self._text.search(data) is not None

    def is_in_text(self, text: str) -> bool:
        return self.is_in(text.encode(errors="surrogateescape"))

    def without_maps(self, argument: str) -> str:
        """The argument without maps, which tell compilers to write something else for the path."""
        return self._map.sub("", argument)

    def is_below(self, path: str) -> bool:
        """Is it in this directory, at any depth?"""
        return self.path.startswith(path.rstrip("/") + "/")

    def has(self, path: str) -> bool:
        """Is it, or below it?"""
        return path == self.path or path.startswith(self.path + "/")


def why_bound(
    unit: UnitLog, analysed: Analysed, place: Place, bytes_of: Callable[[bytes], bytes | None]
) -> str:
    """Why an entry of this unit is true of its workspace alone; "" when it may be taken elsewhere.

    Args:
        bytes_of: the bytes of an output, by digest.
    """
    if not place.is_plain:
        return "the path of its workspace has characters that programs write in many ways"
    return (
        _in_arguments(unit, place)
        or _in_environment(unit, place)
        or _by_programs(unit, analysed, place)
        or _by_names(unit, place)
        or _outside(unit, analysed, place)
        or _in_what_it_made(analysed, place, bytes_of)
    )


def _in_arguments(unit: UnitLog, place: Place) -> str:
    program, cwd, arguments = unit.words
    if not place.has(cwd):
        return "it ran outside of its workspace"
    if any(place.is_in_text(place.without_maps(each)) for each in (program, *arguments)):
        return "its arguments hold the path of its workspace"
    if any(map(PLUGINS.search, arguments)):
        return "its arguments give a program more to do"
    if _is_shell(program, arguments) and not _is_harmless(arguments):
        return "its shell command may ask where it stands, or go elsewhere"
    return ""


def _is_shell(program: str, arguments: list[str]) -> bool:
    return programs.name_of(program, arguments[0] if arguments else "") in SHELLS


def _is_harmless(arguments: list[str]) -> bool:
    if len(arguments) != 3 or arguments[1] not in ("-c", "-ec"):
        return False
    return ASKS.search(ORIGIN.sub("", arguments[2])) is None


def _in_environment(unit: UnitLog, place: Place) -> str:
    for name, value in unit.variables:
        if name == "PWD" and not place.has(value) and place.has(os.path.realpath(value)):
            return "PWD in its environment leads to its workspace by a symlink"
        if (name + "=").startswith(STARTS):
            return f"{name} in its environment gives shells more to do"
        if SEARCHED.fullmatch(name) and place.is_in_text(value):
            return f"{name} in its environment holds the path of its workspace"
    return ""


def _by_programs(unit: UnitLog, analysed: Analysed, place: Place) -> str:
    if analysed.needs_rest or analysed.provisional:
        return "a program of it may make something of where it stands"
    started, names = 0, set[str]()
    for record in unit.deeds:
        if record.kind != log.PROGRAM:
            continue
        path, invoked, script = record.texts
        name, started = programs.name_of(path, invoked, script), started + 1
        known = programs.is_compiler(name) and not programs.runs_plugins(name)
        known = known or TOOLS.fullmatch(name) is not None
        # A shell's own text is among the arguments, if it is the first program.
        known = known or (name in SHELLS and started == 1 and _is_shell(*unit.words[::2]))
        if not known or place.has(path):
            return f"{name} may make something of where it stands"
        names.add(name)
    readers = {name for name in names if READERS.fullmatch(name)}
    if readers and any(map(programs.is_compiler, names - readers)):
        return f"{min(readers)} may make something of what a compiler wrote"
    objects = (log.decode(key[4:]) for key in unit.keys if key.startswith(OBJECT))
    if any(map(place.has, objects)):
        return "code of the workspace ran inside of a program"
    return ""


def _by_names(unit: UnitLog, place: Place) -> str:
    """A file may say the path of its workspace: copied to a clone, it still says that one."""
    whole = [record for record in unit.deeds if record.kind == log.NAMED]
    named = _named_in(unit, place) if whole else set()
    inside = {each for each in named if each != place.path}
    named |= {place.path, unit.words[1]}  # shells and compilers ask whether PWD is where they are
    for record in whole:
        path = normal(record.path)
        if record.flags or not (path in named or any(path.startswith(f"{x}/") for x in inside)):
            return f"it named {path.removeprefix(place.path + '/')} by the path of its workspace"
    return ""


def _outside(unit: UnitLog, analysed: Analysed, place: Place) -> str:
    """Near the workspace a path may have been found by going up from it, unless it is named."""
    near = place.path[: place.path.find("/", 1) + 1] or "/"
    odd = {
        each.path
        for each in (*analysed.facts, *analysed.before)
        if each.path.startswith(near) and not place.has(each.path) and not place.is_below(each.path)
    }
    named = _named_in(unit, place) if odd else set()
    for path in odd:
        if not any(path == each or path.startswith(each + "/") for each in named):
            return f"it asked for {path}, perhaps because of where it stood"
    return ""


def _named_in(unit: UnitLog, place: Place) -> set[str]:
    """Directories and files of which the step was told, or in which its programs are installed."""
    found: set[str] = set()
    for record in unit.deeds:
        is_known = record.kind == log.ENVIRONMENT and not record.flags & log.VARIABLES_IGNORED
        if record.kind == log.KEY or is_known:
            text = record.payload.decode(errors="surrogateescape")
            found.update(each.rstrip("/") for each in NAMED.findall(text))
        elif record.kind == log.PROGRAM:
            found.add(os.path.dirname(os.path.dirname(record.path)))
    return {each for each in found if len(each) > 1 and not place.is_below(each)}


def _in_what_it_made(
    analysed: Analysed, place: Place, bytes_of: Callable[[bytes], bytes | None]
) -> str:
    if place.is_in(analysed.text) or place.is_in(analysed.errors):
        return "what it said holds the path of its workspace"
    for output in analysed.outputs:
        name = output.path.removeprefix(place.path + "/")
        if name == output.path:
            return f"its output {name} is outside of its workspace"
        if place.is_in_text("/" + name):
            return f"the name of its output {name} holds the path of its workspace"
        what = output.hosted
        if what is None or output.kind not in (FILE, SYMLINK):
            continue
        data = what.link.encode(errors="surrogateescape") if output.kind == SYMLINK else None
        data = bytes_of(what.digest) if data is None else data
        if data is None or is_packed(data):
            return f"its output {name} may hold the path of its workspace, packed"
        if place.is_in(data):
            return f"its output {name} holds the path of its workspace"
    return ""


def is_packed(data: bytes) -> bool:
    """May texts be in there that are no bytes of it?"""
    if data.startswith(PACKED):
        return True
    if data.startswith(ELF) and _has_compressed_section(data):
        return True
    return data.startswith((ELF, b"!<arch>")) and any(mark in data for mark in PACKING)


def _has_compressed_section(data: bytes) -> bool:
    """Of an object of this machine's byte order; True also for others, of which it is unknown."""
    if len(data) < 64 or data[5] != 1:
        return True
    wide = data[4] == 2
    start = int.from_bytes(data[40:48] if wide else data[32:36], "little")
    size, count = (
        int.from_bytes(data[at : at + 2], "little") for at in ((58, 60) if wide else (46, 48))
    )
    if start and not count:  # too many for the head: the first section tells
        at = start + (32 if wide else 20)
        count = int.from_bytes(data[at : at + (8 if wide else 4)], "little")
    return any(
        int.from_bytes(data[at + 8 : at + 12], "little") & COMPRESSED
        for at in range(start, start + count * size, size or 1)
    )
