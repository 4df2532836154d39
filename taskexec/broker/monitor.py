"""Flower on a cluster: started in this process with an app of ours, never open to strangers."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskexec.broker.app import make_app
from taskexec.broker.messages import ATTEMPT_TASK, BATCH_TASK
from taskexec.store.connection import Connection

__all__ = ["FlowerAccess", "run_flower"]

_NICENESS = 10
"""Where monitor and work share a machine, work goes first: the log waits, nothing is lost."""
_PURGE_S = 3600
"""Workers that left so long ago are shown no more, and their metrics end."""


@dataclass(frozen=True, slots=True)
class FlowerAccess:
    """Where Flower listens, who may enter and how much it keeps."""

    host: str
    port: int
    """TCP port; 0 takes a free one."""
    user: str
    password: str
    is_read_only: bool = True
    max_tasks: int = 20_000
    """Tasks that it keeps in memory; the oldest go first."""


def _no_page() -> str | None:
    return None


def run_flower(
    url: str,
    access: FlowerAccess,
    on_ready: Callable[[int], None],
    *,
    page_url: Callable[[], str | None] = _no_page,
) -> None:
    """Serve Flower for a server until INT or TERM.

    Args:
        url: The server.
        access: Where, and for whom.
        on_ready: Gets the port once it listens.
        page_url: Gives the address of the API whose run pages tasks link to, asked for each page; None while there
            is none.

    Raises:
        OSError: The address cannot be bound.
    """
    from flower.options import default_options as options  # type: ignore[import-untyped]
    from flower.urls import settings  # type: ignore[import-untyped]
    from tornado.ioloop import IOLoop

    from taskexec.broker.flower_app import GuardedFlower, RunEvents, TaskPages

    app = make_app(url)
    for name in (ATTEMPT_TASK, BATCH_TASK):
        app.task(name=name)(_performed_by_workers)
    credentials = f"{access.user}:{access.password}"
    options.address = access.host
    options.port = access.port
    options.basic_auth = [credentials]
    options.read_only = access.is_read_only
    options.enable_events = False
    options.max_tasks = access.max_tasks
    options.purge_offline_workers = _PURGE_S
    os.nice(_NICENESS)
    io_loop = IOLoop.current()
    monitor: Any = GuardedFlower(
        credentials,
        page_url,
        capp=app,
        options=options,
        io_loop=io_loop,
        events=RunEvents(lambda: Connection(url), app, io_loop, most_tasks=access.max_tasks),
        **settings
        | {
            # the same after a restart with the same password, and nobody else's
            "cookie_secret": hashlib.sha256(f"flower cookies of {credentials}".encode()).hexdigest(),
            "template_loader": TaskPages(settings["template_path"]),
        },
    )
    port = monitor.start_http_server()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: monitor.io_loop.add_callback_from_signal(monitor.stop))
    on_ready(port)
    monitor.start()


def _performed_by_workers() -> None:
    """Stand for a task that only workers perform; Flower lists it by name."""
