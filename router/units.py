"""Sizes and durations as people write them, and back.

In: `8GB`, `512MiB`, `1073741824`; `30s`, `1.5min`, `250ms`. Out: whole bytes, seconds.
A bare number is bytes, or seconds. `kB MB GB TB` are powers of 1000 and `KiB MiB GiB TiB` (also
`K M G T`) of 1024, as disks and `dd` have it; case does not matter. [pure]
"""

from __future__ import annotations

import re

_SIZES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _SIZES |= {f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power, _letter: 1024**_power}
_DURATIONS = {
    "ms": 0.001,
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_SIZE_OR_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str | int) -> int:
    """Bytes in `text`.

    Raises:
        ValueError: it is no size; the message says what is expected.
    """
    return int(_parse(text, _SIZES, "a size such as 8GB, 512MiB or a number of bytes"))


def parse_duration(text: str | int | float) -> float:
    """Seconds in `text`.

    Raises:
        ValueError: it is no duration; the message says what is expected.
    """
    return _parse(text, _DURATIONS, "a duration such as 30s, 5min, 250ms or a number of seconds")


def format_size(size_bytes: int) -> str:
    """`size_bytes` with three or more significant digits in the largest binary unit below it."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}"


def format_count(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`; `1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def format_duration(duration_s: float) -> str:
    """`duration_s` in the unit a person would say it in."""
    if duration_s < 1:
        return f"{duration_s * 1000:.0f} ms"
    if duration_s < 120:
        return f"{duration_s:g} s"
    if duration_s < 7200:
        return f"{duration_s / 60:g} min"
    return f"{duration_s / 3600:g} h"


def _parse(text: str | int | float, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{text!r} is not {wanted}")
    match = _SIZE_OR_TIME.fullmatch(str(text))
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not {wanted}")
    number = match[1]
    return (float(number) if "." in number else int(number)) * factor
