"""The one place where the parts are put together: servers, stores, workers and submissions from settings.

Started as `python -m taskexec.cluster`, it is a worker process; its supervisor passes what it is in the
environment variable `TEK_WORKER_SPEC`, which no task sees.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.domain.resources import Capacity, Route
from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.embedded import EmbeddedServer, find_server
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import WorkerRegistry

if TYPE_CHECKING:
    from taskexec.broker import FlowerAccess
    from taskexec.completion.keys import Identity
    from taskexec.completion.spool import Spool
    from taskexec.plan import Plan
    from taskexec.runtime.interrupts import Interrupts
    from taskexec.runtime.supervisor import WorkerSupervisor
    from taskexec.settings import Settings
    from taskexec.submission import Collector, FormerRun, Here, Submission, Submitter, Takeover

__all__ = [
    "Cluster",
    "admit_locally",
    "embedded_server",
    "kept_server",
    "local_spool",
    "main",
    "run_flower",
    "serve_worker",
    "spool_folder",
    "takeover_of",
    "worker_supervisor",
]

_SPEC = "TEK_WORKER_SPEC"
_DATA_PREFIX = "tek-server-"
_ABANDONED_S = 86_400
_ROUND_S = 1.0
_ORPHAN_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024


class Cluster:
    """A server and what is done on it."""

    def __init__(self, url: str, settings: Settings) -> None:
        """Connect to a server.

        Raises:
            UsageError: The address is none.
            ConnectionLost: The server does not answer.
        """
        self.url = url
        self.settings = settings
        self.connection = Connection(url, socket_timeout_s=settings.redis.socket_timeout_s)
        self.connection.ping()
        self.runs = RedisRunStore(self.connection)
        self.workers = WorkerRegistry(self.connection)

    def admit(self, plan: Plan) -> None:
        """Check a plan against the workers that are registered.

        Raises:
            NeedsUnmet: Some tasks could never run.
            PlanRejected: An agent is missing everywhere, or refuses its instructions.
        """
        from taskexec.agents import AgentRegistry, check_agents
        from taskexec.submission import KnownWorker, admit

        workers = self.workers.listed()
        known = [
            KnownWorker(
                worker["name"],
                frozenset(Route(name) for name in worker["classes"]),
                Capacity(**worker["capacity"]),
            )
            for worker in workers
        ]
        check_agents(plan, AgentRegistry(), elsewhere={name for worker in workers for name in worker["agents"]})
        admit(plan, known)

    @property
    def submitter(self) -> Submitter:
        """Return what submits runs here, and takes them up again, in the user's name."""
        from taskexec.submission import Submitter

        return Submitter(self.runs, self.settings.evidence.runs_dir, lambda: self.identity)

    def submit(
        self,
        plan: Plan,
        *,
        dry_run: bool,
        fail_fast: bool | None = None,
        deadline_at: float | None = None,
        key: str | None = None,
        here: Here | None = None,
        takeover: Takeover | None = None,
    ) -> Submission:
        """Compile, store and start a run of a plan that was admitted; other arguments as `Submitter.submit`.

        Raises:
            KeyUnusable: The user's key cannot be used; nothing was submitted.
            Refused: The submission key stands for another plan.
            EvidenceUnwritable: The run's folder cannot be made; nothing was submitted.
            ConnectionLost: The server did not answer.
        """
        from taskexec.domain.program import RunOptions

        worker, evidence, run = self.settings.worker, self.settings.evidence, self.settings.run
        options = RunOptions(
            fail_fast=run.fail_fast if fail_fast is None else fail_fast,
            dry_run=dry_run,
            batch_max=worker.batch_max,
            batch_target_s=worker.batch_target_s,
            lost_max=worker.max_attempts,
            retention_s=evidence.retention_s,
            timeout_s=run.timeout_s,
            deadline_at=deadline_at,
            output_limit_bytes=evidence.run_limit_mib * _MIB,
        )
        return self.submitter.submit(plan, options, key=key, here=here, takeover=takeover)

    @cached_property
    def identity(self) -> Identity:
        """The user's key, which signs what is submitted here; made at first use.

        Raises:
            KeyUnusable: It cannot be made or read, is damaged or open to others.
        """
        from taskexec.completion.keys import KeyFolder

        return KeyFolder(self.settings.security.keys_folder(os.environ)).identity()

    def collector(self, run_id: str) -> Collector:
        """Return what brings a run home, into the folder of the settings.

        Raises:
            NotFound: No such run.
            ConnectionLost: The server did not answer.
            EvidenceUnwritable: Its folder cannot be made, or somebody else writes it.
        """
        from taskexec.submission import Collector

        return Collector(run_id, self.runs, self.settings.evidence.runs_dir, spool=local_spool(self.settings))

    def lose_worker(self, name: str) -> None:
        """Release at once what a dead worker held in every active run; what fails here, leases make good later."""
        from taskexec.runtime.attempt import lost_record

        record = lost_record("its worker died", worker=name)
        with contextlib.suppress(ConnectionLost):
            for run_id in self.runs.active():
                self.runs.lose(run_id, [], worker=name, record=record)
            self.workers.remove(name)


