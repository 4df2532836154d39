"""A wire carries bytes both ways, and does what a dead link does while it is cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from taskexec.chaos import Direction, Wire

PATIENCE_S = 10.0
NOTHING_S = 0.15


class Echo:
    """A server that answers each line in capitals and remembers what came."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.came = threading.Semaphore(0)
        self.lines: list[bytes] = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self.lines.append(line)
                    self.came.release()
                    connection.sendall(line.upper())
            except OSError:
                pass
        self.ended.release()

    def wait(self) -> bool:
        return self.came.acquire(timeout=PATIENCE_S)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def wire(echo: Echo) -> Iterator[Wire]:
    with Wire("127.0.0.1", echo.port) as wire:
        yield wire


@pytest.fixture
def client(wire: Wire) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", wire.port), timeout=PATIENCE_S) as client:
        yield client


def ask(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(100)


def assert_nothing_comes(client: socket.socket) -> None:
    client.settimeout(NOTHING_S)
    with pytest.raises(TimeoutError):
        client.recv(100)
    client.settimeout(PATIENCE_S)


def test_whole_wire_carries_both_ways(client: socket.socket) -> None:
    assert ask(client, b"one\n") == b"ONE\n"
    assert ask(client, b"two\n") == b"TWO\n"


def test_wire_carries_more_than_a_chunk(client: socket.socket) -> None:
    line = b"x" * 300_000 + b"\n"
    sender = threading.Thread(target=client.sendall, args=(line,))
    sender.start()
    with client.makefile("rb") as answers:
        answer = answers.readline()
    sender.join(PATIENCE_S)

    assert answer == line.upper()


@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.TO_SERVER])
def test_cut_towards_the_server_holds_what_is_sent_until_it_is_healed(
    wire: Wire, client: socket.socket, echo: Echo, direction: Direction
) -> None:
    ask(client, b"one\n")
    wire.cut(direction)

    client.sendall(b"two\n")
    assert_nothing_comes(client)
    held = list(echo.lines)
    wire.heal()

    assert held == [b"one\n"]
    assert client.recv(100) == b"TWO\n"


def test_cut_towards_the_worker_lets_through_what_is_sent_and_holds_the_answer(
    wire: Wire, client: socket.socket, echo: Echo
) -> None:
    ask(client, b"one\n")
    echo.wait()
    wire.cut(Direction.TO_WORKER)

    client.sendall(b"two\n")
    assert echo.wait()
    assert_nothing_comes(client)
    wire.heal()

    assert client.recv(100) == b"TWO\n"


def test_connection_made_while_the_wire_is_cut_works_once_it_is_healed(wire: Wire, echo: Echo) -> None:
    wire.cut(Direction.TO_WORKER)
    with socket.create_connection(("127.0.0.1", wire.port), timeout=PATIENCE_S) as client:
        client.sendall(b"late\n")
        assert_nothing_comes(client)
        assert echo.lines == []

        wire.heal()

        assert client.recv(100) == b"LATE\n"


def test_end_of_a_connection_takes_the_way_of_the_bytes(wire: Wire, client: socket.socket, echo: Echo) -> None:
    ask(client, b"one\n")
    wire.cut(Direction.TO_SERVER)
    client.sendall(b"last\n")
    client.close()
    assert not echo.ended.acquire(timeout=NOTHING_S)

    wire.heal()

    assert echo.ended.acquire(timeout=PATIENCE_S)
    assert echo.lines == [b"one\n", b"last\n"]


def test_heal_with_reset_loses_what_was_held_and_resets_connections(
    wire: Wire, client: socket.socket, echo: Echo
) -> None:
    ask(client, b"one\n")
    wire.cut()
    client.sendall(b"two\n")

    wire.heal(reset=True)

    try:
        answer = client.recv(100)
    except ConnectionResetError:
        answer = b""
    assert answer == b""
    assert echo.lines == [b"one\n"]
    with socket.create_connection(("127.0.0.1", wire.port), timeout=PATIENCE_S) as other:
        assert ask(other, b"three\n") == b"THREE\n"


def test_connection_to_a_server_that_is_away_ends(wire: Wire, echo: Echo) -> None:
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()

    with socket.create_connection(("127.0.0.1", wire.port), timeout=PATIENCE_S) as client:
        try:
            answer = client.recv(100)
        except ConnectionResetError:
            answer = b""

    assert answer == b""


def test_delay_holds_up_and_ends(wire: Wire, client: socket.socket) -> None:
    ask(client, b"one\n")
    wire.delay(0.4)
    client.sendall(b"two\n")
    assert_nothing_comes(client)

    wire.delay(0.0)

    assert client.recv(100) == b"TWO\n"
    assert ask(client, b"three\n") == b"THREE\n"


def test_wire_says_whether_it_is_cut(wire: Wire) -> None:
    before = wire.is_cut
    wire.cut(Direction.TO_WORKER)
    during = wire.is_cut
    wire.heal()

    assert (before, during, wire.is_cut) == (False, True, False)


def test_closed_wire_refuses_connections_and_may_be_closed_again(echo: Echo) -> None:
    wire = Wire("127.0.0.1", echo.port)
    wire.start()
    wire.close()
    wire.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", wire.port), timeout=PATIENCE_S)
