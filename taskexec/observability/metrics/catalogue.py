"""Every metric that is told to Prometheus: its name, kind, labels, meaning, and where it is told.

Names begin with `taskexec_` and end with their unit. What the API tells is of the whole cluster; what a worker or a
submitter tells begins with `taskexec_worker_` or `taskexec_run_`, so that nothing is summed up twice. No label is as
many as tasks or runs are: `kind` is the name of an agent, and `other` beyond some.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DURATION_BOUNDS", "METRICS", "SCRIPT_BOUNDS", "Door", "Metric", "MetricKind", "exported_series"]

DURATION_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600)
"""Upper bounds of the buckets in which tasks are counted by duration, in seconds; longer ones have one more."""
SCRIPT_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""The same for calls of the store's scripts."""


class MetricKind(StrEnum):
    """How values of a metric behave."""

    GAUGE = "gauge"
    """Goes up and down."""
    COUNTER = "counter"
    """Only goes up, until what keeps it begins anew."""
    HISTOGRAM = "histogram"
    """Counts by duration."""


class Door(StrEnum):
    """Where a metric is told."""

    API = "api"
    """At `/metrics` of the API: the whole cluster, as the server knows it."""
    AUTOSCALE = "autoscale"
    """By `tek autoscale`, and by the API where `metrics.classes` is set."""
    WORKER = "worker"
    """At `/metrics` of a worker, where `metrics.port` is set."""
    SUBMITTER = "submitter"
    """In the file of `--metrics-file`, with the name of the plan: a collector reads the files of several runs."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: MetricKind
    door: Door
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Of a histogram: upper bounds of its buckets but the last."""

    def series(self) -> tuple[str, ...]:
        """Return the names under which Prometheus keeps it."""
        if self.kind is MetricKind.HISTOGRAM:
            return f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count"
        return (self.name,)


_G, _C = MetricKind.GAUGE, MetricKind.COUNTER


def _durations(name: str, door: Door, text: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, door, text, labels, DURATION_BOUNDS)


def _scripts(name: str, door: Door, text: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, door, text, labels, SCRIPT_BOUNDS)


