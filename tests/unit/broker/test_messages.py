"""Tests of the message template: filled in as the scripts do it, Celery accepts what comes out."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from celery.app.amqp import AMQP
from celery.worker.request import Request
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual import Channel, Message

from taskexec.broker import HEADER, make_app, message_template
from taskexec.compiler.program import _label
from taskexec.domain.protocol import PROTOCOL
from taskexec.domain.resources import Route

RUN = "20260131-235959-abcdef"


def fill(label: str, *, members: str = "[123456,1]", task: str = "tek.attempt", identity: str = f"{RUN}.123456") -> str:
    """Do what `publish` in `lua/prelude.lua` does with the template."""
    values = {
        "\1": identity,
        "\2": "shell",
        "\3": label,
        "\4": members,
        "\5": "1767225600000000",
        "\6": "distributed",
        "\7": task,
    }
    return re.sub("[\1-\7]", lambda match: values[match[0]], message_template(RUN))


def label_of(text: str) -> str:
    """Return a label as it stands in a dispatch record."""
    return _label(text)


def received(text: str) -> Any:
    """Return the message as kombu's Redis channel hands it to a worker."""
    codecs: Any = Channel.codecs
    channel: Any = SimpleNamespace(
        decode_body=lambda body, encoding=None: codecs[encoding].decode(body) if encoding else body,
        body_encoding=None,
    )
    return Message(json.loads(text), channel=channel, accept={"application/json"})


def test_filled_message_is_the_request_of_an_attempt() -> None:
    app = make_app("redis://localhost:1/0")

    @app.task(name="tek.attempt", bind=True)
    def attempt(self: Any) -> None:
        return None

    message = received(fill("t"))
    request: Any = Request(message, app=app, hostname="w", eventer=None, task=attempt, headers=message.headers)

    assert (request.id, request.name, message.headers["task"]) == (f"{RUN}.123456", "tek.shell", "tek.attempt")
    assert request.delivery_info["routing_key"] == "distributed"
    header = {"v": PROTOCOL, "run": RUN, "members": [[123456, 1]], "tek_at": 1767225600000000}
    assert request._context.tek == header
    assert (request.args, request.kwargs) == ([], {})


def test_header_is_celerys_protocol_two() -> None:
    app = make_app("redis://localhost:1/0")
    theirs = AMQP(app).as_task_v2("i", "tek.attempt", (), {})

    headers = json.loads(fill("t"))["headers"]

    ours_only = set(headers) - set(theirs.headers)
    assert ours_only == {HEADER}
    assert {"id", "task", "lang", "root_id", "argsrepr", "retries", "eta"} <= set(headers)


def test_batch_message_names_all_members() -> None:
    headers = json.loads(fill("3 tasks from t", members="[0,1],[1,2],[7,1]", task="tek.batch"))["headers"]

    assert headers[HEADER]["members"] == [[0, 1], [1, 2], [7, 1]]
    assert headers["task"] == "tek.batch"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=600))
def test_message_is_small_and_valid_whatever_the_task_is_called(task_id: str) -> None:
    text = fill(label_of(task_id))

    assert len(text.encode()) < 1000
    assert task_id.startswith(json.loads(text)["headers"]["argsrepr"])
    assert orjson.loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "task_id", ['"', "\\", "%1", "%%", "\1\2\3\4\5\6\7", "\0", "\x7f" * 600, "\x01" * 600, "💥" * 600, "\u2028"]
)
def test_hostile_label_reaches_people_as_it_is(task_id: str) -> None:
    shown = json.loads(fill(label_of(task_id)))["headers"]["argsrepr"]

    assert shown
    assert task_id.startswith(shown)


def test_markers_stand_nowhere_else() -> None:
    counts = {marker: message_template(RUN).count(marker) for marker in "\1\2\3\4\5\6\7"}

    assert counts == {"\1": 3, "\2": 1, "\3": 1, "\4": 1, "\5": 1, "\6": 1, "\7": 1}


@pytest.mark.parametrize("route", list(Route))
def test_worker_consumes_the_route_that_messages_name(route: Route) -> None:
    app = make_app("redis://localhost:1/0", routes=[route])

    assert [queue.name for queue in app.conf.task_queues] == [str(route)]
