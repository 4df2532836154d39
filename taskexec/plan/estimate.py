"""What can be said of a plan before it runs: its size and shape, its critical path, each task's slack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

from taskexec.plan.graph import LongestPath
from taskexec.plan.plan import Plan
from taskexec.plan.series_parallel import is_series_parallel

__all__ = ["Estimate", "Estimates", "Summary", "summarize"]

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
    """Seconds that the plan takes at least, to the microsecond; unknown durations and satisfied tasks count as 0."""
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


class Estimates(Sequence[Estimate]):
    """The estimates of a plan's tasks, by index, each worked out when it is asked for."""

    def __init__(self, plan: Plan, durations: Mapping[str, float] | None = None) -> None:
        """Work out the longest path.

        Args:
            plan: The plan.
            durations: Observed seconds by task id; they override the declared ones.
        """
        self._graph = plan.graph
        self._timed = _longest_path(plan, durations)
        path = self._timed
        if not path.length:
            path = self._graph.longest_path([float(not task.is_satisfied) for task in plan.tasks])
        self._critical = {index for index in path.nodes if not plan.tasks[index].is_satisfied}

    @property
    def length_s(self) -> float:
        """Seconds that the plan takes at least."""
        return self._timed.length

    def __len__(self) -> int:
        return len(self._graph)

    @overload
    def __getitem__(self, index: int) -> Estimate: ...
    @overload
    def __getitem__(self, index: slice) -> list[Estimate]: ...
    def __getitem__(self, index: int | slice) -> Estimate | list[Estimate]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        slack_s = round(self._timed.slack(at), _DECIMALS)
        return Estimate(self._graph.levels[at], slack_s, at in self._critical)


def summarize(plan: Plan, estimates: Estimates) -> Summary:
    """Return a plan's summary, given its estimates."""
    graph = plan.graph
    return Summary(
        tasks=len(graph),
        edges=graph.edge_count,
        levels=len(graph.widths),
        width=max(graph.widths, default=0),
        critical_path_s=round(estimates.length_s, _DECIMALS),
        series_parallel=is_series_parallel(graph),
    )


def _longest_path(plan: Plan, durations: Mapping[str, float] | None) -> LongestPath:
    observed = durations or {}
    seconds = [0.0 if task.is_satisfied else observed.get(task.id, task.duration_s or 0.0) for task in plan.tasks]
    return plan.graph.longest_path(seconds)
