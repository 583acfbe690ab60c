"""velo's ZMTP client over a socket, against real ZeroMQ sockets and peers that mean harm."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from support.zmtp_peers import (
    COMMAND,
    ID,
    LONG,
    OPENING,
    PEER_LIMIT_S,
    PING,
    READY,
    SHORT_MS,
    SOURCES,
    STRICT,
    TIMEOUT_MS,
    Driver,
    Script,
    command,
    dribble,
    echo,
    from_hex,
    greeting,
    meet,
    message,
    packed,
    pattern,
    receive_frame,
    receive_message,
    receive_opening,
    serving,
    until_gone,
    zmq_server,
)

# ---- real ZeroMQ sockets -------------------------------------------------------------------------

PAYLOADS = [[], ["-"], ["@1"], ["@255"], ["@256"], ["@70000"], ["@2000000"], ["@9", "-"] * 20]


@pytest.mark.parametrize("frames", PAYLOADS, ids=" ".join)
def test_a_router_gets_every_frame_and_its_reply_comes_back(driver, home, frames):
    with zmq_server(home / "s", echo):
        answer = driver.ask(home / "s", *frames, verb="BARRIER")

    bodies = [b"" if text == "-" else pattern(int(text[1:])) for text in frames]
    assert (answer.code, answer.reply) == (0, packed(b"BARRIER", *bodies))


def test_a_dealer_as_server_is_understood(driver: Driver, home: Path):
    def reply(_: zmq.Socket, frames: list[bytes]) -> list[bytes]:
        return [*frames[:2], b"ok", *frames[2:]]

    with zmq_server(home / "s", reply, kind=zmq.DEALER):
        answer = driver.ask(home / "s", "@3", verb="SPACE")

    assert (answer.code, answer.reply) == (0, packed(b"SPACE", pattern(3)))


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.PULL, zmq.REQ], ids=["PUB", "PULL", "REQ"])
def test_a_socket_that_serves_no_dealers_is_refused(driver: Driver, home: Path, kind: int):
    with zmq_server(home / "s", echo, kind=kind, requests=0):
        answer = driver.ask(home / "s")

    assert answer.code in (-errno.EPROTO, -errno.ECONNRESET)


def test_an_error_reply_of_a_router_is_its_code_and_message(driver: Driver, home: Path):
    def refuse(_: zmq.Socket, frames: list[bytes]) -> list[bytes]:
        return [*frames[:3], b"error", b"28", b"arena full: wanted 5 bytes; raise max_memory"]

    with zmq_server(home / "s", refuse, requests=2):
        answer = driver.ask(home / "s", "@12", verb="SPACE")
        without_room = driver.ask(home / "s", "@12", verb="SPACE", reply_size=0)

    assert (answer.code, answer.reply) == (28, b"arena full: wanted 5 bytes; raise max_memory")
    assert (without_room.code, without_room.reply) == (28, b"")


def test_replies_to_other_requests_are_ignored(driver: Driver, home: Path):
    def others_first(server: zmq.Socket, frames: list[bytes]) -> list[bytes]:
        peer, magic, request_id, *_ = frames
        server.send_multipart([peer, magic, bytes(8), b"ok", b"not yours"])
        server.send_multipart([peer, b"velo0", request_id, b"ok", b"not velo's"])
        return [peer, magic, request_id, b"ok", b"yours"]

    with zmq_server(home / "s", others_first):
        answer = driver.ask(home / "s")

    assert (answer.code, answer.reply) == (0, packed(b"yours"))


def test_a_router_that_only_answers_others_is_a_timeout(driver: Driver, home: Path):
    def other(_: zmq.Socket, frames: list[bytes]) -> list[bytes]:
        return [*frames[:2], b"somebody", b"ok"]

    with zmq_server(home / "s", other):
        answer = driver.ask(home / "s", timeout_ms=SHORT_MS)

    assert answer.code == -errno.ETIMEDOUT
    assert SHORT_MS <= answer.elapsed_ms < 10 * SHORT_MS


def test_a_router_with_heartbeats_hears_that_we_live(driver: Driver, home: Path):
    # Goal: PONG satisfies libzmq. Method: hold the reply back for several heartbeat timeouts,
    # watching for the disconnect that a client without PONG gets after the first.
    def hold(server: zmq.Socket, frames: list[bytes]) -> list[bytes]:
        monitor = server.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        disconnected = monitor.poll(600)
        server.disable_monitor()
        assert not disconnected
        return echo(server, frames)

    beats = [(zmq.HEARTBEAT_IVL, 30), (zmq.HEARTBEAT_TIMEOUT, 150), (zmq.HEARTBEAT_TTL, 1000)]
    with zmq_server(home / "s", hold, options=beats):
        answer = driver.ask(home / "s")

    assert answer.code == 0


@pytest.mark.parametrize("size", [0, 300, 70_000])
def test_fifty_processes_at_once_all_get_their_own_reply(plain_program, home, size: int):
    with zmq_server(home / "s", echo, requests=50):
        clients = [Driver(plain_program, "ask") for _ in range(50)]
        for number, client in enumerate(clients):
            client._process.stdin.write(f"{home}/s N{number} {TIMEOUT_MS} 100000 @{size}\n")
            client._process.stdin.flush()
        answers = [client._process.stdout.readline().split() for client in clients]
        for client in clients:
            client.close()

    expected = [packed(b"N%d" % number, pattern(size)) for number in range(50)]
    assert [int(words[0]) for words in answers] == [0] * 50
    assert [from_hex(words[1]) for words in answers] == expected


# ---- peers that mean harm ------------------------------------------------------------------------


def reply_to(request: list[bytes], *payload: bytes) -> bytes:
    return message(*request[:2], b"ok", *payload)


def test_a_peer_of_version_3_0_is_served(driver: Driver, home: Path):
    def old(connection: socket.socket) -> None:
        request = meet(connection, greeting(version=b"\3\0") + READY)
        connection.sendall(reply_to(request, b"old"))

    with serving(home / "s", old):
        answer = driver.ask(home / "s")

    assert (answer.code, answer.reply) == (0, packed(b"old"))


def test_bytes_that_come_one_by_one_make_a_reply(driver: Driver, home: Path):
    def slow(connection: socket.socket) -> None:
        dribble(connection, OPENING)
        receive_opening(connection)
        request = receive_message(connection)
        dribble(connection, PING + reply_to(request, b"hello", b"x" * 300))

    with serving(home / "s", slow):
        answer = driver.ask(home / "s")

    assert (answer.code, answer.reply) == (0, packed(b"hello", b"x" * 300))


REPLY_BYTES = len(message(b"velo1", ID, b"ok", b"hello"))


@pytest.mark.parametrize("leave", [socket.SHUT_WR, socket.SHUT_RDWR, None])
def test_a_peer_that_leaves_after_any_byte_is_a_reset_connection(driver, home, leave: int | None):
    def leaves_after(cut: int) -> Script:
        def script(connection: socket.socket) -> None:
            connection.sendall(OPENING[:cut])
            if cut >= len(OPENING):
                receive_opening(connection)
                reply = reply_to(receive_message(connection), b"hello")
                assert len(reply) == REPLY_BYTES
                connection.sendall(reply[: cut - len(OPENING)])
            if leave is not None:
                connection.shutdown(leave)
                until_gone(connection)

        return script

    cuts = range(len(OPENING) + REPLY_BYTES + 1)
    with serving(home / "s", *map(leaves_after, cuts)):
        codes = [driver.ask(home / "s", "@5").code for _ in cuts]

    assert codes == [-errno.ECONNRESET] * (len(cuts) - 1) + [0]


@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, len(OPENING) - 1, len(OPENING)])
def test_a_peer_that_falls_silent_is_a_timeout(driver: Driver, home: Path, cut: int):
    def silent(connection: socket.socket) -> None:
        connection.sendall(OPENING[:cut])
        until_gone(connection)

    with serving(home / "s", silent):
        answer = driver.ask(home / "s", timeout_ms=SHORT_MS)

    assert answer.code == -errno.ETIMEDOUT
    assert SHORT_MS <= answer.elapsed_ms < 10 * SHORT_MS


def test_no_time_is_a_timeout_at_once(driver: Driver, home: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "s"))
        listener.listen()
        answer = driver.ask(home / "s", timeout_ms=0)
    (home / "s").unlink()

    assert answer.code == -errno.ETIMEDOUT


@contextmanager
def full_backlog(path: Path) -> Iterator[None]:
    """A listener that accepts nobody, with as many waiting as it lets wait."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        stack.callback(path.unlink)
        listener.listen(0)
        with pytest.raises(BlockingIOError):
            for _ in range(100):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        yield