def takeover_of(plan: Plan, former: FormerRun, settings: Settings) -> Takeover:
    """Return what a plan can take over from an earlier run, by the declared inputs as they are here now."""
    from taskexec.runtime.declared import DeclaredMissing, digests_of, find_declared
    from taskexec.submission import Takeover

    def digests(patterns: Sequence[str]) -> dict[str, str] | None:
        try:
            return digests_of(find_declared(patterns, "input"))
        except DeclaredMissing:
            return None

    with contextlib.chdir(settings.worker.project_dir):
        return Takeover.of(plan, former, digests)


def spool_folder(settings: Settings) -> Path:
    """Return where this machine keeps large files of attempts until they are fetched."""
    folder = settings.worker.spool_dir
    return (settings.embedded.state_folder(os.environ) / "spool" if folder is None else folder).absolute()


def local_spool(settings: Settings) -> Spool:
    """Return what this machine keeps of large files."""
    from taskexec.completion.spool import Spool

    return Spool(spool_folder(settings))


def admit_locally(plan: Plan, capacity: Capacity) -> None:
    """Check a plan against this machine, as `tek run` and `--dry-run` do before a worker exists.

    Raises:
        NeedsUnmet: Some tasks could never run here.
        PlanRejected: An agent is missing or refuses its instructions.
    """
    from taskexec.agents import AgentRegistry, check_agents
    from taskexec.submission import KnownWorker, admit

    check_agents(plan, AgentRegistry())
    admit(plan, [KnownWorker("this machine", frozenset(Route), capacity)])


