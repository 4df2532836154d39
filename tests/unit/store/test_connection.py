"""Addresses, scripts and lost connections."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from taskexec.errors import ConnectionLost, UsageError
from taskexec.store.connection import Connection, check_url, keep_trying


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://user:secret@[::1]:6379/2",
        "rediss://cache.example:6380/0",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=3",
    ],
)
def test_usable_address_is_returned_as_it_is(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", ["", "localhost:6379", "redis://", "amqp://localhost", "unix://", "http://localhost"])
def test_other_address_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)

    assert "redis://host:6379/0" in (caught.value.hint or "")


def test_refused_address_is_shown_without_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        check_url("amqp://me:secret@host")

    assert "secret" not in caught.value.message
    assert "***" in caught.value.message


def test_server_that_is_not_there_is_a_lost_connection(tmp_path: Path) -> None:
    connection = Connection(f"unix://{tmp_path / 'nothing.sock'}")

    for attempt in (
        connection.ping,
        lambda: connection.call("GET", "x"),
        lambda: connection.pipeline([("GET", "x")]),
        lambda: connection.script("renew", "tek:{r}", [1]),
    ):
        with pytest.raises(ConnectionLost) as caught:
            attempt()
        assert caught.value.exit_status == 3
        assert caught.value.__cause__ is not None


def test_call_is_repeated_until_the_server_answers() -> None:
    tries = count(1)

    def call() -> int:
        number = next(tries)
        if number < 4:
            raise ConnectionLost("gone")
        return number

    assert keep_trying(call, pause_s=0.0) == 4


def test_scripts_survive_a_server_that_has_forgotten_them(connection: Connection) -> None:
    connection.script("renew", "tek:{r}", ["w", 1, "0|1|w/d"])
    connection.call("FUNCTION", "FLUSH")

    assert connection.script("renew", "tek:{r}", ["w", 1, "0|1|w/d"]) == [0]


def test_scripts_go_alone_for_a_user_who_may_not_load_functions(connection: Connection) -> None:
    connection.call("FUNCTION", "FLUSH")
    connection.call("ACL", "SETUSER", "small", "on", "nopass", "~*", "+@all", "-function")
    small = Connection(connection.url.replace("unix://", "unix://small:any@"))
    try:
        answers = [small.script("renew", "tek:{r}", ["w", 1, "0|1|w/d"]) for _ in range(2)]
    finally:
        small.close()
        connection.call("ACL", "DELUSER", "small")

    assert answers == [[0], [0]]
    assert connection.call("FUNCTION", "LIST") == []


def test_server_without_memory_is_a_lost_connection_so_that_calls_are_repeated(connection: Connection) -> None:
    connection.call("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(ConnectionLost):
            connection.call("SET", "key", "value")
    finally:
        connection.call("CONFIG", "SET", "maxmemory", "0")


def test_other_errors_of_the_server_are_not_taken_for_a_lost_connection(connection: Connection) -> None:
    connection.call("SET", "text", "value")

    with pytest.raises(Exception, match="WRONGTYPE"):
        connection.call("HGET", "text", "field")
