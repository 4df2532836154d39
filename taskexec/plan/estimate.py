"""What can be said of a plan before it runs: its size and shape, its critical path, each task's slack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from taskexec.plan.graph import LongestPath
from taskexec.plan.plan import Plan
from taskexec.plan.series_parallel import is_series_parallel

__all__ = ["Estimate", "Summary", "estimate_tasks", "summarize"]

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """A plan in six figures."""

    tasks: int
    """Number of tasks."""
    edges: int
    """Number of distinct dependencies, redundant ones included."""
    levels: int
    """Number of tasks on the longest path of dependencies."""
    width: int
    """Largest number of tasks on one level."""
    critical_path_s: float
    """Seconds that the plan takes at least, to the microsecond; unknown durations count as 0."""
    series_parallel: bool
    """Whether nested chains and groups alone can express the order exactly."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the graph says about one task."""

    level: int
    """Number of tasks before it on the longest way from a root; roots have 0."""
    slack_s: float
    """Seconds it may be late without making the plan later."""
    is_critical: bool
    """It stands on the critical path: one longest path from a root to a leaf (by number of tasks when no
    duration is known). Other tasks without slack may stand on paths of the same length."""


def summarize(plan: Plan, durations: Mapping[str, float] | None = None) -> Summary:
    """Return a plan's summary.

    Args:
        plan: The plan.
        durations: Observed seconds by task id; they override the declared ones.
    """
    graph = plan.graph
    return Summary(
        tasks=len(graph),
        edges=graph.edge_count,
        levels=len(graph.widths),
        width=max(graph.widths, default=0),
        critical_path_s=round(_longest_path(plan, durations).length, _DECIMALS),
        series_parallel=is_series_parallel(graph),
    )


def estimate_tasks(plan: Plan, durations: Mapping[str, float] | None = None) -> tuple[Estimate, ...]:
    """Return each task's estimate, by index; `durations` as in `summarize`."""
    timed = _longest_path(plan, durations)
    path = timed if timed.length else plan.graph.longest_path([1.0] * len(plan.graph))
    critical = set(path.nodes)
    return tuple(
        Estimate(level, round(timed.slack(index), _DECIMALS), index in critical)
        for index, level in enumerate(plan.graph.levels)
    )


def _longest_path(plan: Plan, durations: Mapping[str, float] | None) -> LongestPath:
    observed = durations or {}
    return plan.graph.longest_path([observed.get(task.id, task.duration_s or 0.0) for task in plan.tasks])
