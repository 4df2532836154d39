"""Runs on a virtual clock: how long a plan would take on a cluster, which need not exist."""

from taskexec.simulation.cluster import ClusterSpec, WorkerGroup, live_cluster
from taskexec.simulation.simulator import Schedule, simulate
from taskexec.simulation.workload import Workload, make_workload

__all__ = ["ClusterSpec", "Schedule", "WorkerGroup", "Workload", "live_cluster", "make_workload", "simulate"]
