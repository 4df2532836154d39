"""HTTP on the wire: clients that send slowly, or too much, do not hold connections for ever.

The application sees a request only once its head is whole, so that time is limited here: a connection whose next
request does not get that far in `api.idle_s` seconds is closed, and so are connections far beyond those that could be
answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from taskexec.api.edge import SECURITY_HEADERS
from taskexec.api.problems import PROBLEM_TYPE, Problem, problem_body

__all__ = ["PatientProtocol", "protocol"]

_LINGER_S = 2.0
_BAD_REQUEST = Problem(400, "request.malformed", "the request is no HTTP")
_SLOW = Problem(408, "request.slow", "the head of the request did not arrive in time")


class PatientProtocol(H11Protocol):
    """One connection."""

    head_s = 10.0
    """Longest time between the beginning of a connection, or of a further request, and the end of its head."""
    connections_max = 4_000
    """Connections beyond which further ones are closed at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, or close what is too much."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._is_over:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head_timer is None:  # the beginning of a further request
            self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes the connection when none begins."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._send_problem(_BAD_REQUEST)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(self.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            return
        if self.conn.our_state is h11.IDLE:
            self._send_problem(_SLOW)
        else:
            self.transport.close()

    def _send_problem(self, problem: Problem) -> None:
        body = problem_body(problem)
        headers = {
            "Content-Type": PROBLEM_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **SECURITY_HEADERS,
        }
        answer = h11.Response(
            status_code=problem.status_code,
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            reason=b"",
        )
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._leave()

    def _leave(self) -> None:
        """End the connection, but read what the client still sends: otherwise it may not see the answer."""
        self._is_over = True
        self._stop_waiting()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._head_timer = self.loop.call_later(_LINGER_S, self.transport.close)
        else:
            self.transport.close()


def protocol(*, head_s: float, connections_max: int) -> type[PatientProtocol]:
    """Return the protocol of a server; arguments are the attributes of `PatientProtocol`."""
    return type("Protocol", (PatientProtocol,), {"head_s": head_s, "connections_max": connections_max})
