"""What operators measure: the names of all metrics, in one place, and how they are told to Prometheus."""

from taskexec.observability.metrics.catalogue import (
    DURATION_BOUNDS,
    METRICS,
    SCRIPT_BOUNDS,
    Door,
    Metric,
    MetricKind,
    exported_series,
)
from taskexec.observability.metrics.durations import Lasted, Phase, RunDurations
from taskexec.observability.metrics.histogram import Histogram
from taskexec.observability.metrics.run_sheet import run_sheet
from taskexec.observability.metrics.serving import CONTENT_TYPE, ScrapeServer, listen
from taskexec.observability.metrics.sheet import Sheet

__all__ = [
    "CONTENT_TYPE",
    "DURATION_BOUNDS",
    "METRICS",
    "SCRIPT_BOUNDS",
    "Door",
    "Histogram",
    "Lasted",
    "Metric",
    "MetricKind",
    "Phase",
    "RunDurations",
    "ScrapeServer",
    "Sheet",
    "exported_series",
    "listen",
    "run_sheet",
]