@contextlib.contextmanager
def kept_server(settings: Settings, data_dir: Path, *, port: int | None = None) -> Iterator[EmbeddedServer]:
    """Run a server of our own for as long as the context lasts, on a data folder that is kept.

    Raises:
        ServerMissing: No server program was found.
        ServerFailed: It does not start.
    """
    program = find_server(settings.embedded.server_binary)
    server = EmbeddedServer(program, data_dir, appendfsync=settings.embedded.appendfsync, port=port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def embedded_server(settings: Settings, *, port: int | None = None) -> Iterator[EmbeddedServer]:
    """Run a server of our own for as long as the context lasts; its data folder is removed afterwards.

    With a `port` it listens there on loopback as well, behind a password.

    Raises:
        ServerMissing: No server program was found.
        ServerFailed: It does not start.
    """
    _remove_abandoned()
    data_dir = Path(tempfile.mkdtemp(prefix=_DATA_PREFIX))
    try:
        with kept_server(settings, data_dir, port=port) as server:
            yield server
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the data folders of servers whose owners were killed more than a day ago."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_DATA_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and time.time() - folder.stat().st_mtime > _ABANDONED_S:
                with (folder / "lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)


def worker_supervisor(
    cluster: Cluster, *, routes: Sequence[Route], capacity: Capacity, log_path: Path | None, with_events: bool = False
) -> WorkerSupervisor:
    """Return a supervisor (not started) for a worker on a cluster.

    Raises:
        KeyUnusable: The worker would have no key to sign with.
    """
    from taskexec.runtime.supervisor import WorkerSupervisor

    settings = cluster.settings
    _ = cluster.identity  # made here, so that whoever starts the worker is told what is wrong with it

    def launch(name: str, scratch: Path) -> tuple[list[str], Mapping[str, str]]:
        spec = {
            "name": name,
            "url": cluster.url,
            "scratch": str(scratch),
            "routes": [str(route) for route in routes],
            "capacity": _capacity_json(capacity),
            "project_dir": str(settings.worker.project_dir),
            "lease_s": settings.worker.lease_s,
            "reap_interval_s": settings.worker.reap_interval_s,
            "patience_s": settings.worker.batch_target_s,
            "kill_grace_s": settings.worker.kill_grace_s,
            "inline_limit_bytes": settings.evidence.inline_limit_bytes,
            "output_limit_bytes": settings.evidence.output_limit_mib * _MIB,
            "spool_above_bytes": settings.evidence.spool_above_mib * _MIB,
            "file_limit_bytes": settings.evidence.file_limit_mib * _MIB,
            "spool_dir": str(spool_folder(settings)),
            "retention_s": settings.evidence.retention_s,
            "security": {
                "keys_dir": str(settings.security.keys_folder(os.environ).absolute()),
                "trusted_keys": settings.security.trusted_keys,
                "require_signed": settings.security.require_signed,
            },
            "with_events": with_events,
            "supervisor": os.getpid(),
        }
        return [sys.executable, "-m", "taskexec.cluster"], {**os.environ, _SPEC: json.dumps(spec)}

    return WorkerSupervisor(
        launch,
        on_lost=cluster.lose_worker,
        restart_limit=settings.worker.restart_limit,
        log_path=log_path,
    )


def serve_worker(supervisor: WorkerSupervisor, interrupts: Interrupts) -> int:
    """Keep a worker alive until it is interrupted: once lets running attempts finish, twice kills them.

    Returns:
        0 after an orderly end, 130 after a kill.
    """
    supervisor.start()
    is_asked = False
    try:
        while True:
            if interrupts.count and not is_asked:
                is_asked = True
                supervisor.ask_to_stop()
            if interrupts.count > 1:
                return 130
            if supervisor.wait(0.2) is not None:
                if is_asked:
                    return 0
                supervisor.tend()
    finally:
        supervisor.kill()


def run_flower(url: str, access: FlowerAccess, on_ready: Callable[[int], None]) -> None:
    """Serve Flower for a server until INT or TERM; `on_ready` gets the port once it listens."""
    from taskexec.broker.monitor import run_flower

    run_flower(url, access, on_ready)


def _capacity_json(capacity: Capacity) -> dict[str, Any]:
    return {
        "cpus": capacity.cpus,
        "memory_mib": capacity.memory_mib,
        "gpus": capacity.gpus,
        "slots": capacity.slots,
    }


def _end_with_supervisor(pid: int) -> None:
    """Have the kernel send QUIT when the supervisor dies: nobody is left who could end the worker's attempts later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
        if os.getppid() != pid:
            sys.exit(1)


def _watch_supervisor(pid: int, worker: str, scratch: Path) -> None:
    """End this worker for good some seconds after its supervisor has died.

    Celery ends by itself on the signal, but may wait for ever to say so to a server that has died as well.
    """
    from taskexec.runtime.sweep import end_all

    while os.getppid() == pid:
        time.sleep(_ROUND_S)
    time.sleep(_ORPHAN_GRACE_S)
    end_all(worker)
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> int:
    """Be the worker that the environment describes; return its exit status."""
    spec = json.loads(os.environ.pop(_SPEC))
    _end_with_supervisor(spec["supervisor"])
    threading.Thread(
        target=_watch_supervisor,
        args=(spec["supervisor"], spec["name"], Path(spec["scratch"])),
        name="tek-supervisor-watch",
        daemon=True,
    ).start()
    from taskexec.completion.evidence import EvidenceLimits
    from taskexec.completion.spool import Spool, server_origin
    from taskexec.runtime.authority import Authority
    from taskexec.runtime.carrier import CarrierSettings
    from taskexec.runtime.worker import WorkerProfile, run_worker
    from taskexec.settings import SecuritySettings

    # what billiard and kombu leave in temporary folders goes with the worker; tasks keep their TMPDIR
    tempfile.tempdir = spec["scratch"]
    os.chdir(spec["project_dir"])
    profile = WorkerProfile(
        name=spec["name"],
        routes=tuple(Route(name) for name in spec["routes"]),
        capacity=Capacity(**spec["capacity"]),
        with_events=spec["with_events"],
    )
    carrier = CarrierSettings(
        worker=spec["name"],
        authority=Authority.of(SecuritySettings(**spec["security"])),
        lease_s=spec["lease_s"],
        patience_s=spec["patience_s"],
        scratch=Path(spec["scratch"]),
        limits=EvidenceLimits(
            spec["inline_limit_bytes"],
            spec["output_limit_bytes"],
            spec["spool_above_bytes"],
            spec["file_limit_bytes"],
        ),
        spool=Spool(Path(spec["spool_dir"]), origin=server_origin(spec["url"])),
        retention_s=spec["retention_s"],
    )
    try:
        return run_worker(
            profile, spec["url"], carrier, reap_interval_s=spec["reap_interval_s"], grace_s=spec["kill_grace_s"]
        )
    finally:
        shutil.rmtree(spec["scratch"], ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
