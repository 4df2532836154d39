"""What is simulated of a plan: what its tasks ask for, how long they take, and in which order they come."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskexec.domain.fit import Ask, Option
from taskexec.domain.task import Task
from taskexec.plan import Plan

__all__ = ["DEFAULT_DURATION_S", "Workload", "make_workload"]

DEFAULT_DURATION_S = 1.0
"""How long a task takes of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The tasks of a plan, by index."""

    asks: Sequence[Ask | None]
    """None for one that asks for nothing but a slot."""
    routes: Sequence[str]
    durations_us: Sequence[int]
    """How long an attempt takes, from its start."""
    ranks: Sequence[int]
    """Their places in the order of the run, least first: by priority, then deadline, then as the plan lists them."""
    predecessors: Sequence[Sequence[int]]
    successors: Sequence[Sequence[int]]
    is_satisfied: Sequence[bool]
    """Whether it was done before."""
    agents: frozenset[str] = frozenset()
    """Agents that tasks name."""
    guessed: int = 0
    """Tasks of which no duration is known."""


def make_workload(
    plan: Plan,
    *,
    observed: Mapping[str, float] | None = None,
    default_s: float = DEFAULT_DURATION_S,
    jitter_ratio: float = 0.0,
    seed: int = 0,
) -> Workload:
    """Return what is simulated of a plan.

    Args:
        plan: The plan.
        observed: Seconds by task id; they override what the plan declares.
        default_s: Seconds that a task takes of which nothing else is known.
        jitter_ratio: How much longer or shorter than said a task may take, 0 to 1, evenly spread.
        seed: Which one of the possible spreads.
    """
    known = observed or {}
    chance = random.Random(seed)
    durations, guessed = [], 0
    asked = _Asks()
    for task in plan.tasks:
        seconds = known.get(task.id, task.duration_s)
        if seconds is None:
            guessed += not task.is_satisfied
            seconds = default_s
        if jitter_ratio:
            seconds *= 1 + jitter_ratio * chance.uniform(-1, 1)
        durations.append(round(seconds * 1e6))
    return Workload(
        asks=[None if task.needs.is_default or task.is_satisfied else asked.of(task) for task in plan.tasks],
        routes=[task.route.value for task in plan.tasks],
        durations_us=durations,
        ranks=_ranks(plan),
        predecessors=plan.graph.predecessors,
        successors=plan.graph.successors,
        is_satisfied=[task.is_satisfied for task in plan.tasks],
        agents=frozenset(task.agent for task in plan.tasks),
        guessed=guessed,
    )


class _Asks:
    """What tasks ask for, made once for those that ask for the same."""

    def __init__(self) -> None:
        self._asks: dict[tuple[object, ...], Ask] = {}
        self._options: dict[Option, Option] = {}

    def of(self, task: Task) -> Ask:
        """Return what a task asks for."""
        key = (task.needs, task.route, task.agent, task.priority, task.deadline_at, task.duration_s)
        found = self._asks.get(key)
        if found is None:
            ask = Ask.of(
                task.needs,
                task.route,
                task.agent,
                priority=task.priority,
                deadline_at=task.deadline_at,
                duration_s=task.duration_s,
            )
            options = tuple(self._options.setdefault(option, option) for option in ask.options)
            found = self._asks[key] = ask._replace(options=options)
        return found


def _ranks(plan: Plan) -> list[int]:
    order = sorted(
        range(len(plan.tasks)),
        key=lambda index: (-min(plan.tasks[index].priority, 9), plan.tasks[index].deadline_at or math.inf),
    )
    ranks = [0] * len(order)
    for place, index in enumerate(order):
        ranks[index] = place
    return ranks
