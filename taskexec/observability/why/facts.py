"""What an answer is made of: how things stand on the cluster and in the run at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from taskexec.domain.fit import Spot, Vector, slot_debit
from taskexec.domain.placing import Account, Want, spare_of
from taskexec.domain.program import Grant

__all__ = ["Cluster", "Held", "Node", "Queue", "RunNow", "TaskNow", "limits_of", "within"]


@dataclass(frozen=True, slots=True)
class Held:
    """What something holds on a worker."""

    names: tuple[str, ...]
    """The tasks it is for, as people read them."""
    vector: Vector
    ends_us: int = 0
    """When it is expected to end, microseconds since the epoch; 0 is unknown."""
    behind: str = ""
    """Owner of the worker's mark when it was taken."""


@dataclass(frozen=True, slots=True)
class Node:
    """A worker."""

    name: str
    total: Vector
    free: Vector
    traits: frozenset[str]
    holds: tuple[Held, ...] = ()
    kept_for: str = ""
    """The task that it is kept for, `run:index`; empty for none."""
    kept: Vector = field(default_factory=list)
    """What that one will take of it."""
    state: str = "ready"
    """`ready`, `cordoned` or `draining`."""

    @property
    def spot(self) -> Spot:
        """Return it as a place."""
        return Spot(self.name, self.total, self.free, self.traits)

    @property
    def spare(self) -> Vector:
        """Return what may be taken of it by those that it is not kept for."""
        later = [hold.vector for hold in self.holds if hold.behind == self.kept_for]
        return spare_of(self.total, self.kept, later)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers, and what waits to be placed on them."""

    now_us: int
    """Server time, microseconds since the epoch."""
    nodes: tuple[Node, ...] = ()
    """In the order in which they joined."""
    starving: frozenset[str] = frozenset()
    """Routes on which a task that needs nothing has waited so long that a slot is left to it."""
    wants: Mapping[str, Sequence[Want]] = field(default_factory=dict)
    """What waits to be placed: by run, each in the order of its run; runs in the order in which they began to wait."""
    accounts: Mapping[str, tuple[tuple[str, Account], ...]] = field(default_factory=dict)
    """What is held for each of these runs: by the run itself, its user and its tag (`r:`, `u:`, `t:`)."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Tasks as people read them, by `run:index`."""

    def name_of(self, owner: str) -> str:
        """Return a task as people read it."""
        return self.names.get(owner) or f"task {owner.rpartition(':')[2]} of run {owner.rpartition(':')[0]}"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that a task without needs stands in."""

    route: str
    messages_before: int
    """Messages that are taken before its own, at least."""
    is_more: bool = False
    """Whether there are more than were looked at."""


@dataclass(frozen=True, slots=True)
class TaskNow:
    """Where one task stands, beyond what the log says."""

    letter: str = ""
    """Its state as the scripts keep it; empty while it waits."""
    attempt: int = 0
    want: Want | None = None
    """What it asks for, if it waits to be placed; memory as the next attempt gets it."""
    memory_ratio: float = 1.0
    """So many times the memory of the plan, after attempts that ran out of it."""
    due_us: int | None = None
    """When a delay is over."""
    suspect: str | None = None
    """The task that is on trial instead of this one, if it waits for that."""
    backlog: tuple[int, int] | None = None
    """Tasks of the run that are held before it, and those that are in the queue."""
    queue: Queue | None = None
    queued_us: int | None = None
    """Since when it is in the queue, or placed."""
    grant: Grant | None = None
    """Where it was placed."""


@dataclass(frozen=True, slots=True)
class RunNow:
    """Where a run stands on its server."""

    status: str
    is_stopping: bool = False
    deadline_us: int | None = None
    """When its time is up."""


def within(part: Sequence[int], limit: Sequence[int]) -> bool:
    """Return whether amounts are there."""
    return all(one <= left for one, left in zip(part, limit, strict=True))


def limits_of(cluster: Cluster, owner: str) -> dict[str, Vector]:
    """Return what a task may take of workers of which it may not take all that is free.

    Workers are kept for others, and a slot is left to tasks that need nothing and have waited too long: the rules of
    `place` in `lua/placing.lua`.
    """
    kept = {node.name: node.spare for node in cluster.nodes if node.kept_for}
    slots: dict[str, Vector] = {}
    for route in ("cpu", "gpu", "distributed"):
        if route in cluster.starving:
            _leave_a_slot(cluster, route, kept, slots)
    limits = dict(slots)
    for node in cluster.nodes:
        if node.kept_for and node.kept_for != owner:
            capped = slots.get(node.name, node.spare)
            limits[node.name] = [min(one, other) for one, other in zip(node.spare, capped, strict=True)]
    return limits


def _leave_a_slot(cluster: Cluster, route: str, kept: Mapping[str, Vector], slots: dict[str, Vector]) -> None:
    for node in cluster.nodes:
        slot = slot_debit(node.total)
        if node.name in slots or not {"s:ready", f"r:{route}"} <= node.traits or not within(slot, node.free):
            continue
        if node.name not in kept or within(slot, kept[node.name]):
            slots[node.name] = [left - one for left, one in zip(node.free, slot, strict=True)]
            return
