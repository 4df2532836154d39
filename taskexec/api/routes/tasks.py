"""The tasks of a run: in lists, one by one, and their attempts."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from taskexec.api.access import Viewer
from taskexec.api.evidence_reading import EvidenceReader
from taskexec.api.explaining import why_of
from taskexec.api.ledgers import ledger_of_task
from taskexec.api.live_run import LiveRun
from taskexec.api.models import Attempt, Attempts, LedgerPage, TaskDetail, Tasks, Why
from taskexec.api.packed import answer_json
from taskexec.api.paths import AttemptNumber, QualifiedTask, RunId, TaskId
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.api.task_json import attempt_json, find_task, matching, task_detail, task_json
from taskexec.cluster.doors import flower_of_task
from taskexec.domain.states import TaskStatus
from taskexec.errors import NotFound
from taskexec.observability.timeline import AttemptSpan

__all__ = ["parts_of", "reader_of", "router"]

router = APIRouter(prefix="/api/v1", tags=["tasks"])


def parts_of(qualified: str) -> tuple[str, str]:
    """Return run and task of `run:task`.

    Raises:
        NotFound: It is none.
    """
    run_id, separator, task_id = qualified.partition(":")
    if not separator:
        raise NotFound(f"`{qualified[:200]}` is not the id of a task", hint="tasks are `run:task`, percent-encoded")
    return run_id, task_id


def reader_of(services: Services, run: LiveRun, task_id: str) -> EvidenceReader:
    """Return what reads the evidence of a task.

    Raises:
        NotFound: The run has no such task.
    """
    folder = services.live.folder(run.run_id)
    return EvidenceReader(run, find_task(run, task_id), folder, services.cluster.runs)


@router.get("/runs/{run}/tasks", response_model=Tasks)
def tasks(
    request: Request,
    run: RunId,
    services: ServicesOf,
    _caller: Viewer,
    status: Annotated[list[TaskStatus] | None, Query(description="Only those in one of these.")] = None,
    lane: Annotated[str | None, Query(max_length=1000)] = None,
    search: Annotated[str | None, Query(max_length=1000, description="A part of id or title.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """List the tasks of a run, in the order of its plan."""
    live = services.live.run(run)
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise Problem(400, "request.cursor", f"`{cursor}` is no cursor", hint="take it from `next`")
    with live.lock:
        found = list(islice(matching(live, status or (), lane, search, int(cursor or 0)), limit + 1))
        rows = [task_json(live, index) for index in found[:limit]]
        tag = f'W/"{live.timeline.last_id}"'
    following = str(found[limit]) if len(found) > limit else None
    return answer_json(request, {"tasks": rows, "next": following}, tag)


def _attempts(reader: EvidenceReader, live: LiveRun, chosen: list[AttemptSpan]) -> list[dict[str, Any]]:
    records = reader.records(chosen)
    return [attempt_json(live, reader.task_id, one, records[one].record if one in records else None) for one in chosen]


def _all_attempts(live: LiveRun, index: int) -> list[AttemptSpan]:
    with live.lock:
        return list(live.timeline.spans[index].attempts)


@router.get("/runs/{run}/tasks/{task}", response_model=TaskDetail)
def task(request: Request, run: RunId, task: TaskId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return a task in full."""
    live = services.live.run(run)
    reader = reader_of(services, live, task)
    index = find_task(live, task)
    tries = _attempts(reader, live, _all_attempts(live, index))
    with live.lock:
        body = task_detail(live, index, tries, services.live.redactor)
        flower = flower_of_task(services.settings, live.run_id, index)
        body["links"] |= {} if flower is None else {"flower": flower}
        tag = f'W/"{live.timeline.last_id}"'
    return answer_json(request, body, tag)


@router.get("/tasks/{id}", response_model=TaskDetail)
def qualified_task(
    request: Request,
    id: QualifiedTask,  # noqa: A002  # what the path calls it
    services: ServicesOf,
    caller: Viewer,
) -> Response:
    """Return a task in full, by its id of all runs: `run:task`."""
    run_id, task_id = parts_of(id)
    return task(request, run_id, task_id, services, caller)


@router.get("/runs/{run}/tasks/{task}/attempts", response_model=Attempts)
def attempts(run: RunId, task: TaskId, services: ServicesOf, _caller: Viewer) -> dict[str, Any]:
    """List the attempts at a task, in the order in which they were queued."""
    live = services.live.run(run)
    reader = reader_of(services, live, task)
    return {"attempts": _attempts(reader, live, _all_attempts(live, find_task(live, task)))}


@router.get("/runs/{run}/tasks/{task}/attempts/{attempt}", response_model=Attempt)
def one_attempt(
    run: RunId, task: TaskId, attempt: AttemptNumber, services: ServicesOf, _caller: Viewer
) -> dict[str, Any]:
    """Return one attempt at a task; of one that was given back and queued again, the last time."""
    live = services.live.run(run)
    reader = reader_of(services, live, task)
    return _attempts(reader, live, [reader.attempt(attempt)])[0]


@router.get("/runs/{run}/tasks/{task}/why", response_model=Why)
def why(run: RunId, task: TaskId, services: ServicesOf, _caller: Viewer) -> dict[str, Any]:
    """Explain why a task waits, or why it went as it did."""
    live = services.live.run(run)
    return why_of(services, live, find_task(live, task))


@router.get("/runs/{run}/tasks/{task}/ledger", response_model=LedgerPage)
def ledger(
    run: RunId,
    task: TaskId,
    services: ServicesOf,
    _caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> dict[str, Any]:
    """List what the ledger says of a task: the last entries, in order."""
    live = services.live.run(run)
    find_task(live, task)
    return {"entries": ledger_of_task(services, live, task)[-limit:], "next": None}
