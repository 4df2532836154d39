"""Flower, on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.broker import FlowerAccess

__all__ = ["run_flower"]


def run_flower(url: str, access: FlowerAccess, on_ready: Callable[[int], None]) -> None:
    """Serve Flower for a server until INT or TERM; `on_ready` gets the port once it listens."""
    from taskexec.broker.monitor import run_flower

    run_flower(url, access, on_ready)
