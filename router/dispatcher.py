"""The dispatcher: every request under way, the shards that have to answer it, and until when.

    ask() ---> ToShard, ToShard ...  then  answered() ... answered() ---> ToClient
                                           expired()                  ---> ToClient (error)
                                           lost(), found()            ---> ToShard again
                                           gave_up(), stopped()       ---> ToClient (error)

A request concerns one shard, one after the other until one can, or all at once: the table of verbs
(velo/shards/verbs.py) says which. A shard that died is simply asked again when it is back.

A verb that is `joined` is done once for all clients that ask while it is under way: they wait
together for the next one, which begins after they asked. So fifty builds that end at the same
moment, or a program that asks for a flush ten thousand times, cost two.

In: decoded requests and replies, and the time. Out: what to send. Never: a socket, a clock, a
request that is neither answered nor counted; at most `REQUESTS_MAX` are under way. [pure]
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from velo.shards.errors import BytesLost, UnknownVerb, VeloError
from velo.shards.verbs import NEVER_S, VERBS, Audience, Verb
from velo.shards.wire import (
    Reply,
    Request,
    encode_error,
    encode_ok,
    encode_request,
    shard_and_number,
)

from . import shard_map
from .errors import DeadlinePassed, NoSuchShard, Overloaded, ShardGone, ShardStopped

REQUESTS_MAX = 4096
NOTICES_MAX = 12  # frames in one answer


@dataclass(frozen=True, slots=True)
class ToShard:
    """Frames for one shard."""

    shard: int
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class ToClient:
    """The answer to one request."""

    client: Hashable
    request: Request
    frames: list[bytes]
    ok: bool


Outgoing = ToShard | ToClient


@dataclass(slots=True, eq=False)
class Pending:
    """One request under way, of one client or of several."""

    client: Hashable
    request: Request
    verb: Verb
    asked_at: float
    deadline: float
    others: list[tuple[Hashable, Request]] = field(default_factory=list)  # get the same answer
    waiting: dict[int, bytes] = field(default_factory=dict)  # shard: id we asked it under
    untried: list[int] = field(default_factory=list)
    replies: dict[int, Reply] = field(default_factory=dict)


class Dispatcher:
    """The requests of one server. Not shared by threads.

    Invariant: `_by_id` holds exactly the ids in all cases' `waiting`; `_parked` holds cases that
    wait for no shard yet, each behind the one of its verb in `_under_way`.
    """

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self._pending: set[Pending] = set()
        self._by_id: dict[bytes, tuple[Pending, int]] = {}
        self._under_way: dict[str, Pending] = {}  # of what is joined, the one under way
        self._parked: dict[str, Pending] = {}  # the one that follows, with all that asked meanwhile
        self._gone: dict[int, int] = {}
        self._asked = 0
        self.answered_count = 0
        self.expired_count = 0

    def ask(self, client: Hashable, request: Request, now: float) -> list[Outgoing]:
        """Begin `request`; what to send because of it.

        Raises:
            VeloError: it cannot be begun; nothing is kept of it, the caller answers.
        """
        verb = VERBS.get(request.verb)
        if verb is None or verb.audience is Audience.SERVER:
            raise UnknownVerb(request.verb)
        joins = verb.joined and not request.payload
        if joins and request.verb in self._parked:
            self._parked[request.verb].others.append((client, request))
            return []
        if len(self._pending) >= REQUESTS_MAX:
            raise Overloaded(limit=REQUESTS_MAX)
        first, untried = self._audience(verb, request)
        pending = Pending(client, request, verb, now, now + verb.deadline_s, untried=untried)
        if joins and request.verb in self._under_way:
            self._parked[request.verb] = pending
            return []
        if joins:
            self._under_way[request.verb] = pending
        self._pending.add(pending)
        return self._send(pending, first)

    def answered(self, shard: int, reply: Reply) -> list[Outgoing]:
        """A shard's reply came; late ones, and those to no request, are dropped."""
        pending, asked = self._by_id.get(reply.id, (None, -1))
        if pending is None or asked != shard:
            return []
        return self._take_reply(pending, shard, reply)

    def expired(self, now: float) -> list[Outgoing]:
        """Answer every request whose deadline is not after `now`."""
        out: list[Outgoing] = []
        late = [pending for pending in self._parked.values() if pending.deadline <= now]
        late += [pending for pending in self._pending if pending.deadline <= now]
        for pending in late:
            self.expired_count += 1
            if pending.verb.audience is Audience.PARTIAL:
                out += self._close(pending, self._joined(pending))
            else:
                waited = DeadlinePassed(
                    verb=pending.request.verb,
                    shards=sorted(pending.waiting),
                    waited_s=now - pending.asked_at,
                )
                out += self._close(pending, waited)
        return out

    def found(self, shard: int) -> list[Outgoing]:
        """`shard` is there (again): everything it still owes is asked once more."""
        self._gone.pop(shard, None)
        return [
            ToShard(shard, self._frames(pending, id))
            for id, (pending, asked) in self._by_id.items()
            if asked == shard
        ]

    def gave_up(self, shard: int, restarts: int) -> list[Outgoing]:
        """`shard` will not come back by itself: what waits for it is answered so, now and later."""
        self._gone[shard] = restarts
        out: list[Outgoing] = []
        for pending, asked in list(self._by_id.values()):
            if asked == shard and pending in self._pending:
                out += self._take_reply(pending, shard, self._gone_reply(shard))
        return out

    @property
    def waits(self) -> bool:
        """Some shard owes an answer."""
        return bool(self._by_id)

    def owing(self, asked_by: float) -> set[int]:
        """The shards that have not answered what they were asked until `asked_by`."""
        return {
            shard
            for pending in self._pending
            if pending.asked_at <= asked_by and pending.verb.stopped_s < NEVER_S
            for shard in pending.waiting
        }

    def stopped(self, shard: int, pid: int, stopped_s: float) -> list[Outgoing]:
        """`shard` has stood still for `stopped_s`: answer requests that wait no longer for it.

        What it says when it goes on comes too late, and is dropped.
        """
        out: list[Outgoing] = []
        reply = error_of(ShardStopped(index=shard, pid=pid))
        for pending, asked in list(self._by_id.values()):
            if asked == shard and pending in self._pending and pending.verb.stopped_s <= stopped_s:
                out += self._take_reply(pending, shard, reply)
        return out

    def next_deadline(self) -> float | None:
        """When `expired` has something to do next."""
        all_pending = (*self._pending, *self._parked.values())
        return min((pending.deadline for pending in all_pending), default=None)

    def statistics(self) -> dict[str, int]:
        """Counts for `velo status`."""
        return {
            "requests": self._asked,
            "answered": self.answered_count,
            "expired": self.expired_count,
            "under_way": len(self._pending),
            "parked": sum(1 + len(pending.others) for pending in self._parked.values()),
        }

    def check(self) -> None:
        """Assert the class invariant."""
        waiting = {
            id: (pending, shard)
            for pending in self._pending
            for shard, id in pending.waiting.items()
        }
        assert waiting == self._by_id, "ids asked for and ids waited for differ"
        assert all(pending.waiting for pending in self._pending), "a case that waits for nobody"
        assert self._parked.keys() <= self._under_way.keys(), "parked behind nothing"
        assert set(self._under_way.values()) <= self._pending, "what runs is not under way"

    def _audience(self, verb: Verb, request: Request) -> tuple[Iterable[int], list[int]]:
        if verb.audience in (Audience.ALL, Audience.PARTIAL):
            return range(self.shard_count), []
        shard, _ = shard_and_number(request.payload)
        if shard >= self.shard_count:
            raise NoSuchShard(shard=shard, shards=self.shard_count)
        if verb.audience is Audience.FIRST_ABLE:
            return [shard], list(shard_map.others(shard, self.shard_count))
        return [shard], []

    def _send(self, pending: Pending, shards: Iterable[int]) -> list[Outgoing]:
        out: list[Outgoing] = []
        chosen = list(shards)
        for shard in chosen:
            self._asked += 1
            id = self._asked.to_bytes(8, "little")
            pending.waiting[shard] = id
            self._by_id[id] = (pending, shard)
        for shard in chosen:
            if shard in self._gone:
                out += self._take_reply(pending, shard, self._gone_reply(shard))
            else:
                out.append(ToShard(shard, self._frames(pending, pending.waiting[shard])))
        return out

    def _frames(self, pending: Pending, id: bytes) -> list[bytes]:
        return encode_request(Request(id, pending.request.verb, pending.request.payload))

    def _gone_reply(self, shard: int) -> Reply:
        return error_of(ShardGone(index=shard, restarts=self._gone[shard]))

    def _take_reply(self, pending: Pending, shard: int, reply: Reply) -> list[Outgoing]:
        del self._by_id[pending.waiting.pop(shard)]
        pending.replies[shard] = reply
        if reply.error and pending.untried:
            return self._send(pending, [pending.untried.pop(0)])
        if pending.waiting:
            return []
        return self._close(pending, self._joined(pending))

    def _joined(self, pending: Pending) -> list[bytes] | VeloError:
        """One reply out of many: payload, or the error that tells most.

        SPACE: the last one asked decides for ok; when all refused, the home shard's reason.
        STATUS: one frame, a JSON list with null where a shard said nothing.
        SYNC, UNLOAD: the first shard's error, else what any shard has to say.
        Those two and BARRIER: what was lost, of all shards, before all else.
        The rest: the first shard's error, else the first shard's payload.
        """
        if pending.verb.audience is Audience.PARTIAL:
            return [_status_list(pending.replies, self.shard_count)]
        if pending.verb.audience is Audience.FIRST_ABLE:
            able = [reply for reply in pending.replies.values() if not reply.error]
            chosen = able[0] if able else next(iter(pending.replies.values()))
        else:
            ordered = [pending.replies[shard] for shard in sorted(pending.replies)]
            chosen = next((reply for reply in ordered if reply.error), ordered[0])
            lost = [reply.error for reply in ordered if reply.error and _is_loss(reply.error)]
            if lost:  # each is told once: none may be left out, and not the other trouble either
                messages = [message for _, message in (*lost, chosen.error or lost[0])]
                # Each shard's message ends with the other trouble, which is one for all.
                parts = "; ".join(messages).split("; ")
                return VeloError("; ".join(dict.fromkeys(parts)), code=BytesLost.code)
        if chosen.error:
            code, message = chosen.error
            return VeloError(message, code=code)
        if pending.verb.tells:
            said = (part for reply in ordered for part in reply.payload)
            return list(dict.fromkeys(said))[:NOTICES_MAX]
        return list(chosen.payload)

    def _close(self, pending: Pending, result: list[bytes] | VeloError) -> list[Outgoing]:
        for id in pending.waiting.values():
            del self._by_id[id]
        pending.waiting.clear()
        self._pending.discard(pending)
        out: list[Outgoing] = []
        for client, request in [(pending.client, pending.request), *pending.others]:
            self.answered_count += 1
            if isinstance(result, VeloError):
                frames = encode_error(request.id, result)
            else:
                frames = encode_ok(request.id, *result)
            out.append(ToClient(client, request, frames, ok=not isinstance(result, VeloError)))
        return out + self._next(pending)

    def _next(self, pending: Pending) -> list[Outgoing]:
        """`pending` is answered: begin what waited for its end."""
        verb = pending.request.verb
        if self._parked.get(verb) is pending:
            del self._parked[verb]
        if self._under_way.get(verb) is not pending:
            return []
        del self._under_way[verb]
        following = self._parked.pop(verb, None)
        if following is None:
            return []
        self._under_way[verb] = following
        self._pending.add(following)
        return self._send(following, self._audience(following.verb, following.request)[0])


def error_of(error: VeloError) -> Reply:
    """What stands for a shard's own answer."""
    return Reply(b"", (), (error.code, str(error)))


def _is_loss(error: tuple[int, str]) -> bool:
    return error[0] == BytesLost.code


def _status_list(replies: dict[int, Reply], shard_count: int) -> bytes:
    shards = []
    for index in range(shard_count):
        reply = replies.get(index)
        shards.append(None if reply is None or reply.error else _json(reply.payload))
    return json.dumps(shards).encode()


def _json(payload: tuple[bytes, ...]) -> object:
    try:
        return json.loads(payload[0])
    except (ValueError, IndexError):
        return None
