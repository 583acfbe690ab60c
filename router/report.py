"""`velo status`: one JSON object, and the same for eyes.

In: what the arena, the router and the shards each know. Out: an object with stable names, and
lines of text made from it alone. Never: a number that is not in the object. [pure]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .units import format_duration, format_size

NAMES_SHOWN = 12
SCHEMA = 2  # of the status object: raised when a key gets another name or meaning


def assemble(
    *,
    hello: Mapping[str, Any],
    uptime_s: float,
    daemon: bool,
    arena: str,
    statistics: Mapping[str, Any],
    processes: Sequence[Mapping[str, Any]],
    shards: Sequence[Mapping[str, Any] | None],
    dispatcher: Mapping[str, int],
    sessions: Sequence[int],
) -> dict[str, Any]:
    """The status object out of its sources; see `velo status --help` for its parts."""
    s = statistics
    return {
        "schema": SCHEMA,
        "workspace": hello["workspace"],
        "server": {
            "pid": hello["pid"],
            "version": hello["version"],
            "arena": arena,
            "uptime_s": round(uptime_s, 3),
            "daemon": daemon,
            "paused": bool(s["paused"]),
            "settings": hello["settings"],
            "requests": dict(dispatcher),
        },
        "memory": {
            "used_bytes": s["used_bytes"],
            "max_bytes": s["max_memory_bytes"],
            "metadata_bytes": s["metadata_bytes"],
        },
        "files": {
            state: {"count": s["files"][state], "bytes": s["file_bytes"][state]}
            for state in s["files"]
        },
        "directories": s["directories"],
        "symlinks": s["symlinks"],
        "unlinked": s["unlinked"],
        "dirty": {
            "files": s["dirty_files"],
            "bytes": s["dirty_bytes"],
            "unstored_files": s["unstored_files"],
        },
        "writebacks": s["writebacks"],
        "evictions": s["evictions"],
        "loads": s["loads"],
        "recoveries": s["recoveries"],
        "sessions": list(sessions),
        "processes": {
            "live": s["live_processes"],
            "interposed": dict(s["interposed"]),
            "opaque": dict(s["opaque"]),
            "raw": dict(s["raw"]),
        },
        "escapes": dict(s["escapes"]),
        "shards": [
            {
                **process,
                "used_bytes": s["slice_used_bytes"][index],
                "limit_bytes": s["slice_limit_bytes"][index],
                "answers": shards[index] is not None,
                "worker": shards[index],
            }
            for index, process in enumerate(processes)
        ],
    }


def lines(status: Mapping[str, Any]) -> Iterator[str]:
    """`status` for a terminal."""
    server, memory, dirty = status["server"], status["memory"], status["dirty"]
    yield f"workspace   {status['workspace']}"
    paused = ", flushing paused" if server["paused"] else ""
    yield (
        f"server      pid {server['pid']}, velo {server['version']},"
        f" up {format_duration(max(1, round(server['uptime_s'])))}{paused}"
    )
    yield (
        f"memory      {format_size(memory['used_bytes'])} of {format_size(memory['max_bytes'])}"
        f" ({_percent(memory['used_bytes'], memory['max_bytes'])}),"
        f" names {format_size(memory['metadata_bytes'])}"
    )
    yield "files       " + ", ".join(
        f"{state} {count['count']} ({format_size(count['bytes'])})"
        for state, count in status["files"].items()
    )
    yield f"dirty       {dirty['files']} files, {format_size(dirty['bytes'])}"
    yield (
        f"traffic     {status['writebacks']} writebacks, {status['evictions']} evictions,"
        f" {status['loads']} loads, {status['recoveries']} recoveries"
    )
    yield f"running     {status['processes']['live']} processes, {len(status['sessions'])} commands"
    yield "interposed  " + _names(status["processes"]["interposed"])
    yield "opaque      " + _names(status["processes"]["opaque"], timed=True)
    yield "raw         " + _names(status["processes"]["raw"])
    yield "escapes     " + (
        ", ".join(f"{reason} {count}" for reason, count in status["escapes"].items() if count)
        or "none"
    )
    yield from _shard_lines(status["shards"])


def _shard_lines(shards: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for shard in shards:
        state = "" if shard["answers"] else "  no answer"
        if shard["stopped"]:
            state = f"  stopped ('kill -CONT {shard['pid']}' lets it go on){state}"
        if shard["given_up"]:
            state = "  given up"
        yield (
            f"shard {shard['index']:<5} {format_size(shard['used_bytes'])}"
            f" of {format_size(shard['limit_bytes'])}"
            f"  pid {shard['pid'] or '-'}  restarts {shard['restarts']}{state}"
        )
    for message in _troubles(shards):
        yield f"trouble     {message}"
    for message in _notices(shards):
        yield f"notice      {message}"


def _troubles(shards: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the shards cannot do at the moment, each sentence once."""
    found = [(shard["worker"] or {}).get("trouble") for shard in shards]
    return list(dict.fromkeys(trouble["message"] for trouble in found if trouble))


def _names(counts: Mapping[str, Mapping[str, int]], *, timed: bool = False) -> str:
    """Programs by name, the most frequent first; `timed`: with what they cost altogether."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1]["count"], item[0]))
    shown = [
        f"{name} {count['count']}" + (f" ({count['nanoseconds'] / 1e9:.2f} s)" if timed else "")
        for name, count in ordered[:NAMES_SHOWN]
    ]
    if len(ordered) > NAMES_SHOWN:
        shown.append(f"and {len(ordered) - NAMES_SHOWN} more")
    return ", ".join(shown) or "none"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _notices(shards: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was set aside or made anew, each thing once."""
    found = [text for shard in shards for text in (shard["worker"] or {}).get("notices", ())]
    return list(dict.fromkeys(found))
