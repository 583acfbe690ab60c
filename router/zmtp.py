"""ZMTP 3, the server's half: what one peer says becomes messages, and nothing else.

    bytes, torn anywhere -> feed -> message() ... message() -> lists of frames
                                 -> `out`: greeting, READY, PONG; what has to be sent

In: whatever a peer sends. Out: whole messages of at most `limit_bytes` in `FRAMES_MAX` frames.
Never: memory that a peer only promised to fill (a length is checked before its bytes come), more
than one message and one piece of input kept, or an exception other than `Broken`. [pure]

Not libzmq: its ROUTER keeps any number of frames of an unfinished message, and 1,000 messages for
each connection. It takes connections until descriptors run out, and then polls at full speed. The
peers are libzmq's all the same, in the shards and in tests.
"""

from __future__ import annotations

from collections.abc import Sequence

FRAMES_MAX = 64
GREETING_BYTES = 64
GREETING = (
    b"\xff" + bytes(8) + b"\x7f"  # signature
    + b"\x03\x01"  # version
    + b"NULL".ljust(20, b"\0")
    + bytes(32)  # as-server, filler
)  # fmt: skip
COMMAND_BYTES_MAX = 4096  # metadata of a READY; longer is an attack
MORE, LONG, COMMAND = 1, 2, 4
PING_HEAD = b"\x04PING"
PING_CONTEXT_MAX = 16


class Broken(Exception):
    """The peer does not speak our language, or too much of it: the connection is of no use."""


def frame(body: bytes, flags: int = 0) -> bytes:
    """`body` as one frame."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | LONG,)) + len(body).to_bytes(8, "big") + body


def encode(frames: Sequence[bytes]) -> bytes:
    """A message of at least one frame, as bytes on the wire."""
    *first, last = frames
    return b"".join([*(frame(body, MORE) for body in first), frame(last)])


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value


HELLO = GREETING + frame(
    b"\x05READY" + _property(b"Socket-Type", b"ROUTER") + _property(b"Identity", b""), COMMAND
)


class Conversation:
    """What one peer said so far. Its memory is bounded by `limit_bytes` and one `feed`."""

    def __init__(self, limit_bytes: int) -> None:
        self.out = bytearray(HELLO)
        self._limit_bytes = limit_bytes
        self._input = bytearray()
        self._frames: list[bytes] = []  # of the message that is coming in
        self._taken_bytes = 0  # in them
        self._greeted = False
        self._ready = False

    @property
    def has_input(self) -> bool:
        """True while something was fed that no message was made of yet."""
        return bool(self._input)

    def feed(self, data: bytes) -> None:
        """Take in what the peer sent; only when `message` has nothing left to give."""
        self._input += data

    def message(self) -> list[bytes] | None:
        """The next whole message, or None: more bytes are needed.

        Raises:
            Broken: no further message will come.
        """
        if not self._greeted and not self._greeting():
            return None
        while (found := self._next_frame()) is not None:
            flags, body = found
            if flags & COMMAND:
                self._command(body)
                continue
            if not self._ready:
                raise Broken("a message before READY")
            self._frames.append(body)
            self._taken_bytes += len(body)
            if len(self._frames) > FRAMES_MAX:
                raise Broken("too many frames")
            if not flags & MORE:
                whole, self._frames, self._taken_bytes = self._frames, [], 0
                return whole
        return None

    def _greeting(self) -> bool:
        said = self._input
        # Judged as it comes: no need to wait for more of a peer that speaks something else.
        if said[:1] not in (b"", b"\xff") or (len(said) > 9 and not said[9] & 1):
            raise Broken("no ZMTP signature")
        if len(said) > 10 and said[10] < 3:
            raise Broken("an old ZMTP")
        if len(said) < GREETING_BYTES:
            return False
        if said[12:32] != GREETING[12:32]:
            raise Broken("another mechanism than NULL")
        del said[:GREETING_BYTES]
        self._greeted = True
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        said = self._input
        if not said:
            return None
        flags = said[0]
        if flags & ~(MORE | LONG | COMMAND) or flags & COMMAND and flags & MORE:
            raise Broken("bad frame flags")
        head = 9 if flags & LONG else 2
        if len(said) < head:
            return None
        size = int.from_bytes(said[1:head], "big")
        limit = COMMAND_BYTES_MAX if flags & COMMAND else self._limit_bytes - self._taken_bytes
        if size > limit:
            raise Broken("a frame too long")
        if len(said) < head + size:
            return None
        body = bytes(said[head : head + size])
        del said[: head + size]
        return flags, body

    def _command(self, body: bytes) -> None:
        if not self._ready:
            if not body.startswith(b"\x05READY"):
                raise Broken("not READY")
            self._ready = True
        elif body.startswith(PING_HEAD):
            context = body[len(PING_HEAD) + 2 :][:PING_CONTEXT_MAX]
            self.out += frame(b"\x04PONG" + context, COMMAND)
        elif body.startswith(b"\x05ERROR"):
            raise Broken("the peer gave up")
