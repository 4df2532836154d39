"""The workers of the cluster, and what waits for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from taskexec.api.access import Viewer
from taskexec.api.models import Queues, Worker, Workers
from taskexec.api.paths import WorkerName
from taskexec.api.services import Services, ServicesOf
from taskexec.errors import NotFound
from taskexec.store.nodes import RedisNodes
from taskexec.store.queue_depths import queue_depths
from taskexec.store.standings import RedisStandings

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["cluster"])


@router.get("/workers", response_model=Workers)
def workers(services: ServicesOf, _caller: Viewer) -> dict[str, Any]:
    """List the workers that are there: what they have, and what of it is free."""
    return {"workers": services.cluster.workers.listed()}


@router.get("/workers/{name}", response_model=Worker)
def worker(name: WorkerName, services: ServicesOf, _caller: Viewer) -> dict[str, Any]:
    """Return a worker, with the tasks that it holds: `holds` is a list of `{run_id, tasks}`."""
    listed = services.cluster.workers.listed()
    found = next((one for one in listed if one["name"] == name), None)
    if found is None:
        names = ", ".join(f"`{one['name']}`" for one in listed[:20])
        hint = f"workers: {names}" if names else "no worker is there"
        raise NotFound(f"there is no worker `{name[:200]}`", hint=hint)
    return {**found, "holds": _holds(services, name)}


def _holds(services: Services, name: str) -> list[dict[str, Any]]:
    connection = services.cluster.connection
    view = next((one for one in RedisNodes(connection).views() if one.name == name), None)
    standings = RedisStandings(connection)
    found = []
    for hold in view.holds if view is not None else ():
        labels = standings.labels(hold.run_id, hold.tasks)
        found.append({"run_id": hold.run_id, "tasks": [labels.get(index, str(index)) for index in hold.tasks]})
    return found


@router.get("/queues", response_model=Queues)
def queues(services: ServicesOf, _caller: Viewer) -> dict[str, Any]:
    """Return what waits for workers, by route."""
    return {"queues": [asdict(depth) for depth in queue_depths(services.cluster.connection)]}
