"""Peers that need nothing are not counted: who is inside too, and who does not look into trees."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import Velo

BOTH_INSIDE = """
import os, socket, sys, tempfile
kind, datagrams = sys.argv[1], sys.argv[1].startswith("datagram")
family = socket.AF_INET if kind.endswith("port") else socket.AF_UNIX
server = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
names = {"port": ("127.0.0.1", 0), "abstract": f"\\0velo-{os.getpid()}"}
server.bind(names.get(kind.removeprefix("datagram-"), "build/s"))
if not datagrams:
    server.listen(5)
if os.fork() == 0:
    for _ in range(3):
        client = socket.socket(family, server.type)
        client.connect(server.getsockname())
        client.sendall(b"hello")
        client.close()
    os._exit(0)
for _ in range(3):
    (server if datagrams else server.accept()[0]).recv(10)
os.wait()
"""


@pytest.fixture
def place(workspace) -> Path:
    where = workspace()
    (where / "velo.toml").write_text('[live]\naggressive_paths = ["build/"]\n')
    (where / "build").mkdir()
    return where


def peers(velo: Velo, place: Path) -> int:
    return json.loads(velo.run("status", "--json", cwd=place).stdout)["escapes"]["peer"]


@pytest.mark.parametrize("kind", ["path", "abstract", "port", "datagram-path", "datagram-port"])
def test_two_processes_inside_talk_and_nothing_is_counted(velo: Velo, place: Path, kind: str):
    done = velo.exec("python3", "-c", BOTH_INSIDE, kind, cwd=place)

    assert done.returncode == 0
    assert peers(velo, place) == 0


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "agent")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def answer() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(10) == b"end":
                    return

    thread = threading.Thread(target=answer)
    thread.start()
    yield path
    with socket.socket(socket.AF_UNIX) as last:
        last.connect(path)
        last.sendall(b"end")
    thread.join()
    server.close()


ASK = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b'key')"
)


@pytest.mark.parametrize(
    ("variable", "prefix"),
    [("SSH_AUTH_SOCK", ""), ("DBUS_SESSION_BUS_ADDRESS", "unix:path="), ("SOMETHING", "")],
)
def test_an_agent_or_a_bus_is_not_counted(velo, place, agent, monkeypatch, variable, prefix):
    monkeypatch.setenv(variable, prefix + agent)

    done = velo.exec("python3", "-c", ASK, agent, cwd=place)

    assert done.returncode == 0
    assert peers(velo, place) == (1 if variable == "SOMETHING" else 0)
    assert os.path.exists(agent)


@pytest.mark.parametrize(("stdin", "counted"), [(False, 0), (True, 1)])
def test_a_socket_as_output_is_nobody_and_one_that_is_read_too_is_a_peer(
    velo, place, stdin: bool, counted: int
):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [velo.executable, "exec", "--", "sh", "-c", "echo x > build/x; echo said"],
            cwd=place,
            stdin=theirs if stdin else subprocess.DEVNULL,
            stdout=theirs,
            timeout=60,
        )
        said = ours.recv(100)

    velo.workspaces.add(place)
    assert (done.returncode, said) == (0, b"said\n")
    assert peers(velo, place) == counted
