"""Workers on this machine: what each is told, how it is started, and kept alive until it is interrupted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cluster.spools import MIB, spool_folder
from taskexec.domain.resources import Capacity, Route
from taskexec.placement import Offer

if TYPE_CHECKING:
    from taskexec.cluster.client import Cluster
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import WorkerSettings

__all__ = ["SPEC", "serve_worker", "worker_supervisor"]

SPEC = "TEK_WORKER_SPEC"
"""Environment variable in which a worker process is told what it is; no task sees it."""


def worker_supervisor(
    cluster: Cluster,
    *,
    routes: Sequence[Route],
    capacity: Capacity | Offer,
    log_path: Path | None,
    with_events: bool = False,
    shutdown_s: float | None = None,
) -> WorkerSupervisor:
    """Return a supervisor (not started) for a worker on a cluster.

    Args:
        cluster: Where it serves.
        routes: Queues that it serves.
        capacity: What it offers, with or without what is told with it.
        log_path: File for its messages; None leaves them on our standard error.
        with_events: Whether it sends Celery events from the start.
        shutdown_s: Time that running attempts have when it is told to leave; None is that of the settings.

    Raises:
        KeyUnusable: The worker would have no key to sign with.
    """
    from taskexec.runtime.supervisor import WorkerSupervisor

    settings = cluster.settings
    offer = capacity if isinstance(capacity, Offer) else Offer(capacity)
    pool = pool_limits(settings.worker, offer.capacity.slots)
    if pool is not None:
        slots = min(max(offer.capacity.slots, pool["smallest"]), pool["largest"])
        offer = replace(offer, capacity=replace(offer.capacity, slots=slots))
    _ = cluster.identity  # made here, so that whoever starts the worker is told what is wrong with it

    def launch(name: str, scratch: Path) -> tuple[list[str], Mapping[str, str]]:
        spec = {
            "name": name,
            "url": cluster.url,
            "scratch": str(scratch),
            "routes": [str(route) for route in routes],
            "capacity": offer.capacity.to_record(),
            "driver": offer.driver,
            "notes": offer.notes,
            "project_dir": str(settings.worker.project_dir),
            "lease_s": settings.worker.lease_s,
            "reap_interval_s": settings.worker.reap_interval_s,
            "patience_s": settings.worker.batch_target_s,
            "kill_grace_s": settings.worker.kill_grace_s,
            "gang_timeout_s": settings.worker.gang_timeout_s,
            "address": settings.worker.address,
            "inline_limit_bytes": settings.evidence.inline_limit_bytes,
            "output_limit_bytes": settings.evidence.output_limit_mib * MIB,
            "spool_above_bytes": settings.evidence.spool_above_mib * MIB,
            "file_limit_bytes": settings.evidence.file_limit_mib * MIB,
            "spool_dir": str(spool_folder(settings)),
            "retention_s": settings.evidence.retention_s,
            "security": {
                "keys_dir": str(settings.security.keys_folder(os.environ).absolute()),
                "trusted_keys": settings.security.trusted_keys,
                "require_signed": settings.security.require_signed,
            },
            "limits": settings.limits.model_dump(),
            "log": settings.log.model_dump(),
            "trace": settings.trace.model_dump(),
            "metrics": settings.metrics.model_dump(include={"host", "port", "ports"}),
            "with_events": with_events,
            "shutdown_s": settings.worker.shutdown_s if shutdown_s is None else shutdown_s,
            "pool": pool,
            "supervisor": os.getpid(),
        }
        return [sys.executable, "-m", "taskexec.cluster"], {**os.environ, SPEC: json.dumps(spec)}

    return WorkerSupervisor(
        launch,
        on_lost=cluster.lose_worker,
        restart_limit=settings.worker.restart_limit,
        log_path=log_path,
    )


def pool_limits(settings: WorkerSettings, slots: int) -> dict[str, Any] | None:
    """Return between what the slots of a worker move (`PoolLimits`), which begins with some; None for not at all."""
    if settings.min_slots is None and settings.max_slots is None:
        return None
    smallest = settings.min_slots or min(slots, settings.max_slots or slots)
    return {
        "smallest": smallest,
        "largest": max(settings.max_slots or slots, smallest),
        "load_limit": settings.widen_load,
        "idle_s": settings.narrow_after_s,
    }


def serve_worker(supervisor: WorkerSupervisor, interrupts: Interrupts) -> int:
    """Keep a worker alive until it is interrupted: once lets running attempts finish, twice kills them.

    A worker that was drained is not started again.

    Returns:
        0 after an orderly end, 130 after a kill.
    """
    supervisor.start()
    is_asked = False
    try:
        while True:
            if interrupts.count and not is_asked:
                is_asked = True
                supervisor.ask_to_stop()
            if interrupts.count > 1:
                return 130
            if supervisor.wait(0.2) is not None:
                if is_asked:
                    return 0
                supervisor.tend()
                if supervisor.has_left:
                    return 0
    finally:
        supervisor.kill()