_API = (
    Metric("taskexec_server_up", _G, Door.API, "1 while the server answers, else 0 and nothing else is told"),
    Metric("taskexec_look_seconds", _G, Door.API, "How long it took to read what follows from the server"),
    Metric("taskexec_runs", _G, Door.API, "Runs that go on"),
    Metric("taskexec_runs_past_deadline", _G, Door.API, "Runs that go on although their time is up"),
    Metric("taskexec_runs_ended_total", _C, Door.API, "Runs that ended, each time they did", ("status",)),
    Metric("taskexec_runs_expired_total", _C, Door.API, "Runs that were stopped because their time was up"),
    Metric("taskexec_tasks", _G, Door.API, "Tasks of runs that go on, and have not ended themselves", ("state",)),
    Metric(
        "taskexec_tasks_held",
        _G,
        Door.API,
        "Tasks in state `ready`, by what they wait for: `turn` behind others of their run, `place`, `delay`, `trial`",
        ("cause",),
    ),
    Metric("taskexec_tasks_running", _G, Door.API, "Tasks at work, by agent", ("kind",)),
    Metric("taskexec_tasks_ended_total", _C, Door.API, "Tasks that got a final status, each time they did", ("state",)),
    Metric(
        "taskexec_attempts_total",
        _C,
        Door.API,
        "Attempts that ended: `succeeded`, `failed`, `lost` with their worker, `given_back` by one that leaves",
        ("outcome", "kind", "reason"),
    ),
    Metric("taskexec_leases_lapsed_total", _C, Door.API, "Attempts that were ended because their lease had lapsed"),
    Metric(
        "taskexec_late_results_refused_total", _C, Door.API, "Results refused because another attempt owned the task"
    ),
    _durations(
        "taskexec_wait_seconds",
        Door.API,
        "From a task's last dependency being done until an attempt was claimed that was not given back",
        "kind",
    ),
    _durations(
        "taskexec_dispatch_seconds",
        Door.API,
        "From being queued or placed until it was claimed, unless it was given back",
        "kind",
    ),
    _durations("taskexec_work_seconds", Door.API, "From the start of an attempt to its end", "kind"),
    Metric(
        "taskexec_evidence_streamed_bytes_total",
        _C,
        Door.API,
        "Output and files that came through the server in pieces",
    ),
    Metric("taskexec_queue_tasks", _G, Door.API, "Tasks that wait for a slot of a route", ("route",)),
    Metric("taskexec_queue_messages", _G, Door.API, "Messages in the queues of a route", ("route",)),
    Metric(
        "taskexec_queue_oldest_seconds",
        _G,
        Door.API,
        "How long the task waits that waits longest for a slot or a place; 0 when nothing waits",
        ("route",),
    ),
    Metric("taskexec_workers", _G, Door.API, "Live workers, by what is wished of them", ("state",)),
    Metric("taskexec_route_workers", _G, Door.API, "Workers that take new tasks of a route", ("route",)),
    Metric("taskexec_slots", _G, Door.API, "Slots of all workers"),
    Metric("taskexec_slots_used", _G, Door.API, "Those that are taken"),
    Metric("taskexec_cores", _G, Door.API, "Cores of all workers"),
    Metric("taskexec_cores_used", _G, Door.API, "Those that tasks hold"),
    Metric("taskexec_memory_bytes", _G, Door.API, "Memory of all workers"),
    Metric("taskexec_memory_used_bytes", _G, Door.API, "What tasks hold of it"),
    Metric("taskexec_gpus", _G, Door.API, "GPUs of all workers"),
    Metric("taskexec_gpus_used", _G, Door.API, "Those that tasks hold; parts count as parts"),
    Metric("taskexec_gpus_busy_ratio", _G, Door.API, "Share of the time in which GPUs compute, 0 to 1, their mean"),
    Metric("taskexec_server_memory_used_bytes", _G, Door.API, "Memory that the server uses"),
    Metric(
        "taskexec_server_memory_limit_bytes", _G, Door.API, "What it may use: its `maxmemory`, else all of its machine"
    ),
    Metric("taskexec_server_clients", _G, Door.API, "Connections to the server"),
    Metric("taskexec_server_scripts_total", _C, Door.API, "Calls of scripts that the server has carried out"),
    Metric("taskexec_server_script_seconds_total", _C, Door.API, "Time that it spent in them"),
)

_AUTOSCALE = (
    Metric("taskexec_nodes", _G, Door.AUTOSCALE, "Nodes that are there", ("class",)),
    Metric("taskexec_nodes_wanted", _G, Door.AUTOSCALE, "Nodes that would let everything start now", ("class",)),
)

