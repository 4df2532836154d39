"""Tests of lifetimes: nothing of a run stays in the server for ever."""

from __future__ import annotations

from taskexec.domain.program import Program, ProgramTask, RunOptions
from taskexec.store.connection import Connection
from taskexec.store.keys import run_key
from taskexec.store.runs import RedisRunStore


def _stored(connection: Connection, run_id: str) -> RedisRunStore:
    store = RedisRunStore(connection)
    task = ProgramTask(successors=(), pending=0, dispatch="cpu\tcpu\tnoop\t0\ta", spec=b"\n{}")
    store.put(
        Program(
            run_id=run_id,
            tasks=[task],
            template="\1\2\3\4\5\6\7",
            plan=b"plan",
            canvas=b"canvas",
            source="s",
            digest="d",
            options=RunOptions(retention_s=100),
        )
    )
    return store


def test_run_that_was_stored_and_never_started_expires(connection: Connection) -> None:
    _stored(connection, "never")

    assert 0 < connection.call("TTL", run_key("never", "meta")) <= 100


def test_started_run_does_not_expire(connection: Connection) -> None:
    _stored(connection, "started").start("started")

    assert connection.call("TTL", run_key("started", "meta")) == -1
    assert connection.call("TTL", run_key("started", "spec")) == -1


def test_evidence_that_comes_after_the_end_of_its_run_expires_with_it(connection: Connection) -> None:
    store = _stored(connection, "late")
    store.start("late")
    store.stop("late", kill=True)

    store.append_output("late", {"i": 0, "a": 1, "f": "stdout.log", "o": 0, "d": b"x"})

    assert 0 < connection.call("TTL", run_key("late", "output")) <= 100


def test_evidence_of_a_run_that_is_gone_is_dropped(connection: Connection) -> None:
    RedisRunStore(connection).append_output("gone", {"i": 0, "a": 1, "f": "stdout.log", "o": 0, "d": b"x"})

    assert connection.call("EXISTS", run_key("gone", "output")) == 0
