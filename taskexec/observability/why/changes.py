"""What change would start a task now: the ask made smaller as little as possible, or a cluster with more.

A change is named only when the rules of placing, tried on what is free now, place the task with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from taskexec.domain.fit import (
    CPUS,
    DISK,
    GPUS,
    MEMORY,
    READY,
    SLOTS,
    WHOLE,
    Ask,
    Option,
    Spot,
    Vector,
    agent_trait,
    label_trait,
    route_trait,
)
from taskexec.domain.placing import Want
from taskexec.observability.why.facts import Cluster, Node
from taskexec.observability.why.turn import Turn, turn_of, with_want
from taskexec.observability.why.words import agent_of, amount, counted, labels_of, route_of, size

__all__ = ["Change", "find_changes"]

_MOST = 3
"""Changes of the ask that are named."""
_MOST_BEFORE = 4
"""Further workers that are tried beyond one for each rank: who stands before it may take some."""
_MOST_TRIED = 200
"""Values of one amount that are tried for a distributed task."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that would start a task now."""

    text: str
    """Behind "it would start now", for people."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What to do, for programs: `write` (fields of a plan), `option`, `uncordon`, `worker`, `priority`."""
    want: Want | None = None
    """What the task would ask for; None when it is the cluster that changes."""
    cluster: Cluster | None = None
    """The cluster after the change; None when it is the task that changes."""


@dataclass(frozen=True, slots=True)
class _Smaller:
    """An option that asks for less."""

    option: Option
    writes: dict[str, str]
    """Fields of a plan and what to write there."""
    words: tuple[str, ...]
    loss: float
    """How much less it is, summed over amounts, in parts of what is asked."""

    @property
    def cost(self) -> tuple[int, float]:
        return len(self.words), self.loss


def find_changes(cluster: Cluster, want: Want, *, memory_ratio: float = 1.0) -> list[Change]:
    """Return what would start a task now, the smallest changes of what it asks for first; none when it starts anyway.

    Args:
        cluster: How things stand.
        want: The task.
        memory_ratio: So many times the memory of the plan it asks for.
    """
    turn = turn_of(cluster, want)
    if turn.place(want.ask) is not None:
        return []
    return [
        *_smaller_asks(turn, want, memory_ratio),
        *_higher_priority(cluster, want),
        *_uncordoned(cluster, want),
        *_further_workers(cluster, want),
    ]


def _smaller_asks(turn: Turn, want: Want, memory_ratio: float) -> Iterator[Change]:
    found: dict[tuple[int, str], tuple[_Smaller, int]] = {}
    find = _for_one if want.ask.ranks == 1 else _for_ranks
    for number, option in enumerate(want.ask.options):
        for smaller in find(turn, want.ask, option, memory_ratio):
            key = (number, " ".join(smaller.words))
            if key not in found:
                found[key] = smaller, number
    for ranks, packed, words, writes in _gang_shapes(turn, want.ask):
        yield Change(f"with {words}", {"write": writes}, _asking(want, want.ask._replace(ranks=ranks, packed=packed)))
    least = sorted(found.values(), key=lambda pair: (*pair[0].cost, pair[1]))
    for smaller, number in _distinct(least)[:_MOST]:
        options = tuple(smaller.option if at == number else option for at, option in enumerate(want.ask.options))
        where = f" in its option {number + 1}" if len(options) > 1 else ""
        facts = {"write": smaller.writes} | ({"option": number + 1} if where else {})
        said = _said(smaller.words) + where
        yield Change(said, facts, _asking(want, want.ask._replace(options=options)))


def _said(words: Sequence[str]) -> str:
    """Return changes as one phrase.

    >>> _said(["without the label `ssd`", "with gpus=1", "with cpus=2"])
    'without the label `ssd`, with gpus=1 and cpus=2'
    """
    plain = [word.removeprefix("with ") for word in words if word.startswith("with ")]
    others = [word for word in words if not word.startswith("with ")]
    if plain:
        others.append("with " + ", ".join(plain[:-1]) + (" and " if len(plain) > 1 else "") + plain[-1])
    return ", ".join(others)


