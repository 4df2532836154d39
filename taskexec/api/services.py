"""What every route of the API works with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated
from weakref import WeakValueDictionary

from fastapi import Depends, Request

from taskexec.api.access import Guard
from taskexec.api.live import Hub
from taskexec.cluster import Cluster
from taskexec.cluster.metrics import ClusterMetrics
from taskexec.settings import Settings

__all__ = ["Services", "ServicesOf"]

_COMPILED_AT_ONCE = 2


@dataclass(slots=True)
class Services:
    """The cluster and what the API keeps beside it; one for each process."""

    cluster: Cluster
    settings: Settings
    guard: Guard
    compiling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_COMPILED_AT_ONCE))
    """Held while a plan is read and compiled, which takes a core and much memory."""
    key_locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Held while a request with a key of its caller is answered."""
    live: Hub = field(init=False)
    """The runs that somebody looks at."""
    metrics: ClusterMetrics = field(init=False)
    """What Prometheus is told of the cluster."""

    def __post_init__(self) -> None:
        """Begin to know runs."""
        self.metrics = ClusterMetrics(self.cluster, classes=self.settings.metrics.classes)
        self.live = Hub(self.cluster, self.settings.evidence.runs_dir)


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesOf = Annotated[Services, Depends(_services)]
"""Parameter of a route that receives the services."""
