"""Stand-ins for what the router stands between: an arena's region, and shards.

The shards are real pyzmq DEALERs on threads; the processes that the supervisor watches in their
place only sleep. So a test decides what a shard answers, and when it is dead.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import zmq

from velo.interpose.core import FlushResult
from velo.shards.wire import (
    MAGIC,
    READY,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_ok,
    encode_request,
)

TIMEOUT_MS = 10_000


class FakeRegion:
    """What the server asks of a Region."""

    def __init__(self, workspace: str, *, shards: int = 2, max_memory: int = 1 << 30) -> None:
        self.workspace = self.directory = workspace
        self.shards = shards
        self.max_memory = max_memory
        self.patterns = ("build/",)
        self.paused = False
        self.numbers = {"dirty_files": 0, "live_processes": 0}
        self.cold = 0
        self.refused = 0  # files that the disk does not take

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def lock_owner(self) -> int:
        return 0

    def scan(self) -> list[object]:
        return []

    def flush(self, *, sync: bool = False, timeout_ms: int = 0) -> FlushResult:
        return FlushResult(0, 0, 0, 0, self.refused, 28 if self.refused else 0)

    def statistics(self) -> dict[str, object]:
        names = (
            "used_bytes max_memory_bytes metadata_bytes directories symlinks unlinked dirty_bytes"
            " unstored_files writebacks evictions loads recoveries"
        ).split()
        return {
            **dict.fromkeys(names, 0),
            **self.numbers,
            "paused": self.paused,
            "files": {"backed": 0, "disk": 0, "cold": self.cold},
            "file_bytes": {"backed": 0, "disk": 0, "cold": 0},
            "slice_used_bytes": [0] * self.shards,
            "slice_limit_bytes": [self.max_memory // self.shards] * self.shards,
            "interposed": {"cc1": {"count": 3, "nanoseconds": 0}},
            "opaque": {},
            "raw": {},
            "escapes": {"opaque": 0, "direct": 1},
        }


class FakeShard:
    """A DEALER that says it is shard `index` and answers with `answer(request)` frames."""

    def __init__(
        self,
        socket_path: str,
        index: int,
        answer: Callable[[Request], list[bytes] | None] = lambda request: encode_ok(request.id),
    ) -> None:
        self.asked: list[Request] = []
        self._answer = answer
        self._stop = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, b"shard-%d" % index)
        self._socket.connect(f"ipc://{socket_path}")
        self._socket.send_multipart([MAGIC, READY, b"%d" % index])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def die(self) -> None:
        """Close the connection without another word."""
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._socket.poll(20):
                continue
            request = decode_request(self._socket.recv_multipart())
            self.asked.append(request)
            frames = self._answer(request)
            if frames is not None:
                self._socket.send_multipart(frames)


class Peer:
    """A client: a DEALER that sends any frames and decodes what comes back."""

    def __init__(self, socket_path: str) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.connect(f"ipc://{socket_path}")

    def ask(self, verb: str, *payload: bytes, timeout_ms: int = TIMEOUT_MS) -> Reply:
        id = uuid.uuid4().bytes[:8]
        self.socket.send_multipart(encode_request(Request(id, verb, payload)))
        reply = self.receive(timeout_ms)
        assert reply.id == id
        return reply

    def receive(self, timeout_ms: int = TIMEOUT_MS) -> Reply:
        assert self.socket.poll(timeout_ms), f"no reply within {timeout_ms} ms"
        return decode_reply(self.socket.recv_multipart())

    def close(self) -> None:
        self._context.destroy(linger=0)
