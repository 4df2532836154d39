"""What happens in a run, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from taskexec.api.access import Viewer
from taskexec.api.fan import Overtaken
from taskexec.api.live_run import Joined, LiveRun
from taskexec.api.origins import order_of
from taskexec.api.paths import RunId
from taskexec.api.problems import Problem
from taskexec.api.services import ServicesOf
from taskexec.api.sse import EVENTS, HEARTBEAT, HEARTBEAT_S, EventStream, event

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["events"])

_MOST_AT_ONCE = 256 * 1024
"""Bytes of messages that are put together for a reader who is behind."""


@router.get("/runs/{run}/events", response_class=StreamingResponse, responses=EVENTS)
async def events(
    run: RunId,
    services: ServicesOf,
    _caller: Viewer,
    after: Annotated[str | None, Query(description="Id of the last event that you know, or `last_id`.")] = None,
    last_event_id: Annotated[str | None, Header(description="The same, as browsers send it.")] = None,
) -> Response:
    """Stream what changes in a run: events `changes`, then `end`; `reset` before a reader is cut.

    Without `after` the first event tells of everything since the beginning. A comment comes every 15 seconds.
    """
    known = last_event_id or after or "0"
    try:
        order_of(known)
    except ValueError as error:
        raise Problem(400, "request.after", f"`{known[:80]}` {error}", hint="leave it out to begin anew") from None
    live, joined = await to_thread.run_sync(_join, services, run, known)
    return EventStream(_stream(live, joined), at_end=live.leave)


def _join(services: ServicesOf, run_id: str, after: str) -> tuple[LiveRun, Joined]:
    live = services.live.run(run_id)
    try:
        return live, live.join(after)
    except BaseException:
        live.leave()
        raise


async def _stream(live: LiveRun, joined: Joined) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n" + joined.data
    place = joined.place
    while not joined.has_ended:
        if not await live.fan.wait(place, HEARTBEAT_S):
            yield HEARTBEAT
            continue
        try:
            messages = live.fan.since(place, most_bytes=_MOST_AT_ONCE)
        except Overtaken:
            yield event("reset", {"reason": "you have fallen behind by more than is kept"})
            return
        place += len(messages)
        yield b"".join(message.data for message in messages)
        if messages[-1].is_last:
            return
