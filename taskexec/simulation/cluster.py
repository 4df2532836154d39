"""The workers that are simulated: groups of equal ones, and when each comes and goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskexec.domain.resources import Capacity, Route

__all__ = ["ClusterSpec", "SimulatedWorker", "WorkerGroup", "live_cluster"]

WORKERS_MAX = 1_000_000
"""Most workers of a cluster that is simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGroup:
    """Workers that are all alike."""

    name: str
    """Name of the one worker; several are called `<name>-1` and so on."""
    capacity: Capacity
    """What each of them has."""
    count: int = 1
    routes: frozenset[Route] = frozenset(Route)
    """Queues that they serve."""
    agents: frozenset[str] | None = None
    """Agents that they have; None for all that a plan names."""
    join_at_s: float = 0.0
    """Seconds from the start of the run until they are there."""
    leave_at_s: float | None = None
    """From then on they take nothing more, and finish what they have; None never."""
    start_overhead_s: float = 0.0
    """Seconds between the moment when an attempt is given its place and its start."""

    def names(self) -> Iterator[str]:
        """Yield the names of its workers."""
        if self.count == 1:
            yield self.name
        else:
            yield from (f"{self.name}-{number}" for number in range(1, self.count + 1))


class SimulatedWorker(NamedTuple):
    """One worker."""

    name: str
    group: int
    """Position of its group."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """All workers of a simulation."""

    groups: tuple[WorkerGroup, ...]
    source: str = ""
    """Where it was read from, for people."""

    def workers(self) -> list[SimulatedWorker]:
        """Return the workers in the order in which they join: by time, then as they are listed."""
        ordered = sorted(range(len(self.groups)), key=lambda at: self.groups[at].join_at_s)
        return [SimulatedWorker(name, at) for at in ordered for name in self.groups[at].names()]

    @property
    def size(self) -> int:
        """Number of workers."""
        return sum(group.count for group in self.groups)


def live_cluster(records: Sequence[Mapping[str, Any]], source: str = "live") -> ClusterSpec:
    """Return the workers of a server as a cluster to simulate.

    Args:
        records: What the server knows of each: `name`, `classes`, `capacity`, and `agents` where it says so.
        source: What the cluster is called.
    """
    groups = []
    for record in records:
        agents = record.get("agents")
        groups.append(
            WorkerGroup(
                name=str(record["name"]),
                capacity=Capacity.from_record(record["capacity"]),
                routes=frozenset(map(Route, record["classes"])),
                agents=frozenset(map(str, agents)) if agents else None,
            )
        )
    return ClusterSpec(tuple(groups), source)
