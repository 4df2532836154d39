"""What `domain.autoscale` decides on, as a cluster has it now: its workers, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from taskexec.domain.autoscale import NodeClass, Standing, Waiting, Wanted, class_of, wanted_nodes
from taskexec.domain.fit import Spot
from taskexec.domain.resources import Capacity, Route
from taskexec.store.nodes import RedisNodes
from taskexec.store.workers import DRAINING

if TYPE_CHECKING:
    from taskexec.cluster.client import Cluster

__all__ = ["survey"]

_ASKS_MOST = 2000
"""Tasks that ask for something which are looked at: more do not start before others have ended."""


def survey(cluster: Cluster, classes: Sequence[NodeClass], *, idle_s: float) -> dict[str, Wanted]:
    """Return how many nodes of each class are wanted now (`wanted_nodes`).

    Raises:
        ConnectionLost: The server did not answer.
    """
    from taskexec.agents import AgentRegistry

    nodes = RedisNodes(cluster.connection)
    rows = {row["name"]: row for row in cluster.workers.listed() if row["state"] != DRAINING}
    standing = []
    for view in nodes.views():
        row = rows.get(view.name)
        if row is None:
            continue  # it leaves, or has left in between
        capacity = Capacity.from_record(row["capacity"])
        standing.append(
            Standing(
                spot=Spot(view.name, view.total, view.free, view.traits),
                class_name=class_of(capacity, row["classes"], classes),
                idle_s=0.0 if view.holds else float(row.get("idle_s", 0.0)),
            )
        )
    wants = (want.ask for run_id in nodes.wanting() for want in nodes.wants(run_id, most=_ASKS_MOST))
    asks = sorted(islice(wants, _ASKS_MOST), key=lambda ask: -ask.priority)
    agents = {*AgentRegistry().names(), *(name for row in rows.values() for name in row["agents"])}
    slots = {str(route): cluster.runs.waiting(str(route)) for route in Route}
    waiting = Waiting(tuple(asks), {route: count for route, count in slots.items() if count})
    return wanted_nodes(classes, standing, waiting, idle_s=idle_s, agents=agents)
