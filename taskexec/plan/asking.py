"""What a plan says of the resources of a task: what it means, and what is wrong with it beyond single amounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from taskexec.domain.labels import LABEL_HINT, label_problem
from taskexec.domain.resources import Alternative, Needs
from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftAlternative, DraftTask, Located
from taskexec.plan.limits import amount_fault, amount_faults, quote

__all__ = ["ALTERNATIVES_MAX", "NODES_MAX", "asking_faults", "asking_warnings", "asks_more", "needs_of"]

T = TypeVar("T")

NODES_MAX = 1_024
"""Most ranks of one task."""

ALTERNATIVES_MAX = 16
"""Most alternatives of one task: each is looked at whenever it waits."""

_WEIGHT_MAX = 1_000_000
_KNOWS_RANKS = frozenset({"shell", "noop"})
"""Agents for which several nodes make sense: a command learns its rank, and noop does nothing."""

_get_amounts = attrgetter("cpus", "memory_mib", "gpus", "gpu_memory_mib", "disk_mib")
_get_rarer = attrgetter("has", "has_not", "exclusive", "nodes", "packed", "alternatives")
_NOTHING = (None, None, None, None, None, None)
_ASKS = ("cpus", "memory_mib", "gpus", "gpu_memory_mib", "disk_mib", "has", "has_not", "exclusive")
"""What an alternative may ask for."""


def asks_more(task: DraftTask) -> bool:
    """Return whether a task says more of its resources than amounts; most do not."""
    return _get_rarer(task) != _NOTHING


def needs_of(draft: DraftTask, known: dict[tuple[object, ...], Needs]) -> Needs:
    """Return what a task asks for; memory of a GPU asks for a GPU.

    Args:
        draft: The task, without faults.
        known: What tasks read before ask for; equal ones share it.
    """
    if asks_more(draft):
        needs = _all_needs(draft)
        return known.setdefault((needs,), needs)
    asked = tuple([None if amount is None else amount.value for amount in _get_amounts(draft)])
    found = known.get(asked)
    if found is None:
        found = known[asked] = _needs(draft)
    return found


def _all_needs(draft: DraftTask) -> Needs:
    nodes = _value(draft.nodes, 1)
    packed = _value(draft.packed, False) and nodes > 1
    return _needs(
        draft,
        nodes=nodes,
        packed=packed,
        alternatives=tuple(
            Alternative(_value(option.weight, 1.0), _needs(option, nodes=nodes, packed=packed))
            for option in draft.alternatives or ()
        ),
    )


def _needs(
    asked: DraftTask | DraftAlternative,
    *,
    nodes: int = 1,
    packed: bool = False,
    alternatives: tuple[Alternative, ...] = (),
) -> Needs:
    gpu_memory_mib = _value(asked.gpu_memory_mib, 0)
    return Needs(
        cpus=_value(asked.cpus, 1.0),
        memory_mib=_value(asked.memory_mib, 0),
        gpus=_value(asked.gpus, 1.0 if gpu_memory_mib else 0.0),
        gpu_memory_mib=gpu_memory_mib,
        disk_mib=_value(asked.disk_mib, 0),
        has=_labels(asked.has),
        has_not=_labels(asked.has_not),
        exclusive=_value(asked.exclusive, False),
        nodes=nodes,
        packed=packed,
        alternatives=alternatives,
    )


def _labels(labels: Sequence[Located[str]] | None) -> tuple[str, ...]:
    """Return labels in one order, each once: what they ask for does not hang on how they are listed."""
    return tuple(sorted({label.value.strip() for label in labels})) if labels else ()


def asking_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    """Yield what is wrong with one task."""
    yield from _label_faults(task, task_id)
    yield from _nodes_faults(task, task_id)
    options = task.alternatives or ()
    if len(options) > ALTERNATIVES_MAX:
        message = f"task {quote(task_id)} has {len(options):,} alternatives, {ALTERNATIVES_MAX} are the most"
        yield Fault("plan.alternatives", message, (options[ALTERNATIVES_MAX].place,), "keep those that matter")
    for option in options:
        yield from amount_faults(option, task_id)
        yield from _label_faults(option, task_id)
        if option.weight is not None and option.weight.value > _WEIGHT_MAX:
            yield amount_fault(
                option.weight, task_id, unit="as a weight", most=_WEIGHT_MAX, name="weight", has_unit=False
            )
        if not any(getattr(option, name) is not None for name in _ASKS):
            message = f"an alternative of task {quote(task_id)} says nothing that it needs"
            hint = "write at least one amount, such as `cpus: 16`, or remove the alternative"
            yield Fault("plan.alternatives", message, (option.place,), hint)


def _label_faults(asked: DraftTask | DraftAlternative, task_id: str) -> Iterator[Fault]:
    for label in (*(asked.has or ()), *(asked.has_not or ())):
        problem = label_problem(label.value.strip())
        if problem is not None:
            name = f"label {quote(label.value)}" if label.value.strip() else "a label"
            message = f"{name} of task {quote(task_id)} {problem}"
            yield Fault("plan.label", message, (label.place,), LABEL_HINT)
    wanted = {label.value.strip(): label.place for label in asked.has or ()}
    for label in asked.has_not or ():
        place = wanted.pop(label.value.strip(), None)
        if place is not None:
            message = f"task {quote(task_id)} wants a worker that has label {quote(label.value)} and one that has not"
            places = tuple(sorted({place, label.place}))
            yield Fault("plan.label", message, places, "take it out of `has` or out of `not`")


def _nodes_faults(task: DraftTask, task_id: str) -> Iterator[Fault]:
    nodes = task.nodes
    if nodes is None:
        return
    if not 1 <= nodes.value <= NODES_MAX:
        message = f"task {quote(task_id)} asks for {nodes.value:,} nodes; 1 to {NODES_MAX:,} were expected"
        yield Fault("plan.nodes", message, (nodes.place,), "check the number in `nodes`")
    elif nodes.value > 1 and task.agent is not None and (task.agent.value.strip() or "noop") not in _KNOWS_RANKS:
        agent = task.agent
        message = f"task {quote(task_id)} asks for {nodes.value:,} nodes, and agent {quote(agent.value)} knows no ranks"
        hint = "make it a command (agent `shell`), which is told its rank, or remove `nodes`"
        yield Fault("plan.nodes", message, tuple(sorted({nodes.place, agent.place})), hint)


def asking_warnings(tasks: Sequence[tuple[DraftTask, str]]) -> Iterator[Fault]:
    """Yield what may not be meant; a word that holds for several tasks is judged once, for all of them.

    Args:
        tasks: Those of a plan that `asks_more` is true of, each with its normal id.
    """
    used = {task.packed.place for task, _ in tasks if task.packed is not None and _value(task.nodes, 1) > 1}
    useless: dict[Place, str] = {}
    for task, task_id in tasks:
        if task.packed is not None and task.packed.value and task.packed.place not in used:
            useless.setdefault(task.packed.place, task_id)
    yield from _useless_packed(useless.items())


def _useless_packed(found: Iterable[tuple[Place, str]]) -> Iterator[Fault]:
    for place, task_id in found:
        message = f"`packed` of task {quote(task_id)} means nothing: it asks for one node"
        yield Fault("plan.packed", message, (place,), "write how many ranks it has, such as `nodes: 4`, or remove it")


def _value(located: Located[T] | None, default: T) -> T:
    return default if located is None else located.value
