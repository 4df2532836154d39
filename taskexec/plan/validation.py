"""The one place that judges whether drafted tasks make sense together, and makes a plan of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import orjson

from taskexec.domain.task import Task
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan.asking import asking_faults, asking_warnings, asks_more
from taskexec.plan.assembly import build_task, with_attempts
from taskexec.plan.attempts import attempt_faults, attempt_warnings, says_more
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.plan.graph import Graph
from taskexec.plan.limits import ID_MAX, has_odd_values, quote, value_faults, value_warnings
from taskexec.plan.plan import Plan, normal_id
from taskexec.plan.suggestion import Suggestions

__all__ = ["build_plan"]

_SHOWN_IN_CYCLE = 8
_NUL = b"\\u0000"
"""How NUL looks in JSON; a text that says so itself looks the same."""
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories no id may hold: control characters, lone surrogates, line and paragraph separators."""


def build_plan(draft: PlanDraft, *, is_strict: bool = False) -> Plan:
    """Return the plan that a draft means.

    Args:
        draft: What was read.
        is_strict: Whether a warning refuses the plan as a fault does.

    Raises:
        PlanRejected: The draft has faults, its own or between its tasks; all are listed, ordered by place,
            cycles behind the others, the shortest first.
    """
    ids = [normal_id(task.id.value) for task in draft.tasks]
    links = _link(draft, ids)
    graph = Graph.of(links.predecessors)
    faults = [*draft.faults, *_id_faults(draft, ids), *_duplicates(draft, ids), *links.faults]
    warnings = [*draft.warnings, *_case_warnings(ids, draft.tasks)]
    rarer: dict[int, tuple[DraftTask, str]] = {}
    asking: list[tuple[DraftTask, str]] = []
    for index, (task, task_id) in enumerate(zip(draft.tasks, ids, strict=True)):
        if has_odd_values(task):
            faults.extend(value_faults(task, task_id))
            warnings.extend(value_warnings(task, task_id))
        if says_more(task):
            faults.extend(attempt_faults(task, task_id))
            rarer[index] = (task, task_id)
        if asks_more(task):
            faults.extend(asking_faults(task, task_id))
            asking.append((task, task_id))
    warnings.extend(asking_warnings(asking))
    warnings.extend(attempt_warnings([*rarer.values()]))
    if is_strict:
        faults += warnings
    faults = [*_ordered(faults), *_cycles(draft, ids, graph)]
    if not draft.tasks and not faults:
        faults.append(Fault("plan.empty", "the plan has no tasks", (Place(draft.source),), _no_tasks_hint(draft)))
    if faults:
        raise PlanRejected(faults)
    tasks = [*map(build_task, draft.tasks, ids, links.names, repeat({}))]
    for index, (task, _) in rarer.items():
        tasks[index] = with_attempts(tasks[index], task)
    places = tuple(task.id.place for task in draft.tasks)
    plan = Plan(draft.source, draft.kind, tuple(tasks), places, graph, tuple(_ordered(warnings)), draft.reading)
    _check_values(plan)
    return plan


@dataclass(slots=True)
class _Links:
    """The dependencies of all tasks, by position in the draft."""

    predecessors: list[list[int]]
    """Positions, without those that do not exist or are the task itself; may repeat."""
    names: list[tuple[str, ...]]
    """Normal ids, without repeats, in source order."""
    faults: list[Fault]


def _link(draft: PlanDraft, ids: Sequence[str]) -> _Links:
    positions = {task_id: index for index, task_id in reversed([*enumerate(ids)]) if task_id}
    links = _Links([], [], [])
    unknown: list[tuple[str, Located[str]]] = []
    for index, task in enumerate(draft.tasks):
        found: dict[str, int] = {}
        for dependency in task.depends_on:
            name = dependency.value
            position = positions.get(name)
            if position is None:
                name = normal_id(name)
                position = positions.get(name)
            if position is None:
                unknown.append((ids[index], dependency))
            elif name == ids[index]:
                links.faults.append(_self_dependency(name, dependency.place))
            else:
                found[name] = position
        links.predecessors.append([*found.values()])
        links.names.append(tuple(found))
    suggestions = Suggestions(positions)
    links.faults += [_unknown_dependency(*entry, suggestions, positions) for entry in sorted(unknown, key=_place)]
    return links


def _place(entry: tuple[str, Located[str]]) -> Place:
    return entry[1].place


def _self_dependency(task_id: str, place: Place) -> Fault:
    message = f"task {quote(task_id)} depends on itself"
    return Fault("plan.self_dependency", message, (place,), "remove it from its own `depends_on`")


def _no_tasks_hint(draft: PlanDraft) -> str:
    is_table = draft.kind == "csv"
    return "write a row for each task below the column names" if is_table else "write at least one task"


def _unknown_dependency(
    task_id: str, dependency: Located[str], suggestions: Suggestions, known: Collection[str]
) -> Fault:
    name = normal_id(dependency.value)
    message = f"task {quote(task_id)} depends on {quote(name)}, which is no task of this plan"
    likely = suggestions.find(name)
    hint = "correct the name, remove it from `depends_on`, or add a task of that id"
    words = name.split()
    if likely is not None:
        hint = f"did you mean {quote(likely)}?"
    elif len(words) > 1 and all(word in known for word in words):
        hint = f"these are {len(words)} ids: name them one by one, in a table with `;` between them"
    return Fault("plan.unknown_dependency", message, (dependency.place,), hint)


