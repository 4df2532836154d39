"""What tasks write: as text, a range of it, or as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response

from taskexec.api.access import Viewer
from taskexec.api.live_run import LiveRun
from taskexec.api.log_reading import LogEvents, home_pieces, open_logs
from taskexec.api.paths import RunId, TaskId
from taskexec.api.problems import Problem
from taskexec.api.ranges import answer_bytes
from taskexec.api.services import Services, ServicesOf
from taskexec.api.sse import HEARTBEAT, HEARTBEAT_S, EventStream, event
from taskexec.api.task_json import find_task
from taskexec.cluster.live_log import STREAMS, LiveLog, LogPiece
from taskexec.errors import ConnectionLost, NotFound

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["evidence"])

_WAIT_S = 0.5
_LOST_PAUSE_S = 0.5
_MOST_MISSED = 4
"""At so many heartbeats one after the other nobody may know the run: somebody may take it up."""
_ENDED = {"succeeded", "failed", "lost", "cancelled", "given_back"}
_STREAMS: dict[str, tuple[str, ...]] = {"stdout": STREAMS[:1], "stderr": STREAMS[1:], "both": STREAMS}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Text, or server-sent events with `follow`.",
        "content": {"text/plain": {"schema": {"type": "string"}}, "text/event-stream": {"schema": {"type": "string"}}},
    },
    206: {"description": "The range that was asked for."},
    304: {"description": "You have this version already."},
    416: {"description": "The range lies behind the end."},
}


@router.get("/runs/{run}/tasks/{task}/logs", response_class=Response, responses=_TEXT)
async def logs(
    request: Request,
    run: RunId,
    task: TaskId,
    services: ServicesOf,
    _caller: Viewer,
    attempt: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Without it the last one.")] = None,
    stream: Literal["stdout", "stderr", "both"] = "both",
    follow: Annotated[bool, Query(description="Go on until the task has ended, or the attempt that is given.")] = False,
    last_event_id: Annotated[str | None, Header(description="Id of the last event that you know.")] = None,
) -> Response:
    """Return what a task has written: both streams are standard output, then standard error.

    With `follow` it comes as events `log`, and at last `end`; `Last-Event-ID` goes on where it was left.
    """
    live = await to_thread.run_sync(services.live.run, run)
    index = find_task(live, task)
    if follow:
        try:
            known = LogEvents.known_of(last_event_id)
        except ValueError:
            raise Problem(400, "request.after", f"`{str(last_event_id)[:80]}` is the id of no log's event") from None
        return _follow(services, live, index, attempt, _STREAMS[stream], known)
    return await to_thread.run_sync(_text, request, services, live, index, attempt, _STREAMS[stream])


def _chosen(live: LiveRun, index: int, attempt: int | None) -> int:
    """Return the attempt that is meant; 0 when none has started."""
    with live.lock:
        attempts = live.timeline.spans[index].attempts
        numbers = {one.number for one in attempts}
        last = live.timeline.spans[index].last
    if attempt and attempt not in numbers:
        raise NotFound(f"task `{live.timeline.ids[index]}` has no attempt {attempt}")
    return attempt or (last.number if last is not None else 0)


def _has_ended(live: LiveRun, index: int, attempt: int) -> bool:
    found = [one for one in live.timeline.spans[index].attempts if one.number == attempt]
    return not found or found[-1].outcome in _ENDED


def _text(
    request: Request, services: Services, live: LiveRun, index: int, attempt: int | None, streams: Sequence[str]
) -> Response:
    number = _chosen(live, index, attempt)
    is_whole = _has_ended(live, index, number)
    folder, store = services.live.folder(live.run_id), services.cluster.runs
    files = open_logs(live, index, number, streams, folder=folder, store=store) if number else []
    sizes = ".".join(str(size) for _, size in files)
    headers = {
        "Tek-Attempt": str(number),
        "Tek-Log": "whole" if is_whole else "growing",
        "X-Content-Type-Options": "nosniff",
    }
    return answer_bytes(
        request, files, tag=f'"{number}.{sizes}.{is_whole:d}"', media_type="text/plain; charset=utf-8", headers=headers
    )


def _follow(
    services: Services,
    live: LiveRun,
    index: int,
    attempt: int | None,
    streams: Sequence[str],
    known: tuple[int, int, int] | None,
) -> Response:
    number = attempt or (known[0] if known else 0) or _chosen(live, index, attempt)
    told = LogEvents(streams, known if known and known[0] == number else (number, 0, 0))
    leave = services.live.log_readers.enter()
    return EventStream(_events(services, live, index, attempt, told), at_end=leave)


async def _events(
    services: Services, live: LiveRun, index: int, attempt: int | None, told: LogEvents
) -> AsyncIterator[bytes]:
    """Yield events: of the finished attempts at home from there, of all others from the server."""
    readers, loop = services.live.log_readers, asyncio.get_running_loop()
    log = LiveLog(services.cluster.runs, live.run_id, index, first=told.first, last=attempt)
    yield b"retry: 2000\n\n"
    told_at, missed = loop.time(), 0
    is_over = live.is_at_home
    while not is_over:
        try:
            data = told.take(await readers.read(lambda: _read(log)))
            is_over = log.has_ended
        except ConnectionLost:
            data = b""
            is_over = await to_thread.run_sync(_has_come_home, services, live.run_id) is True
            if not is_over:
                await asyncio.sleep(_LOST_PAUSE_S)
        if data or loop.time() - told_at > HEARTBEAT_S:
            told_at = loop.time()
            yield data or HEARTBEAT
            is_home = False if data or is_over else await to_thread.run_sync(_has_come_home, services, live.run_id)
            is_over, missed = is_over or is_home is True, missed + 1 if is_home is None else 0
            if missed > _MOST_MISSED:
                yield event("reset", {"reason": "the server knows this run no more"})
                return
    if not log.has_ended:
        for data in await to_thread.run_sync(_from_home, services, live, index, attempt, told):
            yield data
    yield told.end() + event("end", {"attempt": attempt})


def _read(log: LiveLog) -> Iterator[LogPiece]:
    """Return what is new, or what of it came before the server was lost."""
    pieces: list[LogPiece] = []
    try:
        for piece in log.read(wait_s=_WAIT_S):
            pieces.append(piece)  # noqa: PERF402  # what came before an error counts
    except ConnectionLost:
        if not pieces:
            raise
    return iter(pieces)


def _has_come_home(services: Services, run_id: str) -> bool | None:
    """Return whether a run is read from its folder now; None when nobody knows it any more."""
    try:
        return services.live.run(run_id).is_at_home
    except ConnectionLost:
        return False
    except NotFound:
        return None


def _from_home(services: Services, live: LiveRun, index: int, attempt: int | None, told: LogEvents) -> Sequence[bytes]:
    home = services.live.run(live.run_id)
    last = home.timeline.spans[index].last
    numbers = [attempt] if attempt else range(max(told.first, 1), (last.number if last else 0) + 1)
    folder, task_id = services.live.folder(live.run_id), home.timeline.ids[index]
    return [told.take(home_pieces(folder, task_id, number)) for number in numbers]
