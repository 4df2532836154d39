"""Flower, on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from taskexec.cluster.doors import api_address

if TYPE_CHECKING:
    from taskexec.broker import FlowerAccess
    from taskexec.settings import Settings

__all__ = ["run_flower"]


def run_flower(url: str, access: FlowerAccess, settings: Settings, on_ready: Callable[[int], None]) -> None:
    """Serve Flower for a server until INT or TERM; `on_ready` gets the port once it listens.

    Tasks link to their run pages where the settings or `tek up` say that there is an API.
    """
    from taskexec.broker.monitor import run_flower

    run_flower(url, access, on_ready, page_url=partial(api_address, settings))
