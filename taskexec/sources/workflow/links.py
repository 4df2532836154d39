"""What the names in a workflow's `depends_on` stand for: tasks, all tasks of an entry, or those of a lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.plan.plan import normal_id
from taskexec.plan.suggestion import Suggestions
from taskexec.sources.values.amounts import show

__all__ = ["DEPENDENCIES_MAX", "Entry", "Lane", "link_entries"]

DEPENDENCIES_MAX = 5_000_000
"""Most dependencies that names of entries and lanes may stand for in one workflow."""


@dataclass(slots=True)
class Entry:
    """One entry under `tasks`."""

    name: Located[str]
    """Its id."""
    tasks: list[DraftTask] = field(default_factory=list)
    """One, or the members of its `matrix` or `foreach`."""
    is_expanded: bool = False
    """Whether it has `matrix` or `foreach`, so that its id stands for all its members."""


@dataclass(slots=True)
class Lane:
    """One entry under `lanes`."""

    name: Located[str]
    """As written, trimmed."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What its tasks inherit, by fields of `DraftTask`."""
    depends_on: list[Located[str]] = field(default_factory=list)
    """Lanes and tasks that all its tasks wait for."""
    is_sequential: bool = False
    """Whether its tasks run one after the other, in the order of the file."""
    tasks: list[DraftTask] = field(default_factory=list)
    """The tasks in it; filled by `link_entries`."""


def link_entries(draft: PlanDraft, entries: Sequence[Entry], lanes: dict[str, Lane]) -> None:
    """Replace names of entries by their tasks, and give the tasks of lanes what their lane waits for."""
    linker = _Linker(draft, entries, lanes)
    linker.link_tasks()
    linker.link_lanes()


