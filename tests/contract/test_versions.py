"""The keys of a run carry the version of the protocol."""

from __future__ import annotations

from support.stages import ServerStage, Stage

from taskexec.domain.protocol import FIRST_PROTOCOL, PROTOCOL, understands
from taskexec.store.connection import Connection
from taskexec.store.keys import run_key


def test_run_is_of_this_version(run) -> None:
    play = run(())

    assert play.store.protocol(play.run_id) == PROTOCOL


def test_run_that_is_gone_is_of_the_first_version(stage: Stage) -> None:
    assert stage.store.protocol("gone") == FIRST_PROTOCOL


def test_keys_without_a_version_are_of_the_first_and_others_are_known_by_theirs(connection: Connection) -> None:
    store = ServerStage(connection).store
    connection.call("HSET", run_key("old", "meta"), "run", "old")
    connection.call("HSET", run_key("new", "meta"), "protocol", PROTOCOL + 2)

    assert store.protocol("old") == FIRST_PROTOCOL
    assert not understands(store.protocol("new"))
