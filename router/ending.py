"""How a server ends: from serving over the last flush to an arena that is left or removed.

    SERVING --stop, a signal, idle--> FLUSHING --flushed--> REMOVED  all on disk, no process inside
       ^                                 |  |-------------> LEFT     it is not, or one is
       +-------- velo stop refused ------+  +-- a second signal, the arena vanished --> LEFT

*Cleanly*: no process is inside, everything is in the store and on disk, and the server's caller may
remove the arena. *Leaving it*: a process is inside, or the disk refused, or the user was in a
hurry; then the arena stays, the kernel keeps every byte, and the next server adopts it.

In: what happened, and when the last flush was answered what it said. Out: the flush that is asked
for, the answer to `velo stop`, and why the arena stays. Never: an end that removes the only copy of
anything; a `velo stop` without an answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from velo.interpose.core import Region
from velo.shards.errors import BytesLost, VeloError, named
from velo.shards.wire import Request, encode_error, encode_ok

from . import kept, sessions
from .arena import Arena
from .errors import ArenaVanished, FlushNotEnded, InUse, Leaving, NotStopped


class State(Enum):
    """Where a server is in its life."""

    SERVING = auto()  # commands may come in
    FLUSHING = auto()  # none may; the last flush is under way
    LEFT = auto()  # it ends, and the arena stays
    REMOVED = auto()  # it ends, and its caller removes the arena


class Ending:
    """The end of one server; what its loop hears of it comes here. One thread.

    Invariant: `left` is set exactly in LEFT; the door of the arena is open exactly in SERVING.
    """

    def __init__(
        self,
        arena: Arena,
        region: Region,
        *,
        store: str,
        flush: Callable[[], None],
        reply: Callable[[Any, list[bytes]], None],
        say: Callable[[str], None],
    ) -> None:
        self.state = State.SERVING
        self.left: VeloError | None = None  # why the arena stays
        self._arena = arena
        self._region = region
        self._store = store
        self._flush = flush  # asks the shards for the last flush; a VeloError says why not
        self._reply = reply
        self._say = say
        self._stop: tuple[Any, Request] | None = None  # the client and its `velo stop`, to answer
        self._force = False  # they said --force
        self._told: list[bytes] = []  # what they should hear all the same
        self._done: list[str] = []  # what was done for the last flush, which they should hear too
        self._lost: list[str] = []  # sentences: what was removed from memory, by path

    @property
    def done(self) -> bool:
        """Nothing is left to do but to end."""
        return self.state in (State.LEFT, State.REMOVED)

    # ---- what begins it -----------------------------------------------------------------------

    def stop(self, client: Any, request: Request) -> None:
        """`velo stop`: `client` is answered when it is decided.

        Raises:
            Leaving: it ends already.
        """
        if self.state is not State.SERVING:
            raise Leaving
        self._force = request.payload == (b"force",)
        self._stop = client, request
        inside = self._inside()
        if inside is not None and not self._force:
            self._refuse(inside)
        else:
            self._begin("velo stop")

    def signalled(self, name: str) -> None:
        """A signal that ends a server came; the second one does not wait for the flush."""
        if self.state is State.SERVING:
            self._inside()
            self._begin(name)
        elif self.state is State.FLUSHING:
            self._say("in a hurry: leaving the arena in place")
            self._leave("a second signal came")

    def idle(self, why: str = "nobody uses it") -> None:
        """No client used the server for long, or can: it ends, unless a process is inside."""
        if self._inside() is None:
            self._begin(why)
        else:
            sessions.opened(self._arena)

    def hears(self, notice: str) -> None:
        """What was done for the last flush; the client that asked for the end should hear of it."""
        self._done.append(notice)

    def vanished(self) -> None:
        """The arena was removed: there is nothing to flush."""
        self.left = ArenaVanished(path=self._arena.directory)
        self.state = State.LEFT

    # ---- how it goes on -----------------------------------------------------------------------

    def flushed(self, frames: list[bytes], *, ok: bool) -> None:
        """The last flush was answered with `frames`."""
        if self.done:
            return
        reason = self._why_left(frames, ok=ok)
        if reason is None:
            self.state = State.REMOVED
            self._answer()
        else:
            self._not_clean(reason)

    def _begin(self, why: str) -> None:
        """No command is let in any more: flush everything, and wait for `flushed`."""
        self.state = State.FLUSHING
        self._done = []
        self._say(f"ending ({why}): flushing")
        try:
            self._flush()
        except VeloError as error:
            self._not_clean(str(error))

    def _inside(self) -> InUse | None:
        """Close the door; an error when a process is still inside."""
        pids = sessions.close(self._arena)
        live = int(self._region.statistics()["live_processes"])
        count = max(live, len(pids))
        return InUse(count=count, pids=pids) if count else None

    def _why_left(self, frames: list[bytes], *, ok: bool) -> str | None:
        """Why the arena has to stay, now that the last flush was answered; None: it may go.

        A fault of the store, a manifest or a shard keeps no arena when the tree is whole.
        """
        refusal = None if ok else frames[4].decode(errors="replace")
        durable, lost = (True, []) if ok else kept.flush_what_is_left(self._region, self._store)
        self._told = [*map(os.fsencode, self._done), *(frames[3:] if ok else [])]
        if lost:
            self._lost.append(str(BytesLost(paths=sorted(lost))))
        found = kept.examine(self._region, self._store)
        if refusal is not None and int(frames[3]) == BytesLost.code:
            self._lost.append(found.beside(refusal))
            refusal = None if durable else "the disk refused"
        if found.files and not (self._force and found.only_lost):
            if refusal is None:
                return found.sentence()
            return f"{found.sentence()}: {found.beside(refusal, int(frames[3]))}"
        if found.lost:
            self._told.append(os.fsencode(f"dropped, as asked: {named(found.lost)}"))
        elif refusal is not None and not durable:
            return refusal
        elif refusal is not None:
            self._told.append(os.fsencode(f"everything is on disk, but {refusal}"))
        pids = sessions.close(self._arena) or sessions.alive(self._arena)
        live = self._region.statistics()["live_processes"]
        if (pids or live) and not self._force:
            return f"{max(len(pids), live)} processes still run in it"
        return None

    # ---- what becomes of it -------------------------------------------------------------------

    def _not_clean(self, reason: str) -> None:
        """Something keeps the arena: `velo stop` without --force fails, and the server goes on."""
        if self._stop is not None and not self._force:
            lost, self._lost = self._lost, []
            self._refuse(NotStopped(reason=reason, lost=lost))
        else:
            self._leave(reason)

    def _leave(self, reason: str) -> None:
        self.left = FlushNotEnded(path=self._arena.directory, reason=reason)
        self.state = State.LEFT
        self._answer()

    def _refuse(self, error: VeloError) -> None:
        assert self._stop is not None
        client, request = self._stop
        self._stop, self.state = None, State.SERVING
        sessions.opened(self._arena)  # before the answer: its reader may come in at once
        self._reply(client, encode_error(request.id, error))

    def _answer(self) -> None:
        for notice in [*map(os.fsdecode, self._told), *self._lost]:
            self._say(notice)
        if self._stop is not None:
            client, request = self._stop
            self._reply(client, self._frames_of_the_end(request.id))

    def _frames_of_the_end(self, id: bytes) -> list[bytes]:
        """What was lost comes before all else: the tree is not what the build made of it."""
        if self._lost:
            told = [*map(os.fsdecode, self._told), *([str(self.left)] if self.left else [])]
            return encode_error(id, VeloError("; ".join(self._lost + told), code=BytesLost.code))
        if self.left is not None:
            return encode_error(id, self.left)
        return encode_ok(id, *self._told)
