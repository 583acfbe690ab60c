"""What the tests of velo's ZMTP client share: the driver that asks, and peers that answer.

The client is C; `zmtp_driver.c` is compiled with ASan and UBSan, and told what to ask line by line.
Peers wait for what they need to see and never sleep; where silence is the point, the client's own
deadline ends the test.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

import zmq

HERE = Path(__file__).parents[1] / "interpose"
INTERPOSE = HERE.parents[1] / "interpose"
SOURCES = [INTERPOSE / "wire/zmtp.c", INTERPOSE / "wire/zmtp_codec.c"]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(INTERPOSE)]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

PEER_LIMIT_S = 60  # a peer or driver that takes longer is stuck
TIMEOUT_MS = 15_000  # for requests that are expected to succeed
SHORT_MS = 150  # for requests that are expected to time out
SIOCOUTQ = 0x5411

MORE, LONG, COMMAND = 1, 2, 4
ID = b"12345678"  # what the driver's `feed` uses

# ---- the peer's words ----------------------------------------------------------------------------


def frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) > 255 or flags & LONG:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return struct.pack("BB", flags, len(body)) + body


def message(*bodies: bytes) -> bytes:
    return b"".join(frame(body, MORE) for body in bodies[:-1]) + frame(bodies[-1])


def command(name: bytes, data: bytes = b"") -> bytes:
    return frame(bytes([len(name)]) + name + data, COMMAND)


def prop(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def greeting(*, version: bytes = b"\3\1", mechanism: bytes = b"NULL") -> bytes:
    return b"\xff" + bytes(8) + b"\x7f" + version + mechanism.ljust(20, b"\0") + bytes(32)


READY = command(b"READY", prop(b"Socket-Type", b"ROUTER") + prop(b"Identity", b""))
OPENING = greeting() + READY


def packed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack("=I", len(body)) + body for body in bodies)


def pattern(size: int) -> bytes:
    """What the driver sends for `@size`."""
    return bytes(i * 7 & 255 for i in range(256)) * (size // 256) + bytes(
        i * 7 & 255 for i in range(size % 256)
    )


# ---- the driver ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What `velo_request` gave: 0, a positive code or -errno; and how it went."""

    code: int
    reply: bytes
    elapsed_ms: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class Fed:
    """What the codec alone made of the peer's bytes; `consumed` when they came one by one."""

    result: int
    code: int
    consumed: int
    reply: bytes
    said: bytes


def from_hex(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)


class Driver:
    """One running `zmtp_driver` in one mode; a line in, a line out."""

    def __init__(self, program: Path, mode: str) -> None:
        self._process = subprocess.Popen(
            [program, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(PEER_LIMIT_S) == 0

    def line(self, line: str) -> list[str]:
        watchdog = threading.Timer(2 * PEER_LIMIT_S, self._process.kill)
        watchdog.start()
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        words = self._process.stdout.readline().split()
        watchdog.cancel()
        assert words, "the driver died; its words are on stderr"
        return words

    def ask(
        self,
        path: Path | str,
        *frames: str,
        verb: str = "STATUS",
        timeout_ms: int = TIMEOUT_MS,
        reply_size: int = 1 << 21,
    ) -> Answer:
        code, reply, *numbers = self.line(
            " ".join([str(path), verb, str(timeout_ms), str(reply_size), *frames])
        )
        return Answer(int(code), from_hex(reply), *map(int, numbers))

    def feed(self, peer: bytes, *, reply_size: int = 4096) -> Fed:
        result, code, consumed, reply, said = self.line(f"{reply_size} {peer.hex()}")
        return Fed(int(result), int(code), int(consumed), from_hex(reply), from_hex(said))


def compile_driver(to: Path, *options: str) -> Path:
    subprocess.run(
        ["cc", *STRICT, *options, HERE / "zmtp_driver.c", *SOURCES, "-o", to], check=True
    )
    return to


# ---- peers ---------------------------------------------------------------------------------------

Script = Callable[[socket.socket], object]


@contextmanager
def serving(path: Path, *scripts: Script) -> Iterator[None]:
    """A raw peer at `path` that plays one script per connection; what fails there fails here."""
    failures: list[BaseException] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    listener.settimeout(PEER_LIMIT_S)

    def play() -> None:
        try:
            for script in scripts:
                connection, _ = listener.accept()
                connection.settimeout(PEER_LIMIT_S)
                with connection:
                    script(connection)
        except BaseException as failure:  # raised below, in the test's own thread
            failures.append(failure)
            listener.close()

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        thread.join(2 * PEER_LIMIT_S)
        listener.close()
        path.unlink()
    assert not failures, failures[0]


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, f"the client left after {len(data)} of {count} bytes"
        data += piece
    return data


def receive_frame(connection: socket.socket) -> tuple[int, bytes]:
    flags = receive(connection, 1)[0]
    size = receive(connection, 8 if flags & LONG else 1)
    return flags, receive(connection, int.from_bytes(size, "big"))


def receive_message(connection: socket.socket) -> list[bytes]:
    bodies = []
    while True:
        flags, body = receive_frame(connection)
        assert not flags & COMMAND, body
        bodies.append(body)
        if not flags & MORE:
            return bodies


def receive_opening(connection: socket.socket) -> tuple[bytes, bytes]:
    return receive(connection, 64), receive_frame(connection)[1]


def meet(connection: socket.socket, opening: bytes = OPENING) -> list[bytes]:
    """Shake hands and return the request's frames."""
    connection.sendall(opening)
    receive_opening(connection)
    return receive_message(connection)


def until_gone(connection: socket.socket) -> None:
    """Say nothing more, read nothing wrong, until the client has left."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass


def dribble(connection: socket.socket, data: bytes) -> None:
    """Send byte by byte, each only after the client has read the one before."""
    deadline = time.monotonic() + PEER_LIMIT_S
    for i in range(len(data)):
        connection.sendall(data[i : i + 1])
        while struct.unpack("i", ioctl(connection, SIOCOUTQ, bytes(4)))[0]:
            assert time.monotonic() < deadline, "the client stopped reading"
            os.sched_yield()


@contextmanager
def zmq_server(
    path: Path,
    answer: Callable[[zmq.Socket, list[bytes]], list[bytes] | None],
    *,
    kind: int = zmq.ROUTER,
    requests: int = 1,
    options: Sequence[tuple[int, int]] = (),
) -> Iterator[None]:
    """A real socket at `path` that answers so many requests with what `answer` returns."""
    failures: list[BaseException] = []
    context = zmq.Context()
    server = context.socket(kind)
    for option, value in [(zmq.RCVTIMEO, PEER_LIMIT_S * 1000), *options]:
        server.setsockopt(option, value)
    server.bind(f"ipc://{path}")

    def serve() -> None:
        try:
            for _ in range(requests):
                reply = answer(server, server.recv_multipart())
                if reply is not None:
                    server.send_multipart(reply)
        except BaseException as failure:  # raised below, in the test's own thread
            failures.append(failure)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(2 * PEER_LIMIT_S)
        context.destroy(linger=0)  # monitors too, whose last events nobody reads
        path.unlink()  # libzmq leaves it
    assert not failures, failures[0]


def echo(_: zmq.Socket, frames: list[bytes]) -> list[bytes]:
    """A ROUTER's reply: the request's verb and payload, to whom it came from."""
    peer, magic, request_id, *rest = frames
    return [peer, magic, request_id, b"ok", *rest]


HEAD = (b"velo1", ID)
PING = command(b"PING", b"\0\x0acontext")
