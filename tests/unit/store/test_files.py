"""Tests of fetching through the server: pieces in order, nothing that stays, requests that make no sense."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from taskexec.store.connection import Connection
from taskexec.store.files import MOST_BYTES, FileChannel, FilePiece, FileRequest, new_reader
from taskexec.store.keys import fetch_key, fetched_key


def request(**fields: Any) -> FileRequest:
    known: dict[str, Any] = {"run_id": "r", "sha256": "0" * 64, "offset": 5, "length": 10, "reader": new_reader()}
    return FileRequest(**(known | fields))


def test_request_reaches_its_spool_and_the_answer_its_reader(connection: Connection) -> None:
    channel, asked = FileChannel(connection), request()

    channel.ask("spool", asked)
    got = channel.next_request("spool", wait_s=1.0)
    channel.answer(asked, b"\n\0data")

    assert got == asked
    assert channel.next_request("other", wait_s=0.01) is None
    assert channel.answer_to(asked.reader, wait_s=1.0) == FilePiece(5, b"\n\0data")
    assert channel.answer_to(asked.reader, wait_s=0.01) is None


def test_error_is_told_instead_of_data(connection: Connection) -> None:
    channel, asked = FileChannel(connection), request()

    channel.answer(asked, b"", error="it is\nnot here")

    assert channel.answer_to(asked.reader, wait_s=1.0) == FilePiece(5, b"", "it is not here")


def test_neither_requests_nor_answers_stay(connection: Connection) -> None:
    channel, asked = FileChannel(connection), request()

    channel.ask("spool", asked)
    channel.answer(asked, b"data")

    lifetimes = [connection.call("TTL", key) for key in (fetch_key("spool"), fetched_key(asked.reader))]
    assert all(0 < lifetime <= 60 for lifetime in lifetimes)


def test_requests_that_nobody_answers_are_bounded(connection: Connection) -> None:
    channel = FileChannel(connection)

    for offset in range(1010):
        channel.ask("spool", request(offset=offset))

    assert connection.call("LLEN", fetch_key("spool")) == 1000


@pytest.mark.parametrize(
    "fields",
    [{"offset": -1}, {"length": 0}, {"length": MOST_BYTES + 1}, {"reader": "x"}, {"reader": "../" + "0" * 32}],
)
def test_request_that_makes_no_sense_is_dropped(connection: Connection, fields: dict[str, Any]) -> None:
    channel = FileChannel(connection)

    channel.ask("spool", request(**fields))

    assert channel.next_request("spool", wait_s=0.1) is None


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"{}", orjson.dumps({"run_id": "r", "offset": "x"})])
def test_request_of_another_form_is_dropped(connection: Connection, body: bytes) -> None:
    connection.call("RPUSH", fetch_key("spool"), body)

    assert FileChannel(connection).next_request("spool", wait_s=0.1) is None
