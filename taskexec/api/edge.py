"""The edge of the application, pure ASGI: ids of requests, headers of every answer, and what a client may take up.

A body has a limit, whether its length is announced or comes in chunks, and a time in which it must arrive; both hold
while a route reads it. Bodies above 1 MiB are for plans only, and the one of a login must come at once. Above
`api.connections` requests at once, further ones are told to come back (`api/seats.py` says who may have how many).
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskexec.api.problems import PROBLEM_TYPE, Problem, problem_body
from taskexec.api.seats import Seats
from taskexec.settings import ApiSettings

__all__ = ["SECURITY_HEADERS", "SESSION_PATH", "Edge", "request_id_of", "send_problem"]

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}
"""Headers of every answer that says nothing else itself."""

_MIB = 1024 * 1024
_SMALL_BODY = 1 * _MIB
_PLAN_PATHS = frozenset({"/api/v1/plans", "/api/v1/runs"})
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}")
_HEALTH = "/healthz"
_CREDENTIALS = frozenset({b"authorization", b"cookie"})
SESSION_PATH = "/api/v1/session"
"""Where browsers log in: the one body that is read of somebody who has shown no token."""


class Edge:
    """Wraps an application; counts the requests that it answers."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings
        self._seats = Seats(settings.connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), request_id)
            await send(message)

        if scope["path"] == _HEALTH:
            await self._answer(scope, receive, send_with_headers)
            return
        address = scope["client"][0] if scope.get("client") else "local"
        shows_token = any(name in _CREDENTIALS for name, _ in scope["headers"])
        try:
            seat = self._seats.take(address, shows_token=shows_token)
        except Problem as problem:
            await send_problem(problem, send_with_headers)
            return
        scope["state"]["seat"] = seat
        try:
            await self._answer(scope, receive, send_with_headers)
        finally:
            seat.leave()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, settings = scope["path"], self._settings
        limit = settings.body_limit_mib * _MIB if path in _PLAN_PATHS else _SMALL_BODY
        refusal = _refusal_of_length(Headers(scope=scope), limit)
        if refusal is not None:
            await send_problem(refusal, send)
            return
        time_s = settings.idle_s if path == SESSION_PATH else settings.body_time_s
        body = _Body(receive, limit, idle_s=settings.idle_s, time_s=time_s)
        await self._app(scope, body.receive, send)


class _Body:
    """The body of one request, as it comes in."""

    def __init__(self, receive: Receive, limit: int, *, idle_s: float, time_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._idle_s = idle_s
        self._time_s = time_s
        self._read = 0
        self._is_whole = False
        self._deadline: float | None = None

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            Problem: The body is larger than its limit (413), or does not come (408).
        """
        if self._is_whole:
            return await self._receive()
        if self._deadline is None:
            self._deadline = time.monotonic() + self._time_s
        left_s = max(self._deadline - time.monotonic(), 0.001)
        try:
            async with asyncio.timeout(min(self._idle_s, left_s)):
                message = await self._receive()
        except TimeoutError:
            detail = "the body of the request did not arrive in time"
            raise Problem(408, "request.slow", detail, headers=_CLOSE) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._read > self._limit:
                raise _too_large(self._limit)
        return message


_CLOSE = {"Connection": "close"}


def _too_large(limit: int) -> Problem:
    detail = f"the body of the request has more than {limit / _MIB:g} MiB"
    hint = "split the plan; `api.body_limit_mib` of the server is its limit" if limit > _SMALL_BODY else None
    return Problem(413, "request.size", detail, hint=hint, headers=_CLOSE)


def _refusal_of_length(headers: Headers, limit: int) -> Problem | None:
    length = headers.get("content-length")
    if length is None:
        return None
    if not (length.isascii() and length.isdigit()):
        return Problem(400, "request.length", "`Content-Length` is not a number", headers=_CLOSE)
    return _too_large(limit) if int(length) > limit else None


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode() if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)


def request_id_of(scope: Scope) -> str:
    """Return the id of a request, which its answer has in `X-Request-Id`."""
    return str(scope.get("state", {}).get("request_id", ""))


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-Id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)


async def send_problem(problem: Problem, send: Send) -> None:
    """Send the whole answer of a problem."""
    body = problem_body(problem)
    headers = {"Content-Type": PROBLEM_TYPE, "Content-Length": str(len(body)), **(problem.headers or {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status_code, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
