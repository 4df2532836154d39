"""A worker: one Celery worker process with its pool, built from explicit parts and run to its end."""

from __future__ import annotations

import gc
import logging
import os
import platform
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning
from celery.utils.log import get_multiprocessing_logger

from taskexec.agents import AgentRegistry
from taskexec.broker import make_app
from taskexec.domain.pool_size import PoolLimits
from taskexec.domain.protocol import PROTOCOL
from taskexec.domain.resources import Capacity, Route
from taskexec.errors import ConnectionLost
from taskexec.observability.logs import LogFormat, start_logs
from taskexec.placement import LoadProbe
from taskexec.runtime.attendant import Attendant
from taskexec.runtime.caretaker import Caretaker
from taskexec.runtime.carrier import CarrierSettings
from taskexec.runtime.consumer import PromptConsumer
from taskexec.runtime.meter import Board
from taskexec.runtime.pool import Pool
from taskexec.runtime.presence import Presence
from taskexec.runtime.spool import SpoolServer
from taskexec.runtime.sweep import end_all
from taskexec.runtime.tasks import register_tasks
from taskexec.runtime.watched import Endpoint, MetricsAddress, worker_page
from taskexec.store.connection import Connection, keep_trying
from taskexec.store.keys import direct_key

__all__ = ["WorkerProfile", "run_worker"]

