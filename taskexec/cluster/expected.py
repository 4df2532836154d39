"""Workers that need not be there yet: those of a described cluster, as admission sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.plan import Plan
    from taskexec.settings import Settings
    from taskexec.simulation import ClusterSpec
    from taskexec.submission import KnownWorker

__all__ = ["described_workers", "expected_workers"]


def described_workers(cluster: ClusterSpec, plan: Plan, *, are_expected: bool = False) -> list[KnownWorker]:
    """Return the workers of a described cluster: of equal ones as many as the widest task of a plan could need.

    When they come and go does not count.
    """
    from taskexec.submission import KnownWorker

    most = max((task.needs.nodes for task in plan.tasks), default=1)
    found = []
    for group in cluster.groups:
        for _, name in zip(range(most), group.names(), strict=False):
            worker = KnownWorker(name, group.routes, group.capacity, group.agents, is_expected=are_expected)
            found.append(worker)
    return found


def expected_workers(settings: Settings, plan: Plan) -> list[KnownWorker]:
    """Return the workers that `cluster.expected` names; none where nothing is said.

    Raises:
        PlanRejected: The file cannot be read, or has faults; all of them are listed.
    """
    if settings.cluster.expected is None:
        return []
    from taskexec.simulation import read_cluster

    return described_workers(read_cluster(settings.cluster.expected), plan, are_expected=True)
