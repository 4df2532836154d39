"""The Celery app: settings measured for this design, queues, and the result backend with the latch hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from celery import Celery
from celery.loaders.app import AppLoader
from kombu import Exchange

from taskexec.broker.backend import Latch
from taskexec.broker.queues import declare_queues
from taskexec.domain.resources import Route
from taskexec.store.connection import KEEPALIVE
from taskexec.store.queue_lists import PRIORITY_STEPS

__all__ = ["broker_url", "make_app", "result_url"]


class _LatchLoader(AppLoader):
    """Makes the `tekredis+…://` result addresses known; Celery asks its loader for backends."""

    override_backends = {"tekredis": "taskexec.broker.backend:LatchBackend"}  # noqa: RUF012 - Celery's attribute


def broker_url(url: str) -> str:
    """Return kombu's form of a server address; `unix:///path?db=n` becomes `redis+socket:///path?virtual_host=n`."""
    return f"redis+{_socket_url(url)}" if url.startswith("unix:") else _with_verification(url)


def result_url(url: str) -> str:
    """Return the result backend's form of a server address."""
    return f"tekredis+{_socket_url(url) if url.startswith('unix:') else _with_verification(url)}"


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user = parts.netloc.rpartition("@")[0]
    if not user and "password" in query:
        user = f"{quote(query.get('username', ''), safe='')}:{quote(query['password'], safe='')}"
    return f"socket://{user}{'@' if user else ''}{parts.path}?virtual_host={query.get('db', '0')}"


def _with_verification(url: str) -> str:
    """Return a TLS address that says what redis-py takes for granted: certificates are verified.

    Celery's backend refuses an address that does not say it, and kombu verifies nothing then.
    """
    if not url.startswith("rediss:") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def make_app(
    url: str, *, latch: Latch | None = None, routes: Sequence[Route] = tuple(Route), worker: str = ""
) -> Celery:
    """Return a Celery app on one server; with a `latch`, results of our messages complete through it.

    Args:
        url: Server address as `check_url` accepts it.
        latch: What completions go to; None for apps that only look (Flower, inspection).
        routes: Queues that a worker on this app consumes.
        worker: Name of the worker, for the queue of what is placed on it; empty for none.
    """
    app: Any = Celery("taskexec", loader=_LatchLoader, set_as_current=False)
    app.latch = latch
    app.conf.update(
        broker_url=broker_url(url),
        result_backend=result_url(url),
        task_queues=declare_queues(list(routes), worker),
        task_default_queue=str(routes[0]),
        task_default_exchange=Exchange("", type="direct").name,
        broker_transport_options=_TRANSPORT,
        **_SETTINGS,
    )
    made: Celery = app
    return made


_TRANSPORT: dict[str, Any] = {
    # our leases take the place of kombu's unacknowledged set, which costs half the throughput
    "ack_emulation": False,
    "socket_keepalive": True,
    "socket_keepalive_options": KEEPALIVE,
    "health_check_interval": 10,
    "priority_steps": list(PRIORITY_STEPS),
    "queue_order_strategy": "priority",
}

_SETTINGS: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "result_expires": 604_800,
    "result_backend_always_retry": True,
    # acknowledged late, one message a pool child: nothing is taken that no child is free for
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "worker_prefetch_multiplier": 1,
    "worker_disable_rate_limits": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
    # the claim is the started state; Celery's own costs a third of the throughput
    "task_track_started": False,
    "task_send_sent_event": False,
    "task_store_errors_even_if_ignored": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "enable_utc": True,
    "timezone": "UTC",
}
