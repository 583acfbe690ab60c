"""What can be asked of a server: one row a verb, for the router and for the shards.

    router/server.py   what the router answers by itself (SERVER)
    router/dispatcher.py     which shards it asks otherwise, and how long it waits for them
    shards/worker.py   which thread of a shard does it, and what the payload is

What a shard does is the function of `ops` that has the verb's name in small letters. Every verb may
be repeated harmlessly, so a shard that died is asked again. [pure]
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from .wire import STOPPED_S

NEVER_S = float("inf")  # what only that shard can do is worth all the time there is


class Audience(Enum):
    """Which processes answer."""

    SERVER = auto()  # the router, by itself
    ONE = auto()  # the shard that the payload names
    FIRST_ABLE = auto()  # that one, else the others, one after the other until one can
    ALL = auto()  # every shard
    PARTIAL = auto()  # every shard; one that does not answer in time is left out


class Thread(Enum):
    """Which thread of a shard does it."""

    MAIN = auto()  # milliseconds at most
    WORKER = auto()  # touches many files
    LOOP = auto()  # the loop itself: it waits for what others do, and handles requests meanwhile


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that can be asked."""

    name: str  # capital letters: the third frame of a request
    audience: Audience
    deadline_s: float = 0.0  # after which the router answers ETIMEDOUT; SERVER has none
    stopped_s: float = STOPPED_S  # as long a shard that somebody stopped (SIGSTOP) is waited for
    thread: Thread = Thread.MAIN
    numbered: bool = (
        False  # the payload is a shard and a number (`wire.shard_and_number`), else none
    )
    joined: bool = False  # all clients that ask while it is under way share the next one
    tells: bool = False  # the answer has what each shard wants the user to hear


VERBS = {
    verb.name: verb
    for verb in (
        Verb("HELLO", Audience.SERVER),
        Verb("STOP", Audience.SERVER),
        Verb("OPAQUE", Audience.SERVER),
        Verb("PAUSE", Audience.SERVER),
        Verb("RESUME", Audience.SERVER),
        Verb("LOAD", Audience.ONE, 60.0, NEVER_S, numbered=True),
        Verb("TETHER", Audience.ONE, 10.0, NEVER_S, numbered=True),
        Verb("WRITEBACK", Audience.ONE, 120.0, NEVER_S, numbered=True),
        Verb("SPACE", Audience.FIRST_ABLE, 60.0, thread=Thread.LOOP, numbered=True),
        Verb("BARRIER", Audience.ALL, 600.0, thread=Thread.WORKER, joined=True),
        Verb("SYNC", Audience.ALL, 1800.0, thread=Thread.WORKER, joined=True, tells=True),
        Verb("UNLOAD", Audience.ALL, 1800.0, thread=Thread.WORKER, joined=True, tells=True),
        Verb("STATUS", Audience.PARTIAL, 3.0, 0.0, joined=True),
    )
}
