"""A cluster on hosts with addresses of their own: a server, a submitter's host, and workers that come and go."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import Any

from support.hosts import EXECUTABLE, Host, Hosts
from support.isolation import Place
from support.waiting import wait_until

from taskexec.store.embedded import ServerProgram

__all__ = ["Net"]

PASSWORD = "on-a-network-of-its-own"


class Net:
    """The hosts, and what was started on them."""

    def __init__(self, place: Place, hosts: Hosts, program: ServerProgram, *, lease_s: float) -> None:
        self.place = place
        self.hosts = hosts
        self.program = program
        self.lease_s = lease_s
        self.url = f"redis://:{PASSWORD}@{hosts.server.address}:6379/0"
        self.log = place.folder / "hosts.log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("project", "data"):
            (place.folder / name).mkdir()

    def start_server(self) -> None:
        options = {"bind": self.hosts.server.address, "port": 6379, "appendonly": "yes", "save": "", "dir": "data"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        argv = [self.program.path, *arguments, "--requirepass", PASSWORD, "--loglevel", "warning"]
        self.processes["server"] = self.hosts.server.start(argv, cwd=self.place.folder, log=self.log)

    def start_worker(self, host: Host, *options: object) -> None:
        settings = {"lease_s": self.lease_s, "reap_interval_s": 0.3, "project_dir": self.place.folder / "project"}
        given = [part for name, value in settings.items() for part in ("--set", f"worker.{name}={value}")]
        environ = host.environ() | {"TEK_REDIS_URL": self.url}
        argv = [EXECUTABLE, "worker", *options, *given]
        self.processes[host.name] = host.start(argv, cwd=self.place.folder, log=self.log, environ=environ)

    def tek(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `tek` on the submitter's host."""
        host = self.hosts.submitter
        environ = host.environ() | {"TEK_REDIS_URL": self.url}
        return host.start([EXECUTABLE, *arguments], cwd=self.place.folder, log=self.log, environ=environ)

    def ask(self, *arguments: object) -> Any:
        """Return what `tek` answers on the submitter's host, or None when it fails."""
        process = self.tek(*arguments, "--output", "json")
        stdout, _ = process.communicate(timeout=60)
        return json.loads(stdout) if process.returncode == 0 else None

    def seen(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def worker_names(self) -> dict[str, str]:
        """Return the name of the worker on each host that has one."""
        answer = self.ask("workers")
        return {worker["host"]: worker["name"] for worker in answer["workers"]} if answer else {}

    def await_workers(self, count: int, *, timeout_s: float = 60.0) -> None:
        wait_until(
            lambda: len(self.worker_names()) == count, f"{count} workers", timeout_s=timeout_s, diagnose=self.seen
        )

    def close(self) -> None:
        """End the workers, then the server; whose place it is looks for what is left."""
        server = self.processes.pop("server", None)
        for processes in (list(self.processes.values()), [server] if server else []):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=15)
