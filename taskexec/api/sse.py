"""Server-sent events: how they are written, and the answers that stream them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from taskexec.api.access import Guard
from taskexec.api.seats import seat_of
from taskexec.errors import ConnectionLost

__all__ = ["EVENTS", "HEARTBEAT", "HEARTBEAT_S", "EventStream", "event"]

HEARTBEAT = b": still here\n\n"
"""What is sent when there is nothing to tell, so that everybody between sees that the connection is used."""
HEARTBEAT_S = 15.0
_CHECK_S = 10.0
"""A reader's token is looked up with the first bytes that come so long after the last time, heartbeats included."""


def event(name: str, data: Mapping[str, Any] | bytes, *, id_: str | None = None) -> bytes:
    """Return an event; `data` is JSON or becomes it."""
    text = data if isinstance(data, bytes) else orjson.dumps(data)
    head = f"id: {id_}\n" if id_ is not None else ""
    return f"{head}event: {name}\n".encode() + b"data: " + text + b"\n\n"


_PIECE = 65_536
"""Bytes that are handed on at a time: what a slow reader has not taken stays where it is, once for all readers."""

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""What a route answers that streams."""


class EventStream(StreamingResponse):
    """An answer that goes on; nobody between may keep or change it."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], *, at_end: Callable[[], None] = lambda: None) -> None:
        """Stream what an iterator gives, which must give heartbeats as well; `at_end` is called when it is over."""
        headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(content, headers=headers)
        self._content = content
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; ends when its reader has left, or may look no more."""
        guard: Guard = scope["app"].state.services.guard
        self.body_iterator = _in_pieces(_while_admitted(self._content, guard, Request(scope)))
        try:
            seat = seat_of(scope)
            if seat is not None:
                seat.begin_stream()
            await super().__call__(scope, receive, send)
        finally:
            self._at_end()


async def _while_admitted(content: AsyncIterator[bytes], guard: Guard, request: Request) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    checked_at = loop.time()
    async for data in content:
        if loop.time() - checked_at >= _CHECK_S:
            with contextlib.suppress(ConnectionLost):  # it is asked again
                if not await guard.still_counts(request):
                    yield event("reset", {"reason": "access"})
                    return
            checked_at = loop.time()
        yield data


async def _in_pieces(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for data in content:
        for first in range(0, len(data), _PIECE):
            yield data[first : first + _PIECE]
