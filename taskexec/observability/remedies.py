"""What would have shortened a run: its graph evaluated again with what was observed, one thing changed at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskexec.domain.states import FINAL_TASK_STATUSES
from taskexec.observability.forecast import makespan_s
from taskexec.observability.parts import Part, parts_of_task
from taskexec.observability.slots import Slots
from taskexec.observability.timeline import RunTimeline
from taskexec.plan.svg import format_duration

__all__ = ["FASTER_RATIO", "Remedy", "find_remedies"]

FASTER_RATIO = 0.2
"""By how much a task is made faster to see what that saves."""
_MOST_TRIED = 8
_MOST = 6
_LEAST_RATIO = 0.005
"""What saves a smaller share of the run than this is not worth saying."""
_WORTH_MORE_SLOTS = 0.02


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that would have made a run shorter."""

    kind: str
    """`faster` (a task), `slots`, `resources`, `dispatch` or `retries`."""
    saves_us: int
    """By how much, microseconds."""
    task: str | None = None
    """The task that would be faster."""
    then: tuple[str, ...] = ()
    """Tasks through which the longest path leads then and did not before, the longest first; at most three."""
    slots: int | None = None
    """So many slots in all."""

    def to_json(self) -> dict[str, Any]:
        """Return what there is of it, by name, and as a sentence."""
        fields: dict[str, Any] = {"kind": self.kind, "saves_us": self.saves_us, "text": self.text}
        fields |= {"task": self.task} if self.task is not None else {}
        fields |= {"slots": self.slots} if self.slots is not None else {}
        return fields | ({"then": list(self.then)} if self.then else {})

    @property
    def text(self) -> str:
        """It as people read it, without a full stop."""
        what = {
            "faster": f"{FASTER_RATIO:.0%} faster `{self.task}`".replace("%", " %"),
            "slots": f"twice the slots ({self.slots})",
            "resources": "slots and places enough that nothing waits for them",
            "dispatch": "starting work as soon as a slot is free",
            "retries": "no attempt that has to be made again",
        }[self.kind]
        then = f"; then the path goes through `{self.then[0]}`" if self.then else ""
        return f"{what} saves {format_duration(self.saves_us / 1e6)}{then}"


def find_remedies(timeline: RunTimeline, slots: Slots, chain: Sequence[int], wall_us: int) -> list[Remedy]:
    """Return what would have shortened a run most, the most first.

    Each task takes what it took from when it could start until its end was known. What is changed is taken off that,
    and the longest path through the graph is worked out again: all else waits as it did. Only the number of slots is
    tried by scheduling all tasks anew.

    Args:
        timeline: The run; of one that was taken up again nothing is said.
        slots: When slots were free in it.
        chain: The tasks on whose time the run's depended.
        wall_us: How long it took, microseconds.
    """
    if timeline.pauses or not chain:
        return []
    model = _Model(timeline, slots)
    found = [*_of_tasks(model, chain), *_of_parts(model), *_of_slots(model, wall_us)]
    found = [remedy for remedy in found if remedy.saves_us >= max(_LEAST_RATIO * wall_us, 1)]
    return sorted(found, key=lambda remedy: -remedy.saves_us)[:_MOST]


class _Model:
    """What each task took, and the longest path through the graph with that."""

    def __init__(self, timeline: RunTimeline, slots: Slots) -> None:
        self.timeline = timeline
        self.costs: dict[int, int] = {}
        """Microseconds from when a task could start until its end was known."""
        self.parts: dict[int, dict[Part, int]] = {}
        self._order = timeline.forecast.sorted()
        for index, span in enumerate(timeline.spans):
            if span.ready_us is None or span.changed_us is None or span.status not in FINAL_TASK_STATUSES:
                continue
            if span.last is None or span.changed_us < span.ready_us:
                continue
            route = timeline.pace.routes[index]
            parts, at_us = dict.fromkeys(Part, 0), span.changed_us
            for part, from_us in parts_of_task(span, route, slots, span.changed_us):
                from_us = max(min(from_us, at_us), span.ready_us)
                parts[part] += at_us - from_us
                at_us = from_us
            self.parts[index], self.costs[index] = parts, span.changed_us - span.ready_us
        self.path = self.longest_path(self.costs)

    def longest_path(self, costs: Mapping[int, int]) -> tuple[int, list[int]]:
        """Return how long the longest path is when tasks take so long, and the tasks on it."""
        ends = [0] * len(self.timeline.spans)
        dependencies = self.timeline.dependencies
        for index in self._order:
            before = dependencies[index]
            ends[index] = costs.get(index, 0) + (max([ends[one] for one in before]) if before else 0)
        index = max(costs, key=ends.__getitem__, default=-1)
        length, path = ends[index] if index >= 0 else 0, []
        while index >= 0:
            path.append(index)
            index = max(dependencies[index], key=ends.__getitem__, default=-1)
        return length, path[::-1]

    def then(self, path: Sequence[int]) -> tuple[str, ...]:
        """Return the tasks of another path that are not on the present one, the longest first."""
        former = set(self.path[1])
        new = sorted((index for index in path if index not in former), key=lambda index: -self.costs.get(index, 0))
        return tuple(self.timeline.ids[index] for index in new[:3])


def _of_tasks(model: _Model, chain: Sequence[int]) -> Iterator[Remedy]:
    """Yield what tasks of the chain would save if they were faster."""
    known = [index for index in chain if index in model.parts]
    for index in sorted(known, key=lambda index: -model.parts[index][Part.WORK])[:_MOST_TRIED]:
        faster_us = round(model.parts[index][Part.WORK] * FASTER_RATIO)
        length, path = model.longest_path({**model.costs, index: model.costs[index] - faster_us})
        yield Remedy("faster", model.path[0] - length, model.timeline.ids[index], model.then(path))


def _of_parts(model: _Model) -> Iterator[Remedy]:
    """Yield what it would save if nothing were spent on a part."""
    for part in (Part.RESOURCES, Part.DISPATCH, Part.RETRIES):
        length, path = model.longest_path(
            {index: cost - model.parts[index][part] for index, cost in model.costs.items()}
        )
        yield Remedy(str(part), model.path[0] - length, then=model.then(path))


def _of_slots(model: _Model, wall_us: int) -> Iterator[Remedy]:
    """Yield what twice the slots would save, when tasks waited for them."""
    waited_us = sum(parts[Part.RESOURCES] for parts in model.parts.values())
    if waited_us < _WORTH_MORE_SLOTS * wall_us:
        return
    timeline = model.timeline
    taken = {
        index: (cost - model.parts[index][Part.RESOURCES] - model.parts[index][Part.RETRIES]) / 1e6
        for index, cost in model.costs.items()
    }
    routes = timeline.pace.routes
    seen = {route: max(round(timeline.pace.concurrency(route) or 1), 1) for route in {routes[one] for one in taken}}
    graph = timeline.dependencies, timeline.successors
    before_s = makespan_s(taken, *graph, routes=routes, slots=dict(seen))
    after_s = makespan_s(taken, *graph, routes=routes, slots={route: 2 * count for route, count in seen.items()})
    if before_s > 0:
        yield Remedy("slots", round(wall_us * (1 - after_s / before_s)), slots=2 * sum(seen.values()))
