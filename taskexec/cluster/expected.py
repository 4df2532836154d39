"""Workers that need not be there yet: those of a described cluster, as admission sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskexec.errors import PlanRejected

if TYPE_CHECKING:
    from taskexec.plan import Plan
    from taskexec.settings import Settings
    from taskexec.simulation import ClusterSpec
    from taskexec.submission import KnownWorker

__all__ = ["described_workers", "expected_cluster", "expected_workers"]


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
        SettingsRejected: The file cannot be read, or has faults; all of them are listed.
    """
    cluster = expected_cluster(settings)
    return [] if cluster is None else described_workers(cluster, plan, are_expected=True)


def expected_cluster(settings: Settings) -> ClusterSpec | None:
    """Return what the file says that `cluster.expected` names; None where nothing is said.

    Raises:
        SettingsRejected: It cannot be read, or has faults; all of them are listed.
    """
    if settings.cluster.expected is None:
        return None
    from taskexec.settings import SettingsRejected
    from taskexec.simulation import read_cluster

    try:
        return read_cluster(settings.cluster.expected)
    except PlanRejected as error:  # it is no plan, and nobody's who sends one
        raise SettingsRejected(
            replace(fault, hint=fault.hint or "`cluster.expected` names this file") for fault in error.faults()
        ) from error
