"""A sheet of values, written in Prometheus's text format; what it holds is held to the catalogue."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taskexec.observability.metrics.catalogue import METRICS, Metric, MetricKind
from taskexec.observability.metrics.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

__all__ = ["Sheet"]


class Sheet:
    """Values of metrics at one moment."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float | Histogram]] = {}

    def set(self, name: str, value: float | Histogram, **labels: str) -> None:
        """Set the value of a metric of the catalogue; a value that is there for the same labels is replaced."""
        metric = METRICS[name]
        assert set(labels) == set(metric.labels), (name, labels)
        assert isinstance(value, Histogram) == (metric.kind is MetricKind.HISTOGRAM), name
        self._values.setdefault(name, {})[tuple(labels[label] for label in metric.labels)] = value

    def add(self, name: str, amount: float, **labels: str) -> None:
        """Add to the value of a metric of the catalogue, which is 0 at first."""
        key = tuple(labels[label] for label in METRICS[name].labels)
        known = self._values.get(name, {}).get(key, 0.0)
        assert not isinstance(known, Histogram), name
        self.set(name, known + amount, **labels)

    def collect(self) -> Iterator[Family]:
        """Yield what was set, in the order of the catalogue, as a registry of Prometheus's client collects it."""
        for name, metric in METRICS.items():
            if name in self._values:
                yield _family(metric, self._values[name])

    def text(self) -> bytes:
        """Return what was set as Prometheus reads it."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def write(self, path: Path) -> None:
        """Write a file for Prometheus's textfile collector, which never sees it half.

        Raises:
            OSError: It cannot be written.
        """
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.text())
            Path(name).chmod(0o644)  # the collector runs as somebody else
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _family(metric: Metric, values: dict[tuple[str, ...], float | Histogram]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if metric.kind is MetricKind.HISTOGRAM:
        histograms = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in values.items():
            assert isinstance(value, Histogram)
            histograms.add_metric(labels, _buckets(value), sum_value=value.total)
        return histograms
    family_of = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = family_of(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        assert not isinstance(value, Histogram)
        family.add_metric(labels, value)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    found, sum_so_far = [], 0.0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        sum_so_far += count
        found.append(("+Inf" if bound == float("inf") else str(float(bound)), sum_so_far))
    return found