class _Linker:
    """Resolves names; counts what they stand for, so that a short file cannot fill the memory."""

    def __init__(self, draft: PlanDraft, entries: Sequence[Entry], lanes: dict[str, Lane]) -> None:
        self._draft = draft
        self._entries = entries
        self._lanes = lanes
        self._expanded: dict[str, Entry] = {}
        self._ids = {normal_id(task.id.value) for task in draft.tasks}
        self._names = {normal_id(entry.name.value): entry.name for entry in entries}
        self._suggestions = Suggestions([*lanes, *self._names, *self._ids])
        self._left = DEPENDENCIES_MAX
        self._shared: dict[tuple[str, Place], list[Located[str]]] = {}
        self._register()
        self._sort_into_lanes()

    def link_tasks(self) -> None:
        """Replace the names of entries with many tasks."""
        if not self._expanded:
            return
        for entry in self._entries:
            for task in entry.tasks:
                names = [normal_id(name.value) for name in task.depends_on]
                if any(name in self._expanded for name in names):
                    task.depends_on = [
                        found
                        for name, dependency in zip(names, task.depends_on, strict=True)
                        for found in self._members(name, dependency, entry)
                    ]

    def link_lanes(self) -> None:
        """Give the tasks of each lane what the lane waits for; in a sequential one, the first stands for all."""
        for lane in self._lanes.values():
            outside = [found for name in lane.depends_on for found in self._resolve_outside(name, lane)]
            for index, task in enumerate(lane.tasks):
                if index and lane.is_sequential:
                    task.depends_on.append(Located(lane.tasks[index - 1].id.value, task.id.place))
                elif outside and self._spend(len(outside), outside[0]):
                    task.depends_on += outside

    def _register(self) -> None:
        seen: dict[str, Entry] = {}
        for entry in self._entries:
            first = seen.setdefault(normal_id(entry.name.value), entry)
            if entry.is_expanded:
                self._expanded.setdefault(normal_id(entry.name.value), entry)
            if first is not entry and (first.is_expanded or entry.is_expanded):
                message = f"id {show(entry.name.value)} stands twice"
                places = (first.name.place, entry.name.place)
                self._draft.faults.append(
                    Fault("workflow.duplicate_id", message, places, "give one of them another id")
                )

    def _sort_into_lanes(self) -> None:
        suggestions = Suggestions(self._lanes)
        unknown: set[str] = set()
        for task in self._draft.tasks:
            name = "" if task.lane is None else task.lane.value.strip()
            if name in self._lanes:
                self._lanes[name].tasks.append(task)
            elif task.lane is not None and name not in unknown and (likely := suggestions.find(name)):
                unknown.add(name)
                message = f"lane {show(name)} has no entry under `lanes`"
                hint = f"did you mean {show(likely)}?"
                self._draft.warnings.append(Fault("workflow.lane", message, (task.lane.place,), hint))

    def _members(self, name: str, dependency: Located[str], entry: Entry) -> list[Located[str]]:
        """Return the tasks that a name in a task's `depends_on` stands for."""
        named = self._expanded.get(name)
        if named is None:
            return [dependency]
        if named is entry:
            message = f"task {show(entry.name.value)} depends on itself"
            fault = Fault("workflow.self_dependency", message, (dependency.place,), "name single members instead")
            if fault not in self._draft.faults:
                self._draft.faults.append(fault)
            return []
        if not self._spend(len(named.tasks), dependency):
            return []
        key = (name, dependency.place)  # equal for all members of an entry, which may be very many
        if key not in self._shared:
            self._shared[key] = [Located(task.id.value, dependency.place) for task in named.tasks]
        return self._shared[key]

    def _resolve_outside(self, name: Located[str], lane: Lane) -> list[Located[str]]:
        """Return the tasks that a name in a lane's `depends_on` stands for; the lane's own are a fault."""
        found = [] if name.value == lane.name.value else self._resolve(name)
        own = {normal_id(task.id.value) for task in lane.tasks} if found else set()
        if found and not any(normal_id(task.value) in own for task in found):
            return found
        if found or name.value == lane.name.value:
            itself = f"its own task {show(name.value)}" if found else "itself"
            message = f"lane {show(lane.name.value)} depends on {itself}"
            hint = "remove it from the lane's `depends_on`"
            self._draft.faults.append(Fault("workflow.self_dependency", message, (name.place,), hint))
        return []

    def _resolve(self, name: Located[str]) -> list[Located[str]]:
        """Return the tasks that a name in a lane's `depends_on` stands for."""
        lane, task_id = self._lanes.get(name.value), normal_id(name.value)
        if lane is not None and task_id in self._names:
            message = f"{show(name.value)} is the name of a lane and the id of a task"
            places = (name.place, lane.name.place, self._names[task_id].place)
            self._draft.faults.append(Fault("workflow.ambiguous", message, places, "rename one of them"))
        elif lane is not None:
            tasks = lane.tasks[-1:] if lane.is_sequential else lane.tasks
            return [Located(task.id.value, name.place) for task in tasks]
        elif task_id in self._expanded:
            return [Located(task.id.value, name.place) for task in self._expanded[task_id].tasks]
        elif task_id in self._ids:
            return [name]
        else:
            likely = self._suggestions.find(name.value)
            hint = "correct the name, remove it, or add a lane or a task of that name"
            if likely is not None:
                hint = f"did you mean {show(likely)}?"
            message = f"{show(name.value)} is neither a lane nor a task of this workflow"
            self._draft.faults.append(Fault("workflow.unknown_dependency", message, (name.place,), hint))
        return []

    def _spend(self, count: int, dependency: Located[str]) -> bool:
        """Return whether so many more dependencies may stand; the first time they may not is a fault."""
        if self._left >= 0:
            self._left -= count
            if self._left < 0:
                message = (
                    f"names such as {show(dependency.value)} stand for more than {DEPENDENCIES_MAX:,} dependencies"
                )
                hint = "put a task without a command between the many before and the many behind"
                self._draft.faults.append(Fault("workflow.too_many", message, (dependency.place,), hint))
        return self._left >= 0
