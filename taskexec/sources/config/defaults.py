"""What tasks ask for where their source says nothing: the settings `[plan.defaults]` and `[plan.queues.NAME]`.

    [plan.defaults]
    cpus = 2
    memory = "4G"

    [plan.queues.gpu]
    gpu_memory = "24G"

A queue is a lane, by its full name, or a route. What a source says wins, its own defaults included; then comes the
lane, then the route, then what holds for all. Values are written as in a workflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskexec.domain.resources import Needs, Route, choose_route
from taskexec.errors import Place
from taskexec.plan.draft import DraftTask, PlanDraft
from taskexec.sources.task.fields import FieldReader
from taskexec.sources.task.values import VALUES
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import ROUTES, show
from taskexec.sources.values.needs import LABELS, NEED_FIELDS

if TYPE_CHECKING:
    from taskexec.settings import Written

__all__ = ["apply_defaults"]

_KNOWN = (*(name for name, field in VALUES.items() if field.target in NEED_FIELDS), *LABELS, "alternatives")
"""What such a table may say."""


def apply_defaults(
    draft: PlanDraft, defaults: Mapping[str, Written], queues: Mapping[str, Mapping[str, Written]]
) -> None:
    """Give the tasks of a draft what settings say of those fields of which their source says nothing.

    Faults and warnings go to the draft; what has a fault is not applied, the rest is.

    Args:
        draft: The plan; changed in place.
        defaults: What holds for all tasks.
        queues: What holds for those of a lane or a route, by its name.
    """
    if not defaults and not queues:
        return
    tables = {name: _Table(draft, ("plan", "queues", name), said) for name, said in queues.items()}
    lanes = {name.strip(): table for name, table in tables.items()}
    routes = {ROUTES[name.lower()]: table for name, table in tables.items() if name.lower() in ROUTES}
    common = _Table(draft, ("plan", "defaults"), defaults)
    for task in draft.tasks:
        lane = None if task.lane is None else lanes.get(task.lane.value.strip())
        if lane is not None:
            lane.give_to(task)
        route = routes.get(_route(task, common.fields)) if routes else None
        if route is not None:
            route.give_to(task)
        common.give_to(task)
    draft.reading.defaults += [text for table in (common, *tables.values()) for text in table.describe()]


def _route(task: DraftTask, common: Mapping[str, Any]) -> Route:
    """Return where a task goes by what it asks for before the defaults of routes are known."""
    if task.route is not None:
        return task.route.value
    gpus, memory, nodes = (getattr(task, name) or common.get(name) for name in ("gpus", "gpu_memory_mib", "nodes"))
    if gpus is None or (task.gpus is None and not gpus.value):
        gpu_count = 1.0 if memory is not None and memory.value else 0.0
    else:
        gpu_count = gpus.value
    return choose_route(None, Needs(gpus=gpu_count, nodes=1 if nodes is None else nodes.value))


class _Table:
    """One table of settings, read."""

    def __init__(self, draft: PlanDraft, names: Sequence[str], said: Mapping[str, Written]) -> None:
        places = _Places()
        root = _object(None, names[0], places)
        for name in names[1:]:
            root = _object(root, name, places)
        for name, written in said.items():
            places.current = written.place
            root.members()[name] = _tree(written.value, name, root, places)
        owner = f"`[{'.'.join(names)}]`"
        reader = FieldReader(Findings(places, "settings", draft.faults, draft.warnings), is_strict=True, owner=owner)
        self.fields: Mapping[str, Any] = reader.read(root, known=_KNOWN)
        """Fields of `DraftTask`, each with its value."""
        self._names = names
        self._written = said
        self._used: set[str] = set()

    def give_to(self, task: DraftTask) -> None:
        """Give a task what it does not say itself."""
        for name, value in self.fields.items():
            is_undone = name == "gpus" and not value.value and task.gpu_memory_mib is not None  # it asks for one itself
            if getattr(task, name) is None and not is_undone:
                setattr(task, name, value)
                self._used.add(name)

    def describe(self) -> list[str]:
        """Return what was given to any task, for people."""
        whose = f" in queue {show(self._names[-1])}" if self._names[-1] != "defaults" else ""
        return [
            f"{name} {_shown(written.value)}{whose}: `{'.'.join(self._names[:2])}` of {written.place}"
            for name, written in self._written.items()
            if _target(name) in self._used
        ]


def _target(name: str) -> str:
    return VALUES[name].target if name in VALUES else LABELS.get(name, name)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Places:
    """The places of values that stand in no one text: an offset is a number of a value."""

    def __init__(self) -> None:
        self.source = ""
        self.current = Place("")
        self._places: list[Place] = []

    def add(self) -> int:
        """Return an offset for the current place."""
        self._places.append(self.current)
        return len(self._places) - 1

    def at(self, offset: int, /) -> Place:
        """Return the place of a value."""
        return self._places[offset]


def _object(parent: Node | None, name: str, places: _Places) -> Node:
    root = Node({}, places.add()) if parent is None else parent
    node = Node({}, places.add(), name, places.add(), root)
    root.members()[name] = node
    return node


def _tree(value: object, key: str | int, parent: Node, places: _Places) -> Node:
    """Return a value of TOML as a tree; dates and times, which no field takes, as their texts."""
    offset = places.add()
    if isinstance(value, Mapping):
        node = Node({}, offset, key, offset, parent)
        for name, inner in value.items():
            node.members()[name] = _tree(inner, name, node, places)
        return node
    if isinstance(value, list):
        node = Node([], offset, key, offset, parent)
        node.items().extend(_tree(inner, at, node, places) for at, inner in enumerate(value))
        return node
    is_plain = value is None or isinstance(value, str | int | float)
    return Node(value if is_plain else str(value), offset, key, offset, parent)
