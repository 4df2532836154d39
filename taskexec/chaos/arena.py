"""The arena: a server, workers on wires and a run of its own, to which any fault may be done."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from taskexec.chaos.target import Target
from taskexec.chaos.wire import Wire
from taskexec.cluster import Cluster, embedded_server, worker_supervisor
from taskexec.domain.resources import Capacity, Route
from taskexec.domain.states import Reason
from taskexec.errors import ServerFailed, WorkerFailed

if TYPE_CHECKING:
    from taskexec.plan import Plan
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import Settings
    from taskexec.store.embedded import EmbeddedServer

__all__ = ["Arena", "with_tries"]

_START_S = 60.0
_PORT_TRIES = 3
_PAUSE_S = 0.02


@dataclass(slots=True)
class _Station:
    """A worker, what keeps it alive, and its wire."""

    make: Callable[[], WorkerSupervisor]
    wire: Wire
    supervisor: WorkerSupervisor
    seen: str = ""
    """The last worker here that has been registered."""

    def tend(self, on_lost: Callable[[str], None]) -> None:
        """Start the worker again if it has died.

        Raises:
            WorkerFailed: It does not start, again and again.
        """
        name = self.supervisor.name
        try:
            self.supervisor.tend()
        except WorkerFailed:
            if self.seen != name:
                raise
            on_lost(name)  # it was killed, time and again, and not for its own fault
            self.supervisor = self.make()
            self.supervisor.start()


class Arena:
    """What faults are done on when `tek chaos` is given a plan; see `conductor.Ground` for its methods.

    Lifecycle: `Arena.opened`, `start_workers`, `submit`; at the end of the context nothing is left of it.
    """

    def __init__(self, server: EmbeddedServer, settings: Settings) -> None:
        """Take over a server that listens on a loopback port; use `opened`."""
        self.cluster = Cluster(server.url, settings)
        self.server = server
        self.run_id = ""
        """The run, once submitted."""
        self._settings = settings
        self._stations: list[_Station] = []
        self._back_at: float | None = None
        seconds, microseconds = self.cluster.connection.call("TIME")
        self._ahead_s = int(seconds) + int(microseconds) / 1e6 - time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, settings: Settings) -> Iterator[Arena]:
        """Give an arena without workers.

        Raises:
            ServerMissing: No server program was found.
            ServerFailed: It does not start.
        """
        with _server_on_port(settings) as server:
            arena = cls(server, settings)
            try:
                yield arena
            finally:
                arena.close()

    def start_workers(
        self, count: int, capacity: Capacity, *, is_interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        """Start workers, each on a wire of its own, and wait until all are registered, or somebody interrupts.

        Raises:
            WorkerFailed: One does not start.
            KeyUnusable: They would have no key to sign with.
        """
        server = urlsplit(self.server.url)
        assert server.hostname is not None
        assert server.port is not None
        for number in range(1, count + 1):
            wire = Wire(server.hostname, server.port)
            wire.start()
            log_path = self.server.data_dir / f"worker-{number}.log"
            behind = copy.copy(self.cluster)  # what its supervisor does for it is done without the wire
            behind.url = self.server.url.replace(f":{server.port}/", f":{wire.port}/")
            make = partial(worker_supervisor, behind, routes=list(Route), capacity=capacity, log_path=log_path)
            self._stations.append(_Station(make, wire, make()))
            self._stations[-1].supervisor.start()
        self.cluster.workers.expect(map(str, Route), count * capacity.slots)
        self._await_workers(count, is_interrupted)

    def _await_workers(self, count: int, is_interrupted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_S
        while len(self.targets()) < count and not is_interrupted():
            self.tend()
            if time.monotonic() > deadline:
                raise WorkerFailed(f"{count} workers did not register in {_START_S:.0f} s")
            time.sleep(_PAUSE_S)

    def submit(self, plan: Plan) -> str:
        """Submit a plan that was admitted; return the run's id."""
        self.run_id = self.cluster.submit(plan, dry_run=False).run_id
        return self.run_id

    def targets(self) -> list[Target]:
        """See `Ground`."""
        registered = {worker["name"] for worker in self.cluster.workers.listed()}
        found = []
        for station in self._stations:
            name, pid = station.supervisor.name, station.supervisor.pid
            if name in registered and pid is not None:
                station.seen = name
                target = Target.of(name, pid, wire=station.wire)
                found += [] if target is None else [target]
        return sorted(found, key=lambda target: target.created)

    def kill_server(self, down_s: float) -> str | None:
        """See `Ground`."""
        if self._back_at is not None or self.server.pid is None:
            return None
        os.kill(self.server.pid, signal.SIGKILL)
        self._back_at = time.monotonic() + down_s
        return "server"

    def bring_server_back(self) -> None:
        """Start the server that was killed at once, instead of when its time is over.

        Raises:
            ServerFailed: It does not start again.
        """
        self._back_at = None
        self.server.tend()

    def restart_server(self) -> str | None:
        """See `Ground`."""
        if self._back_at is not None:
            return None
        self.server.stop()
        self.server.start()
        return "server"

    def tend(self) -> None:
        """See `Ground`.

        Raises:
            ServerFailed: The server does not start again.
            WorkerFailed: A worker does not, again and again.
        """
        if self._back_at is None or time.monotonic() >= self._back_at:
            self.bring_server_back()
        for station in self._stations:
            station.tend(self.cluster.lose_worker)

    def server_now(self) -> float:
        """See `Ground`."""
        return time.monotonic() + self._ahead_s

    def close(self) -> None:
        """End the workers and their wires; the server ends with the context."""
        for station in self._stations:
            station.wire.heal(reset=True)
            station.supervisor.kill()
            station.wire.close()
        self._stations.clear()
        self.cluster.connection.close()


@contextlib.contextmanager
def _server_on_port(settings: Settings) -> Iterator[EmbeddedServer]:
    """Run a server on a loopback port that is free now; another one is tried when somebody was quicker."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(_PORT_TRIES)):
            try:
                server = stack.enter_context(embedded_server(settings, port=_free_port()))
                break
            except ServerFailed:
                if not left:
                    raise
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_tries(plan: Plan, count: int) -> Plan:
    """Return a plan whose tasks are tried so many times more after a signal: so many of their processes are killed."""
    if not count:
        return plan
    signalled = str(Reason.SIGNAL)
    tasks = []
    for task in plan.tasks:
        on = task.retry.on if signalled in task.retry.on else (*task.retry.on, signalled)
        policy = task.retry if on == task.retry.on else task.retry._replace(on=on)
        tasks.append(task._replace(retries=task.retries + count, retry=policy))
    return replace(plan, tasks=tuple(tasks))
