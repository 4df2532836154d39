"""Clusters, runs and moments made by hand, for tests of the answer to why a task stands where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskexec.domain.fit import WHOLE, Ask, Option, agent_trait, debit, label_trait, route_trait, traits_of, vector_of
from taskexec.domain.placing import Account, Want
from taskexec.domain.resources import Capacity, Gpu
from taskexec.observability.why import Cluster, Held, Node, RunNow, Story, TaskNow

__all__ = ["NOW_US", "Moment", "cluster_of", "hold", "node", "option", "story", "want"]

NOW_US = 1_800_000_000_000_000
"""The moment at which everything is asked."""
AT = "2027-01-15T08:00:00.000000Z"
"""The same as the ledger writes it."""


def option(
    cpus: float = 1.0,
    memory: int = 0,
    gpus: float = 0.0,
    gpu_memory: int = 0,
    *,
    disk: int = 0,
    exclusive: bool = False,
    has: tuple[str, ...] = (),
    lacks: tuple[str, ...] = (),
    route: str = "",
) -> Option:
    """Return what a task asks of one worker."""
    serves = route or ("gpu" if gpus else "cpu")
    traits = (route_trait(serves), agent_trait("shell"), *map(label_trait, has))
    amounts = (round(cpus * WHOLE), memory, disk, round(gpus * WHOLE), gpu_memory)
    return Option(*amounts, exclusive, traits, tuple(map(label_trait, lacks)))


def hold(of: Node, what: Option, name: str = "`other`", *, left_s: float = 0.0, gpus: tuple[int, ...] = ()) -> Held:
    """Return what a task holds of a worker."""
    return Held((name,), debit(what, gpus, of.total), int(NOW_US + left_s * 1e6) if left_s else 0)


def node(
    name: str = "w",
    cpus: float = 8.0,
    memory: int = 8192,
    gpus: tuple[int, ...] = (),
    *,
    labels: tuple[str, ...] = (),
    routes: tuple[str, ...] = ("cpu", "gpu", "distributed"),
    state: str = "ready",
    slots: int = 8,
    kept_for: str = "",
    kept: Option | None = None,
    busy: tuple[tuple[str, Option, float, tuple[int, ...]], ...] = (),
) -> Node:
    """Return a worker; `busy` says who holds what of it, for how many seconds more (0 is unknown), with which GPUs."""
    devices = tuple(Gpu(str(at), "", memory_mib) for at, memory_mib in enumerate(gpus))
    capacity = Capacity(cpus, memory, devices, slots, 1000, frozenset(labels))
    total = vector_of(capacity)
    traits = traits_of(capacity, routes, ["shell"], is_ready=state == "ready")
    empty = Node(name, total, total, traits, state=state)
    holds = tuple(hold(empty, what, who, left_s=left_s, gpus=at) for who, what, left_s, at in busy)
    free = list(total)
    for held in holds:
        free = [left - one for left, one in zip(free, held.vector, strict=True)]
    kept_vector = debit(kept, tuple(range(kept.gpus // WHOLE)), total) if kept else []
    return Node(name, total, free, traits, holds, kept_for, kept_vector, state)


def want(*options: Option, run_id: str = "r", index: int = 0, waited_s: float = 1.0, **ask: Any) -> Want:
    """Return a task that waits to be placed."""
    return Want(run_id, index, 1, Ask(options or (option(),), **ask), int(NOW_US - waited_s * 1e6), 0)


def cluster_of(
    *nodes: Node, wants: tuple[Want, ...] = (), shares: Mapping[str, int] | None = None, **more: Any
) -> Cluster:
    """Return a cluster; runs are of the user that they are called by."""
    by_run: dict[str, list[Want]] = {}
    for one in wants:
        by_run.setdefault(one.run_id, []).append(one)
    held = shares or {}
    accounts = {
        run: tuple((payer, Account(held.get(payer, 0))) for payer in (f"r:{run}", f"u:{run}", "t:")) for run in by_run
    }
    return Cluster(NOW_US, nodes, wants={run: tuple(one) for run, one in by_run.items()}, accounts=accounts, **more)


def story(tasks: Mapping[str, Mapping[str, Any]], *ledger: Mapping[str, Any]) -> Story:
    """Return a run; entries of the ledger give `s`, seconds before now, instead of `at`."""
    from taskexec.domain.clock import iso_time

    rows = [
        {"id": name, "depends_on": [], "agent": "shell", "route": "cpu", "duration_s": None} | dict(task)
        for name, task in tasks.items()
    ]
    entries = []
    for number, entry in enumerate(ledger):
        at = iso_time(NOW_US / 1e6 - entry.get("s", 0.0))
        entries.append({"entry": str(number), "at": at} | {key: value for key, value in entry.items() if key != "s"})
    return Story("r", {"tasks": rows}, entries)


@dataclass
class Moment:
    """A `Present` made by hand."""

    tasks: dict[int, TaskNow] = field(default_factory=dict)
    cluster: Cluster = field(default_factory=lambda: Cluster(NOW_US))
    run: RunNow = field(default_factory=lambda: RunNow("running"))

    def task(self, index: int) -> TaskNow:
        """See `Present.task`."""
        return self.tasks.get(index, TaskNow())
