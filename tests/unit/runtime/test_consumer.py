"""The consumer looks for a server that went away soon and often, and leaves what it does not understand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.consumer import Consumer

from taskexec.broker import HEADER, make_app
from taskexec.domain.protocol import PROTOCOL
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


class FakeMessage:
    def __init__(self, headers: dict[str, Any]) -> None:
        self.headers = headers
        self.is_put_back = False

    def reject_log_error(self, *_: object, requeue: bool) -> None:
        self.is_put_back = requeue


class FakeTimer:
    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_after(self, _: float, call: Any) -> None:
        self.due.append(call)


def receiver(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any], list[int], FakeTimer]:
    """Return a consumer's handler of messages, what it received, versions it met, and its timer."""
    received: list[Any] = []
    met: list[int] = []
    monkeypatch.setattr(Consumer, "create_task_handler", lambda *_, **__: received.append)
    consumer: Any = PromptConsumer.__new__(PromptConsumer)
    timer = FakeTimer()
    consumer.__dict__.update(app=SimpleNamespace(meet=met.append), timer=timer, connection_errors=())
    return consumer.create_task_handler(), received, met, timer


@pytest.mark.parametrize("header", [{"v": PROTOCOL}, {"v": PROTOCOL + 1}, {}])
def test_messages_of_own_and_neighbouring_versions_are_taken(
    header: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, received, met, _ = receiver(monkeypatch)
    message = FakeMessage({HEADER: header})

    receive(message)

    assert (received, met) == ([message], [])


def test_ordinary_celery_messages_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    receive, received, _, _ = receiver(monkeypatch)
    message = FakeMessage({"task": "celery.ping"})

    receive(message)

    assert received == [message]


def test_message_of_an_unknown_version_is_put_back_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    receive, received, met, timer = receiver(monkeypatch)
    message = FakeMessage({HEADER: {"v": PROTOCOL + 2}})

    receive(message)
    assert (received, met, message.is_put_back) == ([], [PROTOCOL + 2], False)

    timer.due[0]()
    assert message.is_put_back