def test_a_full_backlog_is_a_timeout(driver: Driver, home: Path):
    with full_backlog(home / "s"):
        answer = driver.ask(home / "s", timeout_ms=SHORT_MS)

    assert answer.code == -errno.ETIMEDOUT
    assert SHORT_MS <= answer.elapsed_ms < 10 * SHORT_MS


@pytest.mark.parametrize(
    "flood, code",
    [
        pytest.param(command(b"NOISE", b"x" * 200), errno.EPROTO, id="commands"),
        pytest.param(PING, errno.EPROTO, id="pings"),
        pytest.param(message(b"velo1", b"87654321", b"ok"), errno.EPROTO, id="messages"),
        pytest.param(b"x" * 4096, errno.ETIMEDOUT, id="one endless frame"),
    ],
)
def test_a_flood_ends_at_a_limit_or_at_the_deadline(driver, home, flood: bytes, code: int):
    def pour(connection: socket.socket) -> None:
        meet(connection)
        if flood[:1] == b"x":
            connection.sendall(struct.pack(">BQ", LONG, 1 << 62))
        try:
            while True:
                connection.sendall(flood * 16)
        except (BrokenPipeError, ConnectionResetError):
            pass

    with serving(home / "s", pour):
        answer = driver.ask(home / "s", timeout_ms=1000)

    assert answer.code == -code
    assert answer.elapsed_ms < 5000


