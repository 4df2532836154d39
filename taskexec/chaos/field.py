"""The field: workers of a cluster that goes on, as far as this user has pointed at them."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psutil

from taskexec.chaos.target import Target
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.cluster import Cluster

__all__ = ["Field", "Owner"]

_PROGRAM = "taskexec.cluster"
"""What stands among the arguments of every worker process."""

Owner = tuple[int, float]
"""A process by id and start time: a worker, or what keeps workers alive (`tek worker`, the node of `tek up`)."""


class Field:
    """What faults are done on when `tek chaos` is given a run; see `conductor.Ground` for its methods.

    Only registered workers on this machine and of this user are ever struck, and only those that a process id names,
    or that are children of such a process. The server is struck only if it is a child of `node`.
    """

    def __init__(self, cluster: Cluster, run_id: str, *, pids: Sequence[int], node: Owner | None = None) -> None:
        """Find the workers that were pointed at.

        Args:
            cluster: Their cluster.
            run_id: The run that goes on there.
            pids: Processes of workers, or of what keeps one alive.
            node: The node of `tek up`, whose workers and server may be struck.

        Raises:
            UsageError: A process is no worker of this cluster and keeps none, or is not this user's.
            ConnectionLost: The server did not answer.
        """
        self.cluster = cluster
        self.run_id = run_id
        self._node = node
        self._owners = {owner for pid in pids if (owner := _owner(pid))} | ({node} if node else set())
        seconds, microseconds = cluster.connection.call("TIME")
        self._ahead_s = int(seconds) + int(microseconds) / 1e6 - time.monotonic()
        known = {pid for worker in self._here() for pid in (worker.pid, _parent(worker.pid))}
        for pid in pids:
            if pid not in known:
                raise UsageError(
                    f"process {pid} is no worker of yours on this cluster and this machine, and keeps none",
                    hint="`tek workers` lists the workers with their process ids",
                )

    def _here(self) -> list[Target]:
        """Return the registered workers that are processes of this user on this machine."""
        rows: list[dict[str, Any]] = self.cluster.workers.listed()
        found = [Target.of(row["name"], row["pid"]) for row in rows if row["host"] == platform.node()]
        return [target for target in found if target is not None and _is_worker(target.pid)]

    def targets(self) -> list[Target]:
        """See `Ground`."""
        found = [target for target in self._here() if self._owners & {_owner(target.pid), _owner(_parent(target.pid))}]
        return sorted(found, key=lambda target: target.created)

    def kill_server(self, down_s: float) -> str | None:
        """See `Ground`; how long it is away is up to its node."""
        return self._signal_server(signal.SIGKILL)

    def restart_server(self) -> str | None:
        """See `Ground`."""
        return self._signal_server(signal.SIGTERM)

    def _signal_server(self, number: int) -> str | None:
        if self._node is None:
            return None
        pid = int(self.cluster.connection.call("INFO", "server")["process_id"])
        if _owner(_parent(pid)) != self._node:
            return None
        os.kill(pid, number)
        return "server"

    def tend(self) -> None:
        """See `Ground`: whoever has started the workers starts them again."""

    def server_now(self) -> float:
        """See `Ground`."""
        return time.monotonic() + self._ahead_s


def _owner(pid: int) -> Owner | None:
    """Return a process of this user by id and start time; None when there is none."""
    target = Target.of("", pid)
    return None if target is None else (target.pid, target.created)


def _parent(pid: int) -> int:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0


def _is_worker(pid: int) -> bool:
    try:
        return _PROGRAM in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
