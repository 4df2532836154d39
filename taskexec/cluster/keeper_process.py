"""A process beside another one that brings runs home: it ends with that one, and is started again when it dies."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from taskexec.cluster.client import Cluster
from taskexec.cluster.keeper import keep_collecting
from taskexec.errors import ConnectionLost
from taskexec.settings import load_settings

__all__ = ["keeper_process", "main"]

_SPEC = "TEK_KEEPER_SPEC"
_PROGRAM = "from taskexec.cluster.keeper_process import main; main()"
_PR_SET_PDEATHSIG = 1
_ROUND_S = 1.0
_END_S = 10.0
_PAUSE_S = 1.0


@contextlib.contextmanager
def keeper_process(cluster: Cluster) -> Iterator[None]:
    """Bring all runs of a cluster home while the context lasts, in a process of its own, which speaks on our stderr.

    Its settings are those of the cluster. A folder that another command writes is left to that.
    """
    areas = cluster.settings.model_dump(mode="json", exclude_defaults=True).items()
    values = {f"{area}.{name}": value for area, fields in areas for name, value in fields.items()}
    values["redis.url"] = cluster.url
    values["evidence.runs_dir"] = str(cluster.settings.evidence.runs_dir.absolute())
    spec = json.dumps({"owner": os.getpid(), "settings": values})
    is_over = threading.Event()
    tending = threading.Thread(target=_tend, args=(spec, is_over), name="tend keeper", daemon=True)
    tending.start()
    try:
        yield
    finally:
        is_over.set()
        tending.join()


def _tend(spec: str, is_over: threading.Event) -> None:
    """Have the process run until it is over; all of this in one thread, with whose end the kernel would end it."""
    while not is_over.is_set():
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, _SPEC: spec},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us, and we end it
        )
        while process.poll() is None and not is_over.wait(_ROUND_S):
            pass
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        is_over.wait(_PAUSE_S)


def main() -> None:
    """Be the process, until its owner ends it or is gone."""
    spec = json.loads(os.environ.pop(_SPEC))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    threading.Thread(target=_end_with, args=(spec["owner"],), daemon=True).start()
    settings = load_settings(spec["settings"], environ={})
    cluster = None
    while cluster is None:
        try:
            cluster = Cluster(settings.redis.url or "", settings)
        except ConnectionLost:
            time.sleep(_PAUSE_S)
    keep_collecting(cluster, tell=_say)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _end_with(owner: int) -> None:
    """End once the owner is gone, where the kernel does not say so."""
    while os.getppid() == owner:
        time.sleep(_ROUND_S)
    os.kill(os.getpid(), signal.SIGTERM)
