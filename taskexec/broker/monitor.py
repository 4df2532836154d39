"""Flower on a cluster: started in this process with an app of ours, never open to strangers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskexec.broker.app import make_app
from taskexec.broker.messages import ATTEMPT_TASK, BATCH_TASK

__all__ = ["FlowerAccess", "run_flower"]


@dataclass(frozen=True, slots=True)
class FlowerAccess:
    """Where Flower listens and who may enter."""

    host: str
    port: int
    """TCP port; 0 takes a free one."""
    user: str
    password: str
    is_read_only: bool = True


def run_flower(url: str, access: FlowerAccess, on_ready: Callable[[int], None]) -> None:
    """Serve Flower for a server until INT or TERM; `on_ready` gets the port once it listens.

    Raises:
        OSError: The address cannot be bound.
    """
    from flower.app import Flower  # type: ignore[import-untyped]
    from flower.options import default_options as options  # type: ignore[import-untyped]
    from flower.urls import settings  # type: ignore[import-untyped]

    app = make_app(url)
    for name in (ATTEMPT_TASK, BATCH_TASK):
        app.task(name=name)(_performed_by_workers)
    options.address = access.host
    options.port = access.port
    # its pages and API are open unless credentials are set
    options.basic_auth = [f"{access.user}:{access.password}"]
    options.read_only = access.is_read_only
    monitor: Any = Flower(capp=app, options=options, **{**settings, "cookie_secret": options.cookie_secret})
    port = monitor.start_http_server()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: monitor.io_loop.add_callback_from_signal(monitor.stop))
    on_ready(port)
    monitor.start()


def _performed_by_workers() -> None:
    """Stand for a task that only workers perform; Flower lists it by name."""