def _asking(want: Want, ask: Ask) -> Want:
    return replace(want, ask=ask)


def _distinct(found: Sequence[tuple[_Smaller, int]]) -> list[tuple[_Smaller, int]]:
    """Leave out what changes the same fields more than another does."""
    kept: dict[tuple[int, tuple[str, ...]], tuple[_Smaller, int]] = {}
    for smaller, number in found:
        kept.setdefault((number, tuple(sorted(smaller.writes))), (smaller, number))
    best = list(kept.values())
    return [
        (smaller, number)
        for smaller, number in best
        if not any(set(other.writes) < set(smaller.writes) and at == number for other, at in best)
    ]


def _for_one(turn: Turn, ask: Ask, option: Option, memory_ratio: float) -> Iterator[_Smaller]:
    """Yield what each worker could give of an option."""
    for spot in turn.spots:
        limit = turn.limits.get(spot.name, spot.free)
        there = [min(one, other) for one, other in zip(spot.free, limit, strict=True)]
        if READY not in spot.traits or there[SLOTS] < 1:
            continue
        if not {route_trait(route_of(option)), agent_trait(agent_of(option))} <= set(spot.traits):
            continue
        for smaller in _made_to_fit(option, spot, there, memory_ratio):
            if turn.place(ask._replace(options=(smaller.option,)), on=(spot,)) is not None:
                yield smaller


def _made_to_fit(option: Option, spot: Spot, there: Vector, memory_ratio: float) -> Iterator[_Smaller]:
    base = _Smaller(option, {}, (), 0.0)
    base = _without_labels(base, spot)
    if option.exclusive and (spot.free != spot.total or there != spot.total):
        base = _changed(base, {"exclusive": "no"}, "with exclusive=no", 0.3, exclusive=False)
    for name, at in (("cpus", CPUS), ("memory", MEMORY), ("disk", DISK)):
        smaller = _with_amount(base, name, there[at], memory_ratio)
        if smaller is None:
            return
        base = smaller
    if option.gpus == 0:
        yield base
        return
    for gpus, gpu_memory in _gpu_choices(base.option, spot, there):
        yield _with_gpus(base, gpus, gpu_memory)


def _changed(base: _Smaller, writes: dict[str, str], word: str, loss: float, **fields: Any) -> _Smaller:
    return _Smaller(base.option._replace(**fields), {**base.writes, **writes}, (*base.words, word), base.loss + loss)


def _without_labels(base: _Smaller, spot: Spot) -> _Smaller:
    option = base.option
    lacks = [label for label in labels_of(option.has) if label_trait(label) not in spot.traits]
    hurts = [label for label in labels_of(option.has_not) if label_trait(label) in spot.traits]
    if lacks:
        left = tuple(trait for trait in option.has if trait not in map(label_trait, lacks))
        word = "without the label " + " and ".join(f"`{label}`" for label in lacks)
        base = _changed(base, {"has": " ".join(labels_of(left))}, word, 0.5 * len(lacks), has=left)
    if hurts:
        left = tuple(trait for trait in option.has_not if trait not in map(label_trait, hurts))
        word = "with " + " and ".join(f"`{label}`" for label in hurts) + " allowed as a label"
        base = _changed(base, {"not": " ".join(labels_of(left))}, word, 0.5 * len(hurts), has_not=left)
    return base


def _with_amount(base: _Smaller, name: str, there: int, memory_ratio: float) -> _Smaller | None:
    """Return an option that asks for no more than there is of something; None when nothing would be left of it."""
    asked: int = getattr(base.option, name)
    if asked <= there:
        return base
    kept = written = there
    if name == "memory":
        written = math.floor(there / memory_ratio)
        kept = math.ceil(written * memory_ratio)
    if written <= 0:
        return None
    value = amount(written) if name == "cpus" else size(written)
    return _changed(base, {name: value}, f"with {name}={value}", 1 - kept / asked, **{name: kept})


