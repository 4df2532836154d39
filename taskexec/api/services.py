"""What every route of the API works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from taskexec.api.access import Guard
from taskexec.cluster import Cluster
from taskexec.settings import Settings

__all__ = ["Services", "ServicesOf"]


@dataclass(slots=True)
class Services:
    """The cluster and what the API keeps beside it; one for each process."""

    cluster: Cluster
    settings: Settings
    guard: Guard


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesOf = Annotated[Services, Depends(_services)]
"""Parameter of a route that receives the services."""
