"""A worker process: reads what it is, ends with its supervisor, and runs the worker to its end."""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cluster.workers import SPEC
from taskexec.domain.resources import Capacity, Route

if TYPE_CHECKING:
    from taskexec.runtime.carrier import CarrierSettings
    from taskexec.runtime.worker import WorkerProfile

__all__ = ["main"]

_ROUND_S = 1.0
_ORPHAN_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1


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
    gc.disable()  # nothing that is imported is garbage; looking is a fifth of what the start of a worker costs
    spec = json.loads(os.environ.pop(SPEC))
    # registered before what multiprocessing registers for its own files in there, and therefore called after it
    atexit.register(shutil.rmtree, spec["scratch"], ignore_errors=True)
    _end_with_supervisor(spec["supervisor"])
    threading.Thread(
        target=_watch_supervisor,
        args=(spec["supervisor"], spec["name"], Path(spec["scratch"])),
        name="tek-supervisor-watch",
        daemon=True,
    ).start()
    from taskexec.domain.pool_size import PoolLimits
    from taskexec.runtime.watched import MetricsAddress
    from taskexec.runtime.worker import WorkerProfile, run_worker

    gc.enable()
    # what billiard and kombu leave in temporary folders goes with the worker; tasks keep their TMPDIR
    tempfile.tempdir = spec["scratch"]
    os.chdir(spec["project_dir"])
    profile = WorkerProfile(
        name=spec["name"],
        routes=tuple(Route(name) for name in spec["routes"]),
        capacity=Capacity.from_record(spec["capacity"]),
        with_events=spec["with_events"],
        driver=spec["driver"],
        notes=tuple(spec["notes"]),
        shutdown_s=spec["shutdown_s"],
        pool_limits=PoolLimits(**spec["pool"]) if spec["pool"] else None,
        log_level=spec["log"]["level"],
        log_format=spec["log"]["format"],
    )
    return run_worker(
        profile,
        spec["url"],
        _carrier_settings(spec, profile),
        reap_interval_s=spec["reap_interval_s"],
        grace_s=spec["kill_grace_s"],
        metrics=MetricsAddress(**spec["metrics"]) if spec["metrics"]["port"] is not None else None,
    )


def _carrier_settings(spec: Mapping[str, Any], profile: WorkerProfile) -> CarrierSettings:
    from taskexec.completion.evidence import EvidenceLimits
    from taskexec.completion.spool import Spool, server_origin
    from taskexec.observability.tracing import TracePolicy
    from taskexec.runtime.authority import Authority
    from taskexec.runtime.carrier import CarrierSettings
    from taskexec.runtime.confinement import prepare_groups
    from taskexec.runtime.gang import host_address
    from taskexec.runtime.limits import LimitPolicy
    from taskexec.settings import SecuritySettings

    policy = LimitPolicy(**spec["limits"])
    return CarrierSettings(
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
        gpus=tuple(gpu.uuid for gpu in profile.capacity.gpus),
        policy=policy,
        groups=prepare_groups(policy),
        address=spec["address"] or host_address(spec["url"]),
        gang_timeout_s=spec["gang_timeout_s"],
        trace=TracePolicy.of(**spec["trace"], environ=os.environ),
    )
