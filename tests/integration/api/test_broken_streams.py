"""The client's streams of events over connections that break."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taskexec import Client, TaskStatus
from taskexec.errors import Refused


class _Breaking(BaseHTTPRequestHandler):
    """Tells of one task a connection and cuts it; knows where its reader was."""

    asked: list[str | None] = []  # noqa: RUF012 - of one test each

    busy: list[int] = []  # noqa: RUF012 - statuses of the next answers

    def do_GET(self) -> None:
        if self.busy:
            self._refuse(self.busy.pop(0))
            return
        if self.path.endswith("/graph"):
            self._answer("application/json", json.dumps({"ids": ["a", "b", "c"]}).encode())
            return
        after = self.headers.get("Last-Event-ID")
        self.asked.append(after)
        index = 0 if after is None else int(after.partition("-")[0])
        status = "succeeded" if index == 2 else "running"
        changes = {"tasks": [[index, "S", 1, "w", None]], "counts": {"succeeded": index + 1}, "status": status}
        end = b'event: end\ndata: {"status": "succeeded"}\n\n' if index == 2 else b"data: never finished"
        text = f"id: {index + 1}-0\nevent: changes\ndata: {json.dumps(changes)}\n\n".encode()
        self._answer("text/event-stream", text + end, cut=index == 1)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, kind: str, body: bytes, *, cut: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + 100 * cut))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    _Breaking.asked.clear()
    _Breaking.busy.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Breaking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_stream_that_breaks_is_gone_on_with_and_nothing_comes_twice(url: str) -> None:
    with Client(url, token="tek_x") as client:
        changes = list(client.run("r").events())

    assert [change.task for one in changes for change in one.tasks] == ["a", "b", "c"]
    assert [change.id for change in changes] == ["1-0", "2-0", "3-0"]
    assert {change.status for one in changes for change in one.tasks} == {TaskStatus.SUCCEEDED}
    assert _Breaking.asked == [None, "1-0", "2-0"]
    assert changes[-1].is_final


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_answer_that_asks_to_come_back_does_not_end_the_events(url: str, status: int) -> None:
    _Breaking.busy[:] = [status]  # of the first call of all
    with Client(url, token="tek_x") as client:
        events = client.run("r").events()
        changes = [next(events)]
        _Breaking.busy[:] = [status, status]  # of the stream that is opened anew
        changes += events

    assert [change.id for change in changes] == ["1-0", "2-0", "3-0"]
    assert _Breaking.busy == []


def test_refusal_for_good_ends_the_events(url: str) -> None:
    with Client(url, token="tek_x") as client:
        events = client.run("r").events()
        next(events)
        _Breaking.busy[:] = [401]
        with pytest.raises(Refused):
            list(events)
