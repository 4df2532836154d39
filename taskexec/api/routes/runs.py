"""Runs: in a list, one by one, and the documents that they are made of."""

from __future__ import annotations

import zlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from taskexec.api.access import Viewer
from taskexec.api.ledgers import ledger_page
from taskexec.api.live_run import LiveRun
from taskexec.api.models import LedgerPage, Run, Runs
from taskexec.api.packed import answer_json
from taskexec.api.paths import RunId
from taskexec.api.problems import Problem
from taskexec.api.run_lists import line_json, run_lines, run_links
from taskexec.api.services import Services, ServicesOf
from taskexec.cluster.doors import flower_of_run
from taskexec.domain.clock import iso_time
from taskexec.domain.names import is_run_id
from taskexec.domain.secrets import Redactor
from taskexec.store.run_lines import RedisRunLines

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["runs"])

_MOST_FAILURES = 50


@router.get("/runs", response_model=Runs)
def runs(
    request: Request,
    services: ServicesOf,
    _caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """List the runs that the server knows and those at home, the newest first."""
    if cursor is not None and not is_run_id(cursor):
        raise Problem(400, "request.cursor", f"`{cursor}` is no cursor", hint="take it from `next`")
    return run_lines(services.cluster, services.live.at_home, limit=limit, before=cursor)


@router.get("/runs/{run}", response_model=Run)
def run(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return a run: where it stands, when it should end, and what has failed."""
    live = services.live.run(run)
    line = _line(services, live)
    with live.lock:
        body = {**line, **_state(live), "flower": flower_of_run(services.settings, live.run_id)}
        tag = f'W/"{live.timeline.last_id}.{line["is_stopping"]:d}"'
    return answer_json(request, body, tag)


def _line(services: Services, live: LiveRun) -> dict[str, Any]:
    """Return what is known of a run beside its timeline."""
    if not live.is_at_home:
        found = RedisRunLines(services.cluster.connection).lines([live.run_id]).get(live.run_id)
        if found is not None:
            deadline_at = None if found.deadline_at is None else iso_time(found.deadline_at)
            line = line_json(found, services.live.redactor)
            return {**line, "deadline_at": deadline_at, "is_stopping": found.is_stopping}
    line = services.live.at_home.line(live.run_id) or _unfinished(live)
    return {**line, "deadline_at": None, "is_stopping": False}


def _unfinished(live: LiveRun) -> dict[str, Any]:
    """Return the line of a run of which only a part came home."""
    view = live.timeline.view
    started = iso_time((view.started_us or live.origin_us) / 1e6)
    return {
        "run_id": live.run_id,
        "plan": live.timeline.plan.get("source") or "",
        "dry_run": False,
        "submitted_at": started,
        "started": started if view.started_us is not None else None,
        "ended": None,
        "tasks": live.size,
        "user": "",
        "tag": "",
        "links": run_links(live.run_id),
    }


def _state(live: LiveRun) -> dict[str, Any]:
    timeline = live.timeline
    view = timeline.view
    failures = []
    for index in view.failed[:_MOST_FAILURES]:
        last = timeline.spans[index].last
        failures.append(
            {
                "task": timeline.ids[index],
                "reason": last.reason if last else None,
                "error": last.error if last else None,
                "attempts": last.number if last else 0,
            }
        )
    return {
        "status": str(view.status),
        "counts": view.tally(),
        "digest": timeline.plan.get("digest") or "",
        "is_at_home": live.is_at_home,
        **live.outlook(),
        "failures": failures,
        "workers": sorted({attempt.worker for span in timeline.spans for attempt in span.attempts if attempt.worker}),
    }


@router.get("/runs/{run}/plan", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def plan(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return the plan of a run: its `plan.json`, secrets not shown."""
    return _document(request, services, run, "plan.json")


@router.get("/runs/{run}/canvas", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def canvas(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return what a run was compiled to: its `canvas.json`."""
    return _document(request, services, run, "canvas.json")


def _document(request: Request, services: Services, run_id: str, name: str) -> Response:
    live = services.live.run(run_id)
    if live.is_at_home:
        data = (services.live.folder(run_id) / name).read_bytes()
    else:
        plan, canvas = services.cluster.runs.documents(run_id)
        data = zlib.decompress(plan if name == "plan.json" else canvas)
    digest = str(live.timeline.plan.get("digest") or run_id).removeprefix("sha256:")
    return answer_json(request, _without_secrets(services, data), f'"{name[0]}.{digest}"')


def _without_secrets(services: Services, data: bytes) -> bytes:
    """Return a document without secrets; they are looked for in its texts, which JSON may write otherwise."""
    redactor = services.live.redactor
    if not redactor.may_change(data):
        return data
    with services.live.telling:  # each takes some kilobytes a task
        document = orjson.loads(data)
        shown = redactor.json({name: None if isinstance(value, list) else value for name, value in document.items()})
        for name, value in document.items():
            if isinstance(value, list):
                shown[name] = [_member_without_secrets(redactor, member) for member in value]
        return orjson.dumps(shown)


def _member_without_secrets(redactor: Redactor, member: Any) -> Any:
    """Return a member of a list; most are plain, which is seen at once."""
    return redactor.json(member) if redactor.may_change(orjson.dumps(member)) else member


@router.get("/runs/{run}/ledger", response_model=LedgerPage)
def ledger(
    run: RunId,
    services: ServicesOf,
    _caller: Viewer,
    after: Annotated[int, Query(ge=0, le=2**53, description="Number of the last entry that you know.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """List the entries of a run's ledger, in order."""
    return ledger_page(services, services.live.run(run), after=after, limit=limit)
