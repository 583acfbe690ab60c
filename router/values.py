"""What settings may say, each by a function: the value as it was written, to what it means.

In: a text, or what TOML has for it. Out: a value of `config.Settings`. Never: anything but a
ValueError, whose message says what was expected. [pure]
"""

from __future__ import annotations

import os
from typing import Any

from .units import parse_size

REPLAY_MODES = ("off", "record", "on", "verify")
ON_A_TERMINAL = "terminal"
SHARDS_MAX = 64  # VELO_SHARDS_MAX of the core
PATTERNS_MAX = 64  # VELO_PATTERNS_MAX
PATTERN_BYTES_MAX = 250
IGNORED_CHARS_MAX = 1000  # IGNORED_BYTES of key.c
MEMORY_BYTES_MIN = 2_000_000  # tables, the library and the first names are 1.5 MB
MEMORY_BYTES_MAX = 1 << 50


def memory(value: Any) -> int:
    size_bytes = parse_size(value)
    if size_bytes < MEMORY_BYTES_MIN:
        raise ValueError(f"{value!r} is below the least, 2MB")
    if size_bytes > MEMORY_BYTES_MAX:
        raise ValueError(f"{str(value)[:20]!r} is more than 1 PiB")
    return size_bytes


def shards(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 1 <= int(value) <= SHARDS_MAX:
        raise ValueError(f"{value!r} is not a number from 1 to {SHARDS_MAX}")
    return int(value)


def switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("0", "1", "false", "true"):
        raise ValueError(f"{value!r} is neither true nor false")
    return value in ("1", "true")


def replay_mode(value: Any) -> str:
    if value not in REPLAY_MODES:
        raise ValueError(f"{str(value)[:20]!r} is none of {', '.join(REPLAY_MODES)}")
    return str(value)


def _items(value: Any, what: str) -> list[str]:
    """A list of texts, or one text with colons between them."""
    items = [each for each in value.split(":") if each] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(each, str) for each in items):
        raise ValueError(f"{value!r} is not a list of {what}")
    return list(items)


def programs(value: Any) -> tuple[str, ...]:
    items = _items(value, 'programs such as ["protoc", "my-*"]')
    if any(not each or "/" in each or "\0" in each for each in items):
        raise ValueError(f"{value!r}: a program's name has no '/' and is not empty")
    return tuple(dict.fromkeys(items))


def variables(value: Any) -> tuple[str, ...]:
    items = _items(value, 'variables such as ["BUILD_NUMBER", "CI_*"]')
    names = [each.removesuffix("*").replace("_", "a") for each in items]
    if not all(name.isascii() and name.isalnum() for name in names):
        raise ValueError(f"{value!r}: names have letters, digits, '_', and perhaps '*' at the end")
    if len(":".join(items)) > IGNORED_CHARS_MAX:
        raise ValueError(f"{value!r}: more than {IGNORED_CHARS_MAX} characters")
    return tuple(dict.fromkeys(items))


def directories(value: Any) -> tuple[str, ...]:
    items = _items(value, 'directories such as ["~/.cache/ccache"]')
    if any(os.path.normpath(each) in (".", "/", "~") or "\0" in each for each in items):
        raise ValueError(f"{value!r}: a whole workspace, home or machine is no cache")
    return tuple(dict.fromkeys(items))


def summary(value: Any) -> bool | None:
    if value == ON_A_TERMINAL:
        return None
    try:
        return switch(value)
    except ValueError:
        raise ValueError(f"{value!r} is none of true, false, {ON_A_TERMINAL!r}") from None


def directory(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is not a directory's path")
    path = os.path.expanduser(value)
    if not path.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return os.path.normpath(path)


def patterns(value: Any) -> tuple[str, ...]:
    items = value.split(":") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise ValueError(f'{value!r} is not a list of directories such as ["build/", "target/"]')
    if len(items) > PATTERNS_MAX:
        raise ValueError(f"{len(items)} directories, at most {PATTERNS_MAX}")
    return tuple(dict.fromkeys(pattern(item) for item in items))


def pattern(item: Any) -> str:
    if not isinstance(item, str) or not item.strip("/"):
        raise ValueError(f"{item!r} names no directory")
    parts = item.strip("/").split("/")
    if parts[0] == "~":
        raise ValueError(f"{item!r} is not below the workspace")
    if any(part in ("", ".", "..") for part in parts) or any(c in item for c in "*?[\0\n"):
        raise ValueError(f"{item!r} is not a plain directory name; no wildcards, '.' or '..'")
    if len(os.fsencode(item)) > PATTERN_BYTES_MAX:
        raise ValueError(f"{item[:40]!r}... is longer than {PATTERN_BYTES_MAX} bytes")
    return ("/" if item.startswith("/") else "") + "/".join(parts) + "/"
