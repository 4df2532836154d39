"""What steers runs and workers: stop, retry, drain, cordon, uncordon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from taskexec.api.access import Admin, Caller, Submitter
from taskexec.api.paths import RunId, WorkerName
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.cluster.places import RunPlace
from taskexec.cluster.snapshot import take_snapshot
from taskexec.domain.again import all_behind
from taskexec.domain.names import is_run_id
from taskexec.domain.states import RunStatus
from taskexec.errors import Fault, NotFound
from taskexec.store.workers import CORDONED, DRAINING, READY_STATE
from taskexec.submission import refusals_with_names, tasks_to_retry

__all__ = ["router"]

_WISHES = {"drain": DRAINING, "cordon": CORDONED, "uncordon": READY_STATE}


class StopRequest(BaseModel):
    """How a run is stopped."""

    model_config = ConfigDict(extra="forbid")

    kill: bool = Field(default=False, description="Whether what runs is ended at once, instead of finishing.")


class RetryRequest(BaseModel):
    """What runs again, with all that depends on it."""

    model_config = ConfigDict(extra="forbid")

    tasks: list[str] | None = Field(default=None, max_length=100_000, description="Ids of tasks.")
    failed: bool = Field(
        default=False,
        description="All that failed, was skipped or cancelled; also meant when nothing is said.",
    )


class RunState(BaseModel):
    """Where a run stands."""

    run_id: str
    status: RunStatus
    left: int = Field(description="Tasks that have not ended.")


class RetryMade(RunState):
    """What runs again."""

    tasks: list[str] = Field(description="Ids of the tasks that wait again.")


class WorkerState(BaseModel):
    """What is wished of a worker."""

    name: str
    state: str = Field(description="`ready`, `cordoned` or `draining`.")


router = APIRouter(prefix="/api/v1")


@router.post("/runs/{run}/stop", summary="Stop a run", tags=["runs"])
def stop_run(
    request: Request,
    run: RunId,
    caller: Submitter,
    services: ServicesOf,
    body: Annotated[StopRequest | None, Body()] = None,
) -> RunState:
    """Have a run start nothing more; what runs finishes, or is ended. A run that has ended stays as it is."""
    run_id = _known(services, run)
    request.state.subject = run_id
    services.cluster.runs.stop(run_id, kill=body is not None and body.kill)
    return RunState(**_state(services, run_id))


@router.post("/runs/{run}/retry", summary="Have tasks of a run run again", tags=["runs"])
def retry_run(
    request: Request,
    run: RunId,
    caller: Submitter,
    services: ServicesOf,
    body: Annotated[RetryRequest | None, Body()] = None,
) -> RetryMade:
    """Have tasks run again, in the same run, and all that depends on them; what else succeeded stands."""
    run_id = _known(services, run)
    request.state.subject = run_id
    place = RunPlace(run_id, services.settings.evidence.runs_dir / run_id, services.cluster)
    snapshot = take_snapshot(place)
    results = snapshot.summary["results"]
    ids = [result["task"] for result in results]
    wish = body or RetryRequest()
    again = tasks_to_retry(
        run_id,
        {result["task"]: result["status"] for result in results},
        wish.tasks or (),
        with_unfinished=wish.failed or not wish.tasks,
        hint=f"`GET /api/v1/runs/{run_id}/tasks` lists them",
    )
    if not again:
        return RetryMade(tasks=[], **_state(services, run_id))
    _refuse_beyond(caller, snapshot.plan["tasks"], _with_dependents(snapshot.plan["tasks"], again))
    with refusals_with_names(ids):
        found = services.cluster.submitter.run_again(run_id, again, why=f"API: {caller.name}")
    return RetryMade(tasks=[ids[index] for index in found], **_state(services, run_id))


@router.post("/workers/{name}/{verb}", summary="Drain, cordon or uncordon a worker", tags=["cluster"])
def wish(
    request: Request,
    name: WorkerName,
    verb: Annotated[
        Literal["drain", "cordon", "uncordon"],
        Path(description="`drain`: finish and leave; `cordon`: take nothing new; `uncordon`: take tasks again."),
    ],
    caller: Admin,
    services: ServicesOf,
) -> WorkerState:
    """Say what is wished of a worker."""
    if all(row["name"] != name for row in services.cluster.workers.listed()):
        raise NotFound(f"there is no worker `{name[:200]}`", hint="`GET /api/v1/workers` lists them")
    services.cluster.workers.wish(name, _WISHES[verb])
    request.state.subject = name
    return WorkerState(name=name, state=_WISHES[verb])


def _known(services: Services, run: str) -> str:
    """Return the id of a run that the server knows.

    Raises:
        NotFound: It knows none of this id.
    """
    if not is_run_id(run):
        raise NotFound(f"there is no run `{run}`", hint="`GET /api/v1/runs` lists them")
    services.cluster.runs.head(run)
    return run


def _state(services: Services, run_id: str) -> dict[str, Any]:
    head = services.cluster.runs.head(run_id)
    return {"run_id": run_id, "status": RunStatus(head.status), "left": head.left}


def _with_dependents(tasks: Sequence[dict[str, Any]], again: Sequence[int]) -> list[int]:
    """Return tasks and all that depends on them, by position."""
    index_of = {task["id"]: index for index, task in enumerate(tasks)}
    dependents: dict[int, list[int]] = {}
    for index, task in enumerate(tasks):
        for name in task["depends_on"]:
            dependents.setdefault(index_of[name], []).append(index)
    return sorted({*again, *all_behind(again, lambda index: dependents.get(index, ()))})


def _refuse_beyond(caller: Caller, tasks: Sequence[dict[str, Any]], again: Sequence[int]) -> None:
    """Refuse to have tasks run again that the caller could not have submitted."""
    faults = [
        Fault(f"access.{what}", f"task `{tasks[index]['id']}` names the {what} `{tasks[index][what]}`")
        for index in again
        for what, allowed in (("agent", caller.agents), ("route", caller.routes))
        if allowed is not None and tasks[index][what] not in allowed
    ]
    if faults:
        detail = f"{len(faults):,} tasks name an agent or a route that token `{caller.name}` may not name"
        raise Problem(403, "access.plan", detail, hint="ask whoever made the token", faults=faults)
