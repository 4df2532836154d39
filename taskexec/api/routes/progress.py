"""How far a task is: by its own word, else by how long such tasks take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from taskexec.api.access import Viewer
from taskexec.api.live_run import LiveRun
from taskexec.api.paths import QualifiedTask, RunId, TaskId
from taskexec.api.routes.tasks import parts_of
from taskexec.api.services import Services, ServicesOf
from taskexec.api.sse import EVENTS, HEARTBEAT, HEARTBEAT_S, EventStream, event
from taskexec.api.task_json import find_task, instant
from taskexec.cluster.live_log import STREAMS, LiveLog
from taskexec.domain.clock import iso_time
from taskexec.domain.states import FINAL_TASK_STATUSES, TaskStatus
from taskexec.errors import ConnectionLost, NotFound
from taskexec.observability.estimate import estimate_tasks, expected_s
from taskexec.observability.task_progress import ProgressLines, Reported

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["events"])

_WAIT_S = 0.5
_STEP_S = 2.0
"""So often an estimate is told anew while nothing else changes."""
_MOST_ESTIMATED = 0.95
"""A task that takes longer than expected is not done for that."""
_GONE_S = 60.0
"""A run that nobody knows any more is waited for so long: somebody may take it up."""
_AWAY: Mapping[str, Any] = MappingProxyType({})
_GONE: Mapping[str, Any] = MappingProxyType({})
"""What is known of a task when the server does not answer, and when neither it nor a folder knows the run."""


@router.get("/runs/{run}/tasks/{task}/progress", response_class=StreamingResponse, responses=EVENTS)
async def progress(run: RunId, task: TaskId, services: ServicesOf, _caller: Viewer) -> Response:
    """Stream how far a task is: events `progress` until it has ended, then `end`."""
    live = await to_thread.run_sync(services.live.run, run)
    index = find_task(live, task)
    return EventStream(_events(services, live, index), at_end=services.live.log_readers.enter())


@router.get("/tasks/{id}/progress", response_class=StreamingResponse, responses=EVENTS)
async def qualified_progress(
    id: QualifiedTask,  # noqa: A002  # what the path calls it
    services: ServicesOf,
    caller: Viewer,
) -> Response:
    """Stream how far a task is, by its id of all runs: `run:task`."""
    run_id, task_id = parts_of(id)
    return await progress(run_id, task_id, services, caller)


class _Word:
    """What the attempts at a task have reported; that of an earlier attempt does not count for a later one."""

    def __init__(self, services: Services, live: LiveRun, index: int) -> None:
        last = live.timeline.spans[index].last
        self._log = LiveLog(services.cluster.runs, live.run_id, index, first=last.number if last else 1)
        self._lines: dict[tuple[int, str], ProgressLines] = {}
        self.attempt = 0
        self.reported: Reported | None = None

    def listen(self, wait_s: float) -> None:
        for piece in self._log.read(wait_s=wait_s):
            if piece.attempt != self.attempt:
                self.attempt, self.reported = piece.attempt, None
            lines = self._lines.setdefault((piece.attempt, piece.stream), ProgressLines())
            if piece.stream in STREAMS:
                self.reported = lines.feed(piece.data) or self.reported


async def _events(services: Services, live: LiveRun, index: int) -> AsyncIterator[bytes]:
    word = None if live.is_at_home else _Word(services, live, index)
    loop = asyncio.get_running_loop()
    told: tuple[Any, ...] = ()
    told_at, missed_at = 0.0, None
    yield b"retry: 2000\n\n"
    while True:
        state = await services.live.log_readers.read(lambda: _look(services, live.run_id, index, word))
        missed_at = (missed_at or loop.time()) if state is _GONE else None
        if missed_at is not None and loop.time() - missed_at > _GONE_S:
            yield event("reset", {"reason": "the server knows this run no more"})
            return
        if state:
            fresh = (state["status"], state["attempt"], state["progress"], state["current_step"])
            has_moved = fresh != told and (not told or fresh[:2] != told[:2] or not state["estimated"])
            if has_moved or loop.time() - told_at >= (_STEP_S if fresh != told else HEARTBEAT_S):
                told, told_at = fresh, loop.time()
                yield event("progress", state)
            if state["status"] in FINAL_TASK_STATUSES:
                yield event("end", {"status": state["status"]})
                return
            if word is None:
                await asyncio.sleep(_WAIT_S)
        else:
            if loop.time() - told_at >= HEARTBEAT_S:
                told_at = loop.time()
                yield HEARTBEAT
            await asyncio.sleep(_WAIT_S)


def _look(services: Services, run_id: str, index: int, word: _Word | None) -> Mapping[str, Any]:
    """Return where a task stands, after waiting a moment for news; `_AWAY` or `_GONE` when that cannot be told now."""
    try:
        if word is not None:
            word.listen(_WAIT_S)
        live = services.live.run(run_id)
    except ConnectionLost:
        return _AWAY
    except NotFound:
        return _GONE
    with live.lock:
        return _state(live, index, word)


def _state(live: LiveRun, index: int, word: _Word | None) -> dict[str, Any]:
    timeline, now_us = live.timeline, live.origin.now_us()
    span = timeline.spans[index]
    last = span.last
    is_running = span.status is TaskStatus.RUNNING and last is not None
    reported = word.reported if word is not None and last is not None and word.attempt == last.number else None
    fraction, ends_us = None if reported is None else reported.fraction, None
    if span.status in {TaskStatus.SUCCEEDED, TaskStatus.SATISFIED}:
        fraction = 1.0
    elif is_running and last is not None and last.started_us is not None:
        elapsed_s = max(now_us - last.started_us, 0) / 1e6
        whole_s = expected_s(timeline, index)
        if fraction:
            whole_s = elapsed_s / fraction
        elif fraction is None and whole_s:
            fraction = min(elapsed_s / whole_s, _MOST_ESTIMATED)
        ends_us = None if not whole_s else max(last.started_us + round(whole_s * 1e6), now_us)
    elif span.status not in FINAL_TASK_STATUSES:
        estimate = estimate_tasks(timeline, now_us).get(index)
        ends_us = None if estimate is None else estimate.at_us
    return {
        "task_id": f"{live.run_id}:{timeline.ids[index]}",
        "run_id": live.run_id,
        "task": timeline.ids[index],
        "status": str(span.status),
        "attempt": last.number if last is not None else 0,
        "progress": None if fraction is None else round(fraction, 4),
        "current_step": reported.step if reported is not None else None,
        "estimated": reported is None and is_running,
        "expected_end": instant(ends_us),
        "at": iso_time(now_us / 1e6),
    }