def _with_gpus(base: _Smaller, gpus: int, gpu_memory: int) -> _Smaller:
    option = base.option
    if gpus < option.gpus:
        value = amount(gpus)
        base = _changed(base, {"gpus": value}, f"with gpus={value}", 1 - gpus / option.gpus, gpus=gpus)
    if gpu_memory < option.gpu_memory:
        value = size(gpu_memory)
        loss = 1 - gpu_memory / option.gpu_memory
        base = _changed(base, {"gpu_memory": value}, f"with gpu_memory={value}", loss, gpu_memory=gpu_memory)
    return base


def _gpu_choices(option: Option, spot: Spot, there: Vector) -> Iterator[tuple[int, int]]:
    """Yield numbers (or shares) of GPUs and memory of each, no more than asked, that a worker may have."""
    share_and_memory = list(zip(there[GPUS::2], there[GPUS + 1 :: 2], spot.total[GPUS + 1 :: 2], strict=True))
    whole = sorted((total for share, _, total in share_and_memory if share == WHOLE), reverse=True)
    asked = option.gpus
    if asked >= WHOLE:
        large = sum(total >= option.gpu_memory for total in whole)
        if large:
            yield min(asked, large * WHOLE), option.gpu_memory
        for count in range(min(asked // WHOLE, len(whole)), 0, -1):
            if 0 < whole[count - 1] < option.gpu_memory:
                yield count * WHOLE, whole[count - 1]
                break
    for share, memory, _ in share_and_memory:
        part = min(share, asked, WHOLE - 1)
        if part > 0:
            if memory >= option.gpu_memory:
                yield part, option.gpu_memory
            elif memory > 0:
                yield part, memory


def _for_ranks(turn: Turn, ask: Ask, option: Option, memory_ratio: float) -> Iterator[_Smaller]:
    """Yield the smallest single changes of every rank of a distributed task."""
    base = _Smaller(option, {}, (), 0.0)

    def works(smaller: _Smaller) -> bool:
        return turn.place(ask._replace(options=(smaller.option,))) is not None

    yield from filter(works, _without_conditions(base))
    for name, at in (("cpus", CPUS), ("memory", MEMORY), ("disk", DISK)):
        yield from _first(works, _amounts(turn, ask, base, name, at, memory_ratio))
    if option.gpus >= WHOLE:
        fewer = (_with_gpus(base, count * WHOLE, option.gpu_memory) for count in range(option.gpus // WHOLE - 1, 0, -1))
        yield from _first(works, fewer)
    sizes = {total for spot in turn.spots for total in spot.total[GPUS + 1 :: 2] if 0 < total < option.gpu_memory}
    yield from _first(works, (_with_gpus(base, option.gpus, one) for one in sorted(sizes, reverse=True)))


def _without_conditions(base: _Smaller) -> Iterator[_Smaller]:
    """Yield an option without one of its labels, or without a worker for itself alone."""
    option = base.option
    for label in labels_of(option.has):
        left = tuple(trait for trait in option.has if trait != label_trait(label))
        yield _changed(base, {"has": " ".join(labels_of(left))}, f"without the label `{label}`", 0.5, has=left)
    for label in labels_of(option.has_not):
        left = tuple(trait for trait in option.has_not if trait != label_trait(label))
        yield _changed(
            base, {"not": " ".join(labels_of(left))}, f"with `{label}` allowed as a label", 0.5, has_not=left
        )
    if option.exclusive:
        yield _changed(base, {"exclusive": "no"}, "with exclusive=no", 0.3, exclusive=False)


def _first(works: Callable[[_Smaller], bool], tried: Iterator[_Smaller]) -> Iterator[_Smaller]:
    for smaller in tried:
        if works(smaller):
            yield smaller
            return


def _amounts(turn: Turn, ask: Ask, base: _Smaller, name: str, at: int, memory_ratio: float) -> Iterator[_Smaller]:
    asked: int = getattr(base.option, name)
    parts = range(1, min(ask.ranks, 16) + 1) if ask.packed else range(1, 2)
    there = {spot.free[at] for spot in turn.spots} | {limit[at] for limit in turn.limits.values()}
    values = {value // part for value in there for part in parts if 0 < value // part < asked}
    for value in sorted(values, reverse=True)[:_MOST_TRIED]:
        smaller = _with_amount(base, name, value, memory_ratio)
        if smaller is not None:
            yield smaller


def _gang_shapes(turn: Turn, ask: Ask) -> Iterator[tuple[int, bool, str, dict[str, str]]]:
    """Yield fewer ranks of a distributed task, and ranks that share workers, where that would start it."""
    if ask.ranks == 1:
        return
    if not ask.packed and turn.place(ask._replace(packed=True)) is not None:
        yield ask.ranks, True, "packed=yes (ranks may share workers)", {"packed": "yes"}
    low, high = 0, ask.ranks - 1  # what fits with n ranks fits with fewer
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if turn.place(ask._replace(ranks=middle)) is not None else (low, middle - 1)
    if low and turn.place(ask._replace(ranks=low)) is not None:
        yield low, ask.packed, f"nodes={low}", {"nodes": str(low)}


def _starts(cluster: Cluster, want: Want) -> bool:
    return turn_of(cluster, want).place(want.ask) is not None


def _higher_priority(cluster: Cluster, want: Want) -> Iterator[Change]:
    for priority in range(want.ask.priority + 1, 10):
        raised = _asking(want, want.ask._replace(priority=priority))
        if _starts(with_want(cluster, raised), raised):
            yield Change(f"with priority={priority}", {"write": {"priority": str(priority)}}, raised)
            return


def _uncordoned(cluster: Cluster, want: Want) -> Iterator[Change]:
    for at, node in enumerate(cluster.nodes):
        if READY in node.traits:
            continue
        ready = replace(node, traits=node.traits | {READY}, state="ready")
        after = replace(cluster, nodes=(*cluster.nodes[:at], ready, *cluster.nodes[at + 1 :]))
        if _starts(after, want):
            text = f"after `tek uncordon {node.name}`: it is {node.state}"
            yield Change(text, {"uncordon": node.name}, cluster=after)
            return


def _further_workers(cluster: Cluster, want: Want) -> Iterator[Change]:
    option = want.ask.options[0]
    for count in range(1, want.ask.ranks + _MOST_BEFORE + 1):
        nodes = tuple(_made_for(option, f"further-{number}") for number in range(1, count + 1))
        after = replace(cluster, nodes=(*cluster.nodes, *nodes))
        if _starts(after, want):
            who = "a further worker" if count == 1 else f"{counted(count, 'further worker')}, each"
            worker = {
                "count": count,
                "class": route_of(option),
                "cpus": option.cpus / WHOLE,
                "memory_mib": option.memory,
                "disk_mib": option.disk,
                "gpus": math.ceil(option.gpus / WHOLE),
                "gpu_memory_mib": option.gpu_memory,
                "labels": labels_of(option.has),
            }
            yield Change(f"with {who} {_offer(option)}", {"worker": worker}, cluster=after)
            return


def _made_for(option: Option, name: str) -> Node:
    gpus = [WHOLE, option.gpu_memory] * math.ceil(option.gpus / WHOLE)
    total = [option.cpus, option.memory, option.disk, 1, *gpus]
    return Node(name, total, total, frozenset({READY, *option.has}))


def _offer(option: Option) -> str:
    parts = [f"{amount(option.cpus)} cores"] if option.cpus != WHOLE else ["1 core"]
    if option.gpus:
        memory = f" with {size(option.gpu_memory)}" if option.gpu_memory else ""
        parts.append(counted(math.ceil(option.gpus / WHOLE), "GPU") + memory)
    parts += [f"{size(option.memory)} of memory"] if option.memory else []
    parts += [f"{size(option.disk)} of disk"] if option.disk else []
    parts += [f"the label `{label}`" for label in labels_of(option.has)]
    said = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
    return f"for the queue `{route_of(option)}` that has {said}"
