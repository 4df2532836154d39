"""The consumer looks for a server that went away soon and often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery.worker.consumer import Consumer

from taskexec.broker import make_app
from taskexec.runtime.consumer import PromptConsumer


class FakeConnection:
    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def ensure_connection(self, *_: Any, **options: Any) -> FakeConnection:
        self.asked = options
        return self


def test_pauses_between_two_tries_are_short() -> None:
    consumer: Any = PromptConsumer.__new__(PromptConsumer)
    consumer.__dict__.update(
        vars(SimpleNamespace(app=make_app("redis://127.0.0.1:1/0"), first_connection_attempt=False))
    )
    connection = FakeConnection()

    found = consumer.ensure_connected(connection)

    assert found is connection
    assert connection.asked["interval_start"] <= 0.5
    assert connection.asked["interval_max"] <= 2.0
    assert isinstance(consumer, Consumer)
