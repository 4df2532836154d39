"""An embedded server for a whole test session, on a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from taskexec.errors import ServerMissing
from taskexec.store.connection import Connection
from taskexec.store.embedded import EmbeddedServer, ServerProgram, find_server


@pytest.fixture(scope="session")
def server_program() -> ServerProgram:
    """The server program of this machine; without one, tests are skipped on a laptop and fail in CI."""
    try:
        return find_server()
    except ServerMissing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{error.message}; {error.hint}")


@pytest.fixture(scope="session")
def embedded_server(
    server_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """A running server with an empty data folder; ours alone, so that tests may flush it."""
    with EmbeddedServer(server_program, tmp_path_factory.mktemp("server"), appendfsync="no") as server:
        yield server


@pytest.fixture
def connection(embedded_server: EmbeddedServer) -> Iterator[Connection]:
    """A connection to the session's server, which is empty."""
    connection = Connection(embedded_server.url)
    connection.call("FLUSHDB")
    yield connection
    connection.close()
