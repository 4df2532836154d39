"""Runs on a virtual clock: how long a plan would take on a cluster, which need not exist."""

from taskexec.simulation.cluster import ClusterSpec, WorkerGroup, live_cluster
from taskexec.simulation.gantt import simulated_chart
from taskexec.simulation.outcome import Share, Use, Waits, events_of, measure_use, measure_waits
from taskexec.simulation.recorded import RecordedRun, read_recorded
from taskexec.simulation.simulator import Schedule, simulate
from taskexec.simulation.spec import read_cluster
from taskexec.simulation.workload import DEFAULT_DURATION_S, Workload, make_workload

__all__ = [
    "DEFAULT_DURATION_S",
    "ClusterSpec",
    "RecordedRun",
    "Schedule",
    "Share",
    "Use",
    "Waits",
    "WorkerGroup",
    "Workload",
    "events_of",
    "live_cluster",
    "make_workload",
    "measure_use",
    "measure_waits",
    "read_cluster",
    "read_recorded",
    "simulate",
    "simulated_chart",
]
