"""The node of `tek up`: a process in the background that keeps a server and workers alive until it is told to end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cli.options import SettingsRequest
from taskexec.cluster.places import up_file
from taskexec.errors import ClusterError

if TYPE_CHECKING:
    from taskexec.cli.node_api import NodeApi
    from taskexec.cluster import Cluster
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import Settings

__all__ = ["NodeOptions", "read_state", "serve_node", "settings_arguments", "start_node", "stop_node"]

_START_S = 20.0
_STOP_S = 30.0
_WARM_S = 10.0
_GIVE_BACK_S = 8.0
"""What still runs is then ended and given back, so that it starts at once when the node is up again."""
_ROUND_S = 0.2


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a node consists of."""

    workers: int
    port: int | None
    """Loopback port of the server; None only its socket."""
    with_flower: bool
    with_api: bool = False
    settings_arguments: tuple[str, ...] = ()
    """Options of the command line that say where settings come from, for what the node starts."""


def start_node(
    settings: Settings, request: SettingsRequest, options: NodeOptions, concurrency: int | None
) -> dict[str, Any]:
    """Start a node in the background, or find the one that is up; return its state once its workers are there.

    Raises:
        ClusterError: It did not come up; its log is named.
    """
    found = read_state(settings)
    if found is not None:
        return _public(found)
    folder = up_file(settings).parent
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "node.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from taskexec.cli.main import main; main()",
                *_arguments(request, options, concurrency),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(settings)
        if state is not None:
            return _public(state)
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    text = log.read_text(errors="replace").strip()
    raise ClusterError(
        "the node did not come up" + (f": {text.splitlines()[-1]}" if text else ""), hint=f"its log is {log}"
    )


def _arguments(request: SettingsRequest, options: NodeOptions, concurrency: int | None) -> Iterator[str]:
    yield from ("up", "--foreground", "--workers", str(options.workers))
    if options.port:
        yield from ("--port", str(options.port))
    if options.with_flower:
        yield "--flower"
    if options.with_api:
        yield "--api"
    if concurrency:
        yield from ("--concurrency", str(concurrency))
    yield from settings_arguments(request)


def settings_arguments(request: SettingsRequest) -> Iterator[str]:
    """Yield the options that say where settings come from, as they were given."""
    if request.config:
        yield from ("--config", str(request.config))
    if request.environment:
        yield from ("--env", request.environment)
    for key, value in request.overrides.items():
        yield from ("--set", f"{key}={value}")


def serve_node(settings: Settings, options: NodeOptions) -> None:
    """Be a node until INT or TERM; running attempts then have some seconds to finish."""
    from taskexec.cluster import Cluster, kept_server, worker_supervisor
    from taskexec.domain.resources import Route
    from taskexec.placement import measure_offers
    from taskexec.runtime.interrupts import Interrupts

    path = up_file(settings)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    offers = measure_offers(settings.worker, count=max(options.workers, 1))
    with (
        Interrupts(terminate_counts=1) as interrupts,
        kept_server(settings, folder / "data", port=options.port) as server,
    ):
        cluster = Cluster(server.url, settings)
        supervisors = [
            worker_supervisor(
                cluster,
                routes=list(Route),
                capacity=offer,
                log_path=folder / f"worker-{number}.log",
                shutdown_s=min(_WARM_S, settings.worker.shutdown_s),
            )
            for number, offer in enumerate(offers[: options.workers], 1)
        ]
        with _flower(server.url, wanted=options.with_flower) as flower, _api(cluster, options) as api:
            doors = {"api": api.state if api else None, "flower": flower}
            try:
                for supervisor in supervisors:
                    supervisor.start()
                _await_workers(cluster, supervisors, interrupts)
                _write_state(path, server.url, supervisors, doors)
                while not interrupts.count:
                    time.sleep(_ROUND_S)
                    server.tend()
                    if api is not None:
                        api.tend()
                    if sum(supervisor.tend() for supervisor in supervisors):
                        _write_state(path, server.url, supervisors, doors)
            finally:
                path.unlink(missing_ok=True)
                _end(supervisors)


def _await_workers(cluster: Cluster, supervisors: list[WorkerSupervisor], interrupts: Any) -> None:
    deadline = time.monotonic() + _START_S
    while len(cluster.workers.listed()) < len(supervisors) and not interrupts.count:
        for supervisor in supervisors:
            supervisor.tend()
        if time.monotonic() > deadline:
            raise ClusterError("the workers did not register in time", hint="see the worker logs beside the node's")
        time.sleep(0.02)


def _end(supervisors: list[WorkerSupervisor]) -> None:
    for supervisor in supervisors:
        supervisor.ask_to_stop()
    deadline = time.monotonic() + _WARM_S + _GIVE_BACK_S
    for supervisor in supervisors:
        supervisor.wait(max(deadline - time.monotonic(), 0.0))
        supervisor.kill()


@contextlib.contextmanager
def _flower(url: str, *, wanted: bool) -> Iterator[dict[str, str] | None]:
    """Run Flower beside the node; yield how to reach it."""
    if not wanted:
        yield None
        return
    process = subprocess.Popen(
        [sys.executable, "-c", "from taskexec.cli.main import main; main()", "flower", "--output", "json"],
        env={**os.environ, "TEK_REDIS_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(b"}"):
                break
        yield json.loads(b"".join(lines)) if lines else None
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
        process.kill()


@contextlib.contextmanager
def _api(cluster: Cluster, options: NodeOptions) -> Iterator[NodeApi | None]:
    """Run the API beside the node."""
    if not options.with_api:
        yield None
        return
    from taskexec.cli.node_api import NodeApi

    with NodeApi(cluster.connection, options.settings_arguments) as api:
        yield api


def _write_state(path: Path, url: str, supervisors: list[WorkerSupervisor], doors: Mapping[str, Any]) -> None:
    import psutil

    state = {
        "redis_url": url,
        "workers": [supervisor.name for supervisor in supervisors],
        **doors,
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)  # the address may hold a password
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


def _public(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("redis_url", "workers", "api", "flower", "pid")}


def read_state(settings: Settings) -> dict[str, Any] | None:
    """Return the state of the node that is up, or None; a file that a killed node left behind counts for nothing."""
    import psutil

    try:
        state: dict[str, Any] = json.loads(up_file(settings).read_text())
        process = psutil.Process(state["pid"])
        # a killed node may stay a zombie for long where nobody collects it, as in some containers
        is_same = process.create_time() == state["started"] and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return state if is_same else None


def stop_node(settings: Settings) -> bool:
    """End the node that is up and wait until it is gone; return whether there was one."""
    import psutil

    state = read_state(settings)
    if state is None:
        up_file(settings).unlink(missing_ok=True)
        return False
    process = psutil.Process(state["pid"])
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(5.0)
    return True
