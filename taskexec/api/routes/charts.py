"""What charts are drawn from: the graph and the timeline of a run, where its time went, two runs beside each other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from taskexec.api.access import Viewer
from taskexec.api.comparing import Order, compare
from taskexec.api.models import BlameModel, CompareModel, GraphModel, TimelineModel
from taskexec.api.packed import answer_json, answer_packed
from taskexec.api.paths import OtherRunId, RunId
from taskexec.api.services import ServicesOf

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["charts"])
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have this version already."}}


@router.get("/runs/{run}/graph", response_model=GraphModel, responses=_NOT_MODIFIED)
def graph(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return the graph of a run: tasks by their position, and what each depends on."""
    return answer_packed(request, services.live.planned(run).graph())


@router.get("/runs/{run}/timeline", response_model=TimelineModel, responses=_NOT_MODIFIED)
def timeline(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return every task and attempt of a run as it stood at `last_id`; `events?after=` goes on from there."""
    return answer_packed(request, services.live.run(run).rows())


@router.get("/runs/{run}/blame", response_model=BlameModel, responses=_NOT_MODIFIED)
def blame(request: Request, run: RunId, services: ServicesOf, _caller: Viewer) -> Response:
    """Return where the wall time of a run went, without remainder, and its critical path."""
    return answer_packed(request, services.live.run(run).blamed())


@router.get("/runs/{run}/compare/{other}", response_model=CompareModel, responses=_NOT_MODIFIED)
def compare_runs(
    request: Request,
    run: RunId,
    other: OtherRunId,
    services: ServicesOf,
    _caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    order: Annotated[Order, Query(description="Which tasks come first.")] = Order.CHANGED,
    points: Annotated[int, Query(ge=0, le=5000, description="Most durations of tasks to draw a picture of.")] = 0,
) -> Response:
    """Compare two runs task by task; what differs most in duration comes first, unless asked for otherwise."""
    one, two = services.live.run(run), services.live.run(other)
    tag = f'W/"{one.timeline.last_id}.{two.timeline.last_id}.{limit}.{order}.{points}"'  # of no more than is told
    return answer_json(request, compare(one, two, limit=limit, order=order, points=points), tag)
