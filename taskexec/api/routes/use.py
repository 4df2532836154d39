"""What a run used over time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from taskexec.api.access import Viewer
from taskexec.api.live_run import LiveRun
from taskexec.api.packed import answer_json, has_version
from taskexec.api.paths import RunId
from taskexec.api.services import Services, ServicesOf
from taskexec.cluster.histories import timeline_at_home
from taskexec.observability.utilisation import utilisation

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["charts"])
_Line = Field(description="Mean of each step.")


class UseModel(BaseModel):
    """What the attempts of a run used, in equal steps from its start to its end or until now."""

    run_id: str
    span_s: float
    attempts: int = Field(description="Attempts that have begun.")
    known: int = Field(description="How many of them have told what they used.")
    running: list[float] = _Line
    cpus: list[float] = _Line
    memory_mib: list[float] = Field(description="Sum of the peaks of what ran: an upper bound.")
    gpus: list[float] = _Line
    gpu_memory_mib: list[float] = Field(description="Sum of the peaks of what ran: an upper bound.")


@router.get("/runs/{run}/use", response_model=UseModel, responses={304: {"description": "You have this version."}})
def use(
    request: Request,
    run: RunId,
    services: ServicesOf,
    _caller: Viewer,
    steps: Annotated[int, Query(ge=1, le=1000, description="Steps that the run's time is parted into.")] = 240,
) -> Response:
    """Return how many attempts ran at each time, and the cores, memory and GPUs that they used."""
    live = services.live.run(run)
    live.refresh()
    now_us = live.origin.now_us()
    version = live.timeline.last_id if live.timeline.view.is_final else str(now_us)
    tag = f'W/"{int(live.is_at_home)}.{version}.{steps}"'
    if has_version(request, tag):
        return answer_json(request, b"", tag)
    return answer_json(request, {"run_id": live.run_id, **_use(services, live, steps, now_us)}, tag)


def _use(services: Services, live: LiveRun, steps: int, now_us: int) -> dict[str, object]:
    if live.is_at_home:  # what attempts used is in a file each there, which nobody else needs at once
        timeline = timeline_at_home(services.live.folder(live.run_id), with_usage=True)
        return utilisation(timeline, steps, now_us).to_json()
    with live.lock:
        return utilisation(live.timeline, steps, now_us).to_json()
