"""The one place where the parts are put together: servers, stores, workers and submissions from settings."""

from taskexec.cluster.client import Cluster, admit_locally, takeover_of
from taskexec.cluster.monitor import run_flower
from taskexec.cluster.servers import embedded_server, kept_server
from taskexec.cluster.spools import local_spool, spool_folder
from taskexec.cluster.workers import serve_worker, worker_supervisor

__all__ = [
    "Cluster",
    "admit_locally",
    "embedded_server",
    "kept_server",
    "local_spool",
    "run_flower",
    "serve_worker",
    "spool_folder",
    "takeover_of",
    "worker_supervisor",
]
