"""Scripts are functions of a library, or are sent one by one where there is none: the same happens either way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import redis
from support.plays import Play
from support.programs import Spec
from support.stages import ServerStage

from taskexec.domain.fit import READY, Ask, Option, agent_trait, route_trait
from taskexec.store import connection as sending
from taskexec.store.connection import Connection
from taskexec.store.keys import TRAITS as TRAITS_KEY
from taskexec.store.nodes import RedisNodes

TRAITS = frozenset({READY, agent_trait("noop"), route_trait("cpu")})
TOTAL = [4000, 1000, 100, 4]
MORE = "\n".join(f"local further_{number}" for number in range(15))
"""Locals that the shared part may get before anybody has to think of it: Lua has 200 in a function."""


def wants(cpus: int) -> Spec:
    return Spec(ask=Ask((Option(cpus, 0, 0, 0, 0, exclusive=False),)).encode())


@contextmanager
def user(connection: Connection, *rules: str) -> Iterator[Connection]:
    """Connect as another user of the server, who may do what the rules say."""
    connection.call("ACL", "SETUSER", "other", "reset", "on", ">word", "allchannels", *rules)
    other = Connection(f"unix://other:word@{urlsplit(connection.url).path}")
    try:
        yield other
    finally:
        other.close()
        connection.call("ACL", "DELUSER", "other")


@pytest.mark.parametrize("name", sorted(sending._sources()[1]))
def test_each_script_can_be_sent_alone_and_grow(connection: Connection, name: str) -> None:
    shared = sending._sources()[0]

    connection.call("SCRIPT", "LOAD", sending._alone(name).replace(shared, f"{shared}\n{MORE}"))


def test_library_can_grow(connection: Connection) -> None:
    name, source = sending._library()

    loaded = connection.call("FUNCTION", "LOAD", "REPLACE", f"{source}\n{MORE}".replace(name, "tek_growing"))

    connection.call("FUNCTION", "DELETE", loaded)


def test_run_is_carried_out_without_functions(connection: Connection) -> None:
    with user(connection, "allkeys", "+@all", "-fcall", "-function") as other:
        stage = ServerStage(other)
        stage.join("w1", TRAITS, TOTAL)
        play = Play(stage, "run", [Spec(retries=1), wants(3000), Spec(after=(0, 1))])

        play.won((0, 1))
        play.fail((0, 1))
        play.do((0, 2), (1, 1), (2, 1))

        assert play.states() == {0: "S2", 1: "S1", 2: "S1"}
        assert (stage.nodes()[0].free, stage.used()) == (TOTAL, {})


def test_next_life_of_a_run_that_begins_elsewhere_is_not_taken_for_the_last_one(connection: Connection) -> None:
    stage = ServerStage(connection)
    stage.join("w1", TRAITS, TOTAL)
    play = Play(stage, "run", [wants(9000)])
    play.store.stop("run", kill=True)
    play.store.remove("run")

    with user(connection, "allkeys", "+@all", "-fcall", "-function") as other:
        stage.join("w1", TRAITS - {READY}, TOTAL)
        play = Play(ServerStage(other), "run", [wants(1000)])
    stage.join("w1", TRAITS, TOTAL)

    assert play.stage is not stage
    assert stage.nodes()[0].free == [3000, 1000, 100, 3]


def test_call_that_may_not_read_the_workers_leaves_them_to_others(connection: Connection) -> None:
    stage = ServerStage(connection)
    stage.join("w1", TRAITS, TOTAL)
    play = Play(stage, "run", [wants(4000), wants(4000)])
    play.won((0, 1))
    with user(connection, "allkeys", "+@all") as other:
        connection.call("ACL", "SETUSER", "other", "resetkeys", "~tek:{*", "~tek:[^t]*", "~tek:total")
        assert TRAITS_KEY == "tek:traits"
        stage.join("w2", TRAITS - {READY}, TOTAL)
        connection.call("SET", "tek:sum", connection.call("GET", "tek:sum") + b"7")  # so that all is read anew
        with pytest.raises(redis.exceptions.ResponseError, match="permissions"):
            RedisNodes(other).place()

    play.do((0, 1))

    assert play.states() == {0: "S1", 1: "Q1"}
