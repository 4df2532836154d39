"""The API on a port of loopback in a thread of the test, open to everybody, and clients of it that read events."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import uvicorn
from fastapi import Request
from support.live import LiveCluster
from support.waiting import wait_until

from taskexec.api.access import Caller, Role
from taskexec.api.app import make_app
from taskexec.api.services import Services
from taskexec.cluster import Cluster

__all__ = ["Event", "Events", "OpenGuard", "ReadingApi", "reading_api"]


class OpenGuard:
    """Admits everybody as an admin."""

    async def admit(self, request: Request, role: Role) -> Caller:
        return Caller("test", "test", Role.ADMIN)

    async def still_counts(self, request: Request) -> bool:
        return True


@dataclass(frozen=True)
class Event:
    """An event that was received."""

    name: str
    data: dict[str, Any]
    id: str | None


class Events:
    """A connection that events come in on."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.last_id: str | None = None
        self.comments = 0

    def __iter__(self) -> Iterator[Event]:
        name, data, id_ = "", "", None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif field == "id":
                self.last_id = id_ = value
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not line and name:
                yield Event(name, json.loads(data), id_)
                name, data, id_ = "", "", None

    def take(self, name: str) -> Event:
        """Return the next event of a name."""
        return next(event for event in self if event.name == name)

    def await_comments(self, count: int) -> None:
        """Wait for comments; events between them are passed over."""
        while count:
            count -= next(self._lines).startswith(":")


class ReadingApi:
    """The API, and a client of it."""

    def __init__(self, services: Services, port: int) -> None:
        self.services = services
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=30.0)

    def get(self, path: str, status: int = 200, **options: Any) -> httpx2.Response:
        response = self.client.get(path, **options)
        assert response.status_code == status, (response.status_code, response.text[:2000])
        if status >= 400:
            assert response.headers["content-type"] == "application/problem+json", response.headers
        return response

    def json(self, path: str, **options: Any) -> Any:
        return self.get(path, **options).json()

    @contextlib.contextmanager
    def events(self, path: str, **options: Any) -> Iterator[Events]:
        with self.client.stream("GET", path, **options) as response:
            if response.status_code != 200:
                response.read()
            assert response.status_code == 200, response.text
            yield Events(response)

    @staticmethod
    def task(run_id: str, task: str, *more: str) -> str:
        return "/".join([f"/runs/{run_id}/tasks/{quote(task, safe='')}", *more])


@contextlib.contextmanager
def reading_api(live: LiveCluster) -> Iterator[ReadingApi]:
    """Serve the API of a cluster until the context ends."""
    services = Services(Cluster(live.server.url, live.settings), live.settings, OpenGuard())
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(services), log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    api = ReadingApi(services, listener.getsockname()[1])
    try:
        wait_until(lambda: server.started, "the API")
        yield api
    finally:
        services.live.close()
        api.client.close()
        server.should_exit = True
        thread.join(20.0)
        listener.close()
        services.cluster.connection.close()
        assert not thread.is_alive()