def test_a_ping_is_answered_while_we_wait(driver: Driver, home: Path):
    pongs = []

    def pinging(connection: socket.socket) -> None:
        request = meet(connection)
        for context in (b"", b"abc", b"0123456789abcdef", b"0123456789abcdefTOO LONG"):
            connection.sendall(command(b"PING", b"\0\x0a" + context))
            pongs.append(receive_frame(connection))
        connection.sendall(reply_to(request))

    with serving(home / "s", pinging):
        answer = driver.ask(home / "s")

    contexts = [b"", b"abc", b"0123456789abcdef", b"0123456789abcdef"]
    assert answer.code == 0
    assert pongs == [(COMMAND, b"\4PONG" + context) for context in contexts]


def test_a_ping_in_the_middle_of_our_request_is_answered_after_it(driver: Driver, home: Path):
    # Our payload is larger than the socket's buffer, so we are in mid-message when it comes.
    heard = []

    def pinging(connection: socket.socket) -> None:
        connection.sendall(OPENING)
        receive_opening(connection)
        connection.sendall(PING)
        request = receive_message(connection)
        heard.append(len(request[-1]))
        heard.append(receive_frame(connection)[1])
        connection.sendall(reply_to(request))

    with serving(home / "s", pinging):
        answer = driver.ask(home / "s", "@3000000")

    assert answer.code == 0
    assert heard == [3_000_000, b"\4PONGcontext"]


def test_a_peer_that_stops_reading_is_a_timeout(driver: Driver, home: Path):
    gone = threading.Event()

    def deaf(connection: socket.socket) -> None:
        connection.sendall(OPENING)
        assert gone.wait(PEER_LIMIT_S)

    with serving(home / "s", deaf):
        answer = driver.ask(home / "s", "@3000000", timeout_ms=SHORT_MS)
        gone.set()

    assert answer.code == -errno.ETIMEDOUT
    assert answer.elapsed_ms < 10 * SHORT_MS


def test_a_refusal_in_the_middle_of_our_request_is_heard(driver: Driver, home: Path):
    def refuse(connection: socket.socket) -> None:
        connection.sendall(OPENING)
        receive_opening(connection)
        head = [receive_frame(connection)[1] for _ in range(2)]
        connection.shutdown(socket.SHUT_RD)
        connection.sendall(message(*head, b"error", b"28", b"too much"))
        assert connection.recv(1 << 22, socket.MSG_WAITALL) is not None

    with serving(home / "s", refuse):
        answer = driver.ask(home / "s", "@3000000")

    assert (answer.code, answer.reply) == (28, b"too much")


@pytest.mark.parametrize("kind", ["nothing", "no directory", "below a file", "stale"])
def test_where_nobody_listens_the_connection_is_refused(driver: Driver, home: Path, kind: str):
    path = home / "s"
    if kind == "stale":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "below a file":
        path.touch()
        path = path / "s"
    elif kind == "no directory":
        path = home / "missing" / "s"

    answer = driver.ask(path)

    (home / "s").unlink(missing_ok=True)
    assert answer.code == -errno.ECONNREFUSED