def _id_faults(draft: PlanDraft, ids: Sequence[str]) -> Iterator[Fault]:
    told = {fault.places for fault in draft.faults if fault.code.endswith(".character")}
    for task, task_id in zip(draft.tasks, ids, strict=True):
        place = (task.id.place,)
        if not task_id:
            yield Fault("plan.empty_id", "a task has no id", place, "give every task an id of its own")
        if len(task_id) > ID_MAX:
            message = f"id {quote(task_id)} has {len(task_id):,} characters, {ID_MAX} are the most"
            yield Fault("plan.id_length", message, place, "shorten the id and keep the text as its title")
        if not task_id.isprintable() and place not in told:
            forbidden = {character for character in task_id if unicodedata.category(character) in _FORBIDDEN}
            if forbidden:
                codes = ", ".join(sorted(f"U+{ord(character):04X}" for character in forbidden))
                message = f"id {quote(task_id)} holds characters that ids may not have: {codes}"
                hint = "write the id with visible characters; a longer text can be its title"
                yield Fault("plan.id_character", message, place, hint)


def _duplicates(draft: PlanDraft, ids: Sequence[str]) -> Iterator[Fault]:
    places: dict[str, list[Place]] = {}
    if len(set(ids)) == len(ids):
        return
    for task, task_id in zip(draft.tasks, ids, strict=True):
        places.setdefault(task_id, []).append(task.id.place)
    for task_id, found in places.items():
        if task_id and len(found) > 1:
            message = f"id {quote(task_id)} stands {len(found):,} times"
            hint = "ids are unique within a plan: give all but one of these tasks another id"
            yield Fault("plan.duplicate_id", message, tuple(found), hint)


def _cycles(draft: PlanDraft, ids: Sequence[str], graph: Graph) -> Iterator[Fault]:
    for cycle in graph.find_cycles():
        shown = cycle[:_SHOWN_IN_CYCLE]
        names = [quote(ids[index]) for index in shown]
        last = names.pop() if len(shown) == len(cycle) else f"{len(cycle) - len(shown)} more"
        pairs = zip(shown, [cycle[-1], *shown], strict=False)
        places = tuple(_dependency_place(draft.tasks[index], ids[before]) for index, before in pairs)
        message = f"tasks {', '.join(names)} and {last} wait for each other"
        yield Fault("plan.cycle", message, places, "remove one of these `depends_on`")


def _dependency_place(task: DraftTask, name: str) -> Place:
    return next(entry.place for entry in task.depends_on if normal_id(entry.value) == name)


def _case_warnings(ids: Sequence[str], tasks: Sequence[DraftTask]) -> Iterator[Fault]:
    groups: dict[str, dict[str, Place]] = {}
    if len(set(map(str.casefold, ids))) == len(ids):
        return
    for task, task_id in zip(tasks, ids, strict=True):
        groups.setdefault(task_id.casefold(), {}).setdefault(task_id, task.id.place)
    for group in groups.values():
        if len(group) > 1:
            message = f"ids {', '.join(map(quote, group))} differ only by upper and lower case"
            hint = "these are different tasks; if one is meant, write its id alike everywhere"
            yield Fault("plan.case", message, tuple(group.values()), hint)


def _check_values(plan: Plan) -> None:
    """Refuse what JSON cannot carry to a worker, and NUL in texts, which files and processes cannot hold."""
    try:
        orjson.dumps([task.payload for task in plan.tasks])
        if _NUL not in orjson.dumps([_texts(task) for task in plan.tasks]):
            return
    except TypeError:
        pass
    faults = _ordered(_unstorable(plan))
    if faults:
        raise PlanRejected(faults)


def _unstorable(plan: Plan) -> Iterator[Fault]:
    for task, place in zip(plan.tasks, plan.places, strict=True):
        try:
            orjson.dumps([task.payload, _texts(task)])
        except TypeError as error:
            message = f"task {quote(task.id)} holds a value that JSON cannot carry: {error}"
            hint = "write whole numbers beyond 64 bits as texts, and texts without halves of surrogate pairs"
            yield Fault("plan.value", message, (place,), hint)
        if any("\0" in text for text in _texts(task)):
            message = f"task {quote(task.id)} holds a NUL character"
            yield Fault("plan.character", message, (place,), "write its texts without it")


def _texts(task: Task) -> list[str]:
    """Return all texts of a task but its id and its payload."""
    texts = [text for text in (task.title, task.agent, task.lane, task.layer) if text]
    if task.metadata:
        texts += (*task.metadata, *task.metadata.values())
    return [*texts, *task.labels, *task.acceptance_criteria, *task.requirements, *task.inputs, *task.outputs]


def _ordered(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults by place, those of one place by what they say."""
    return sorted(faults, key=lambda fault: (fault.places[:1], fault.code, fault.message))