log = logging.getLogger("taskexec.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProfile:
    """What a worker is: its name, its routes and its size."""

    name: str
    """Unique among live workers: host, process and a random part."""
    routes: tuple[Route, ...]
    """Queues it consumes."""
    capacity: Capacity
    """What it has; `slots` is the size of its pool."""
    with_events: bool = False
    """Whether it sends Celery events from the start (Flower can switch them on later)."""
    driver: str = ""
    """Version of NVIDIA's driver; empty without one."""
    notes: tuple[str, ...] = ()
    """Short texts about what it has, for whoever looks at it."""
    shutdown_s: float = 3600.0
    """Time that running attempts have after TERM, in seconds."""
    pool_limits: PoolLimits | None = None
    """Between what its slots move; None keeps them as they are."""
    log_level: str = "warning"
    """Least weight of a line that is logged, by its name."""
    log_format: LogFormat = "auto"
    """Form of the lines."""


def run_worker(
    profile: WorkerProfile,
    url: str,
    settings: CarrierSettings,
    *,
    reap_interval_s: float,
    grace_s: float,
    metrics: MetricsAddress | None = None,
) -> int:
    """Run a Celery worker in this process until it is told to stop; return its exit status.

    `metrics` is where it answers Prometheus; None counts nothing and listens nowhere. TERM ends it warmly (running
    attempts finish, or are given back when their time is up), QUIT at once. Without mingle and gossip it starts in a
    second less.
    """
    _start_logs(profile)
    # Celery warns root because of pickle, which we do not accept
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # a call that hangs must not outlast a lease: it is given up and made again
    timeout_s = max(settings.lease_s / 3, 1.0)
    connection = Connection(url, socket_timeout_s=timeout_s)
    _await_server(connection)
    for note in profile.notes:
        log.info("note", extra={"note": note})
    agents = AgentRegistry()
    board = None if metrics is None else Board(agents.names(), _most_slots(profile))
    attendant = Attendant(
        settings,
        connect=lambda: Connection(url, socket_timeout_s=timeout_s),
        agents=agents,
        grace_s=grace_s,
        board=board,
    )
    app: Any = make_app(url, latch=attendant, routes=profile.routes, worker=profile.name)
    register_tasks(app, attendant)
    registration = _registration(profile, agents) | _spool_id(settings)
    pool = None if profile.pool_limits is None else Pool(profile.capacity, profile.pool_limits)
    presence = Presence(
        [str(route) for route in profile.routes], direct_key(profile.name), shutdown_s=profile.shutdown_s, pool=pool
    )
    caretaker = Caretaker(
        profile.name,
        registration,
        connection,
        interval_s=reap_interval_s,
        lease_s=settings.lease_s,
        load=LoadProbe(settings.scratch, [gpu.uuid for gpu in profile.capacity.gpus]),
        presence=presence,
        pool=pool,
        grace_s=grace_s,
        meter=None if board is None else board.meter(),
    )
    app.presence, app.meet = presence, caretaker.meet
    spool = None
    if "spool" in registration and settings.spool is not None:
        spool = SpoolServer(settings.spool, Connection(url), retention_s=settings.retention_s)
        signals.worker_ready.connect(lambda **_: spool.start(), weak=False)
    endpoint = None
    if metrics is not None and board is not None:
        connection.observe = board.meter().called
        endpoint = _answer_prometheus(metrics, board, caretaker, profile, reachable=settings.address)
    signals.worker_ready.connect(lambda **_: caretaker.start(), weak=False)
    signals.worker_ready.connect(lambda **_: presence.handle_term(), weak=False)
    signals.worker_process_shutdown.connect(lambda exitcode=None, **_: _end_child(attendant, exitcode), weak=False)
    worker = _celery_worker(app, profile)
    try:
        worker.start()
    finally:
        for server in (spool, endpoint):
            if server is not None:
                server.stop()
        caretaker.stop()
        attendant.close()
        end_all(profile.name)
    return int(worker.exitcode or 0)


def _end_child(attendant: Attendant, status: int | None) -> None:
    """End a pool child in order.

    One that was asked to end has nothing more to say: billiard would report its death to the main process, which asked
    for it, and have it wait for a second to be killed.
    """
    attendant.close()
    if status == 0:
        os._exit(0)


def _most_slots(profile: WorkerProfile) -> int:
    limits = profile.pool_limits
    return profile.capacity.slots if limits is None else max(profile.capacity.slots, limits.largest)


def _answer_prometheus(
    address: MetricsAddress, board: Board, caretaker: Caretaker, profile: WorkerProfile, *, reachable: str
) -> Endpoint:
    """Return what answers Prometheus from the moment in which the worker is ready, and says so in its registration."""
    endpoint = Endpoint(address, lambda: worker_page(profile.name, board, caretaker.standing), reachable=reachable)
    signals.worker_ready.connect(lambda **_: caretaker.tell(endpoint.start()), weak=False)
    return endpoint


def _start_logs(profile: WorkerProfile) -> None:
    start_logs(profile.log_format, profile.log_level, worker=profile.name)
    # who listens to this signal has seen to all logging: Celery leaves it alone, in its pool as well
    signals.setup_logging.connect(_leave_logs_alone)
    if (of_pool := get_multiprocessing_logger()) is not None:
        of_pool.propagate = True


def _leave_logs_alone(**_: Any) -> None:
    """Change nothing."""


def _celery_worker(app: Any, profile: WorkerProfile) -> Any:
    worker = app.Worker(
        hostname=profile.name,
        consumer_cls=PromptConsumer,
        pool="prefork",
        concurrency=profile.capacity.slots,
        loglevel=profile.log_level.upper(),
        without_mingle=True,
        without_gossip=True,
        task_events=profile.with_events,
        optimization="fair",
        quiet=True,
    )
    gc.freeze()  # what there is now stays: nobody looks through it any more, and the pool goes on sharing its memory
    return worker


def _await_server(connection: Connection) -> None:
    """Wait until the server answers: a worker that starts again while it is away is not to be given up."""
    try:
        connection.ping()
    except ConnectionLost as error:
        log.warning("the server is waited for", extra={"error": error.message})
        keep_trying(connection.ping)


def _spool_id(settings: CarrierSettings) -> dict[str, str]:
    """Return what the registration says of the host's spool; nothing when there is none that can be written."""
    if settings.spool is None:
        return {}
    try:
        return {"spool": settings.spool.id}
    except OSError as error:
        log.warning("large files cannot be kept", extra={"folder": str(settings.spool.folder), "error": str(error)})
        return {}


def _registration(profile: WorkerProfile, agents: AgentRegistry) -> dict[str, Any]:
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "classes": [str(route) for route in profile.routes],
        "capacity": profile.capacity.to_record(),
        "agents": agents.names(),
        "state": "ready",
        "version": metadata.version("taskexec"),
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "driver": profile.driver,
        "notes": list(profile.notes),
    }
