"""What a worker tells Prometheus: what its processes have counted, what it has, and how much of that is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from taskexec.domain.fit import CPUS, GPUS, MEMORY, SLOTS, WHOLE, Vector
from taskexec.observability.metrics import ScrapeServer, Sheet, listen
from taskexec.runtime.meter import Board
from taskexec.store.nodes import NodeView
from taskexec.store.workers import CORDONED, DRAINING, READY_STATE

__all__ = ["Endpoint", "MetricsAddress", "WorkerStanding", "worker_page"]

log = logging.getLogger("taskexec.metrics")

_MIB = 2**20
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - what is listened on is the user's to say
_MACHINE = {
    "memory_available_mib": "taskexec_worker_machine_memory_available_bytes",
    "disk_free_mib": "taskexec_worker_disk_free_bytes",
}
_GPU_LOAD = {
    "busy_percent": ("taskexec_worker_gpu_busy_ratio", 1 / 100),
    "memory_total_mib": ("taskexec_worker_gpu_memory_bytes", _MIB),
    "memory_used_mib": ("taskexec_worker_gpu_memory_used_bytes", _MIB),
}


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where a worker answers Prometheus."""

    host: str
    port: int
    ports: int = 1
    """How many ports there are to choose from, this one first: several workers may share a host."""

    def told(self, port: int, reachable: str) -> str:
        """Return how others find it, on the port that was chosen.

        `reachable` is where the worker's host is reached, which counts where it listens on all addresses.
        """
        host = reachable if self.host in _EVERYWHERE else self.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """What the main process knows of its worker; all of it may be some rounds old."""

    record: Mapping[str, Any]
    """What it has registered last."""
    view: NodeView | None
    """What the server said last of what it has and holds; None before the first round."""
    state: str


class Endpoint:
    """Serves a page at an address for as long as a worker lives; one that cannot is told, and does no harm."""

    def __init__(self, address: MetricsAddress, page: Callable[[], bytes], *, reachable: str) -> None:
        self._address = address
        self._page = page
        self._reachable = reachable
        self._server: ScrapeServer | None = None

    def start(self) -> dict[str, str]:
        """Begin to answer; return what the registration says of it, which is nothing where no port is free."""
        address = self._address
        try:
            self._server = listen(address.host, address.port, self._page, ports=address.ports)
        except OSError as error:
            log.warning("no metrics: %s port %d cannot be listened on: %s", address.host, address.port, error.strerror)
            return {}
        return {"metrics": address.told(self._server.port, self._reachable)}

    def stop(self) -> None:
        """End answering."""
        if self._server is not None:
            self._server.stop()


def worker_page(name: str, board: Board, standing: WorkerStanding) -> bytes:
    """Return what is told of a worker."""
    sheet = Sheet()
    record = standing.record
    told = {label: str(record.get(label, "")) for label in ("version", "python", "driver")}
    sheet.set("taskexec_worker_info", 1, worker=name, **told)
    for state in (READY_STATE, CORDONED, DRAINING):
        sheet.set("taskexec_worker_state", float(standing.state == state), state=state)
    if standing.view is not None:
        _tell_use(sheet, standing.view)
    _tell_load(sheet, record.get("load", {}))
    _tell_counts(sheet, board)
    return sheet.text()


def _tell_use(sheet: Sheet, view: NodeView) -> None:
    total, used = view.total, [one - left for one, left in zip(view.total, view.free, strict=True)]
    for suffix, vector in (("", total), ("_used", used)):
        sheet.set(f"taskexec_worker_slots{suffix}", vector[SLOTS])
        sheet.set(f"taskexec_worker_cores{suffix}", vector[CPUS] / WHOLE)
        sheet.set(f"taskexec_worker_memory{suffix}_bytes", vector[MEMORY] * _MIB)
    for gpu, share in enumerate(_shares(used)):
        sheet.set("taskexec_worker_gpu_held_ratio", share, gpu=str(gpu))


def _shares(vector: Vector) -> list[float]:
    return [share / WHOLE for share in vector[GPUS::2]]


def _tell_load(sheet: Sheet, load: Mapping[str, Any]) -> None:
    if "cpu_percent" in load:
        sheet.set("taskexec_worker_machine_busy_ratio", load["cpu_percent"] / 100)
    for field, name in _MACHINE.items():
        if field in load:
            sheet.set(name, load[field] * _MIB)
    for position, gpu in enumerate(load.get("gpus", ())):
        for field, (name, factor) in _GPU_LOAD.items():
            if field in gpu:
                sheet.set(name, gpu[field] * factor, gpu=str(position))


def _tell_counts(sheet: Sheet, board: Board) -> None:
    total = board.total()
    for kind, outcome, reason, count in board.endings(total):
        sheet.set("taskexec_worker_attempts_total", count, outcome=outcome, kind=kind, reason=reason)
    for route, histogram in board.dispatch(total):
        sheet.set("taskexec_worker_dispatch_seconds", histogram, route=route)
    for kind, histogram in board.work(total):
        sheet.set("taskexec_worker_work_seconds", histogram, kind=kind)
    for script, histogram in board.scripts(total):
        sheet.set("taskexec_worker_script_seconds", histogram, script=script)
    sheet.set("taskexec_worker_evidence_bytes_total", board.evidence_bytes(total))
    sheet.set("taskexec_worker_leases_lapsed_total", board.lapsed(total))
    sheet.set("taskexec_worker_spans_dropped_total", board.dropped(total))