def test_a_path_of_107_bytes_works_and_a_longer_one_is_an_error(driver: Driver, home: Path):
    path = home / ("s" * (107 - len(str(home)) - 1))

    with serving(path, lambda peer: peer.sendall(reply_to(meet(peer)))):
        answer = driver.ask(path)

    assert answer.code == 0
    assert driver.ask(f"{path}s").code == -errno.ENAMETOOLONG


def test_a_verb_that_is_too_long_is_an_error(driver: Driver, home: Path):
    assert driver.ask(home / "s", verb="V" * 17).code == -errno.EINVAL


# ---- circumstances of the host process -----------------------------------------------------------


def slow_answer(connection: socket.socket) -> None:
    """Slow enough for hundreds of half-millisecond alarms."""
    request = meet(connection)
    connection.sendall(PING)
    assert receive_frame(connection)[1] == b"\4PONGcontext"
    dribble(connection, reply_to(request, b"x" * 300))


def looking_at_descriptors(seen: dict[int, int]) -> Script:
    """Note the open flags of every descriptor of the client, while it waits for us."""

    def script(connection: socket.socket) -> None:
        request = meet(connection)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        client = Path("/proc", str(struct.unpack("3i", credentials)[0]))
        for link in (client / "fd").iterdir():
            flags = (client / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0]
            seen[int(link.name)] = int(flags, 8)
        connection.sendall(reply_to(request))

    return script


@contextmanager
def driver_in(program: Path, mode: str) -> Iterator[Driver]:
    driver = Driver(program, mode)
    yield driver
    driver.close()


def test_descriptors_0_to_2_are_never_taken(checked_program: Path, home: Path):
    seen: dict[int, int] = {}
    script = looking_at_descriptors(seen)
    with driver_in(checked_program, "closed") as driver, serving(home / "s", script):
        answer = driver.ask(home / "s")

    assert answer.code == 0
    assert seen and min(seen) > 2


def test_an_exec_of_another_thread_does_not_inherit_the_socket(driver: Driver, home: Path):
    seen: dict[int, int] = {}
    with serving(home / "s", looking_at_descriptors(seen)):
        answer = driver.ask(home / "s")

    assert answer.code == 0
    assert set(seen) > {0, 1, 2}
    assert all(flags & os.O_CLOEXEC for number, flags in seen.items() if number > 2)


def test_signals_that_interrupt_every_call_change_nothing(checked_program: Path, home: Path):
    with driver_in(checked_program, "alarm") as driver, serving(home / "s", slow_answer):
        answer = driver.ask(home / "s", "@1000000")

    assert (answer.code, answer.reply) == (0, packed(b"x" * 300))


@pytest.mark.parametrize("where", ["connecting", "reading"])
def test_signals_do_not_move_the_deadline(checked_program: Path, home: Path, where: str):
    silent = full_backlog(home / "s") if where == "connecting" else serving(home / "s", until_gone)
    with driver_in(checked_program, "alarm") as driver, silent:
        answer = driver.ask(home / "s", timeout_ms=SHORT_MS)

    assert answer.code == -errno.ETIMEDOUT
    assert SHORT_MS <= answer.elapsed_ms < 10 * SHORT_MS


def test_a_vfork_child_may_ask(checked_program: Path, home: Path):
    with driver_in(checked_program, "vfork") as driver, serving(home / "s", slow_answer):
        answer = driver.ask(home / "s", "@10")

    assert (answer.code, answer.reply) == (0, packed(b"x" * 300))


def test_the_stack_stays_under_4_kib(plain_program: Path, home: Path):
    with driver_in(plain_program, "stack") as driver, serving(home / "s", slow_answer):
        answer = driver.ask(home / "s", "@70000")

    assert answer.code == 0
    assert 0 < answer.stack_bytes < 4096


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_objects_need_nothing_of_libc_but_memory_functions(tmp_path: Path, source: Path):
    allowed = {"memcpy", "memset", "memcmp", "bcmp", "strlen", "__stack_chk_fail"}
    subprocess.run(["cc", *STRICT, "-O2", "-fPIC", "-c", source, "-o", tmp_path / "o"], check=True)

    listing = subprocess.check_output(["nm", "-u", tmp_path / "o"], text=True)

    needed = {line.split()[-1] for line in listing.splitlines()}
    assert {name for name in needed if not name.startswith("velo_")} <= allowed | {
        "_GLOBAL_OFFSET_TABLE_"
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_every_compiler_is_content(tmp_path: Path, compiler: str, level: str, source: Path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")

    subprocess.run(
        [compiler, *STRICT, level, "-fPIC", "-c", source, "-o", tmp_path / "o"], check=True
    )