_WORKER = (
    Metric("taskexec_worker_info", _G, Door.WORKER, "1, with what it is", ("worker", "version", "python", "driver")),
    Metric("taskexec_worker_state", _G, Door.WORKER, "1 for what it is, else 0", ("state",)),
    Metric("taskexec_worker_slots", _G, Door.WORKER, "Slots that it has now"),
    Metric("taskexec_worker_slots_used", _G, Door.WORKER, "Those that are taken"),
    Metric("taskexec_worker_cores", _G, Door.WORKER, "Cores that it offers"),
    Metric("taskexec_worker_cores_used", _G, Door.WORKER, "Those that tasks hold"),
    Metric("taskexec_worker_memory_bytes", _G, Door.WORKER, "Memory that it offers"),
    Metric("taskexec_worker_memory_used_bytes", _G, Door.WORKER, "What tasks hold of it"),
    Metric("taskexec_worker_machine_busy_ratio", _G, Door.WORKER, "Share of its machine's cores that is busy, 0 to 1"),
    Metric("taskexec_worker_machine_memory_available_bytes", _G, Door.WORKER, "Memory that its machine has left"),
    Metric("taskexec_worker_disk_free_bytes", _G, Door.WORKER, "Disk that is free where attempts work"),
    Metric("taskexec_worker_gpu_held_ratio", _G, Door.WORKER, "Share of a GPU that tasks hold, 0 to 1", ("gpu",)),
    Metric("taskexec_worker_gpu_busy_ratio", _G, Door.WORKER, "Share of the time in which it computes", ("gpu",)),
    Metric("taskexec_worker_gpu_memory_bytes", _G, Door.WORKER, "Its memory", ("gpu",)),
    Metric("taskexec_worker_gpu_memory_used_bytes", _G, Door.WORKER, "What is used of it", ("gpu",)),
    Metric(
        "taskexec_worker_attempts_total",
        _C,
        Door.WORKER,
        "Attempts that it told the end of; `late` are those whose end was refused",
        ("outcome", "kind", "reason"),
    ),
    _durations(
        "taskexec_worker_dispatch_seconds", Door.WORKER, "From being queued or placed until it was claimed", "route"
    ),
    _durations("taskexec_worker_work_seconds", Door.WORKER, "From the start of an attempt to its end", "kind"),
    _scripts("taskexec_worker_script_seconds", Door.WORKER, "Calls of the store's scripts, with their way", "script"),
    Metric("taskexec_worker_evidence_bytes_total", _C, Door.WORKER, "Output and files that attempts left"),
    Metric("taskexec_worker_leases_lapsed_total", _C, Door.WORKER, "Lapsed leases that it has ended, of any worker"),
    Metric(
        "taskexec_worker_spans_dropped_total", _C, Door.WORKER, "Spans that their receiver did not take, or not in time"
    ),
)

_SUBMITTER = (
    Metric("taskexec_run_status", _G, Door.SUBMITTER, "1 for the run's status, else 0", ("plan", "status")),
    Metric("taskexec_run_started_timestamp_seconds", _G, Door.SUBMITTER, "When it began, since the epoch", ("plan",)),
    Metric("taskexec_run_ended_timestamp_seconds", _G, Door.SUBMITTER, "When it ended, since the epoch", ("plan",)),
    Metric("taskexec_run_tasks", _G, Door.SUBMITTER, "Its tasks", ("plan", "state", "kind")),
    Metric(
        "taskexec_run_attempts",
        _G,
        Door.SUBMITTER,
        "Its attempts that ended",
        ("plan", "outcome", "kind", "reason"),
    ),
    Metric("taskexec_run_late_results_refused", _G, Door.SUBMITTER, "Results that were refused as late", ("plan",)),
    Metric("taskexec_run_evidence_bytes", _G, Door.SUBMITTER, "Size of its folder", ("plan",)),
    _durations(
        "taskexec_run_wait_seconds",
        Door.SUBMITTER,
        "From a task's last dependency being done to its start, without what was given back",
        "plan",
        "kind",
    ),
    _durations(
        "taskexec_run_dispatch_seconds",
        Door.SUBMITTER,
        "From being queued or placed until it was claimed, unless it was given back",
        "plan",
        "kind",
    ),
    _durations("taskexec_run_work_seconds", Door.SUBMITTER, "From the start of an attempt to its end", "plan", "kind"),
    _scripts(
        "taskexec_run_script_seconds",
        Door.SUBMITTER,
        "Calls of the store's scripts by the submitter",
        "plan",
        "script",
    ),
)

METRICS = {metric.name: metric for metric in (*_API, *_AUTOSCALE, *_WORKER, *_SUBMITTER)}
"""All metrics by name, in the order in which they are told."""


def exported_series() -> dict[str, Metric]:
    """Return all metrics by the names under which Prometheus keeps them."""
    return {name: metric for metric in METRICS.values() for name in metric.series()}
