"""Why a task waits to be placed: what it asks for, what workers lack for it, who stands before it, what would help."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from taskexec.domain.fit import (
    CPUS,
    DISK,
    GPUS,
    MEMORY,
    READY,
    SLOTS,
    WHOLE,
    Option,
    Vector,
    agent_trait,
    choose,
    label_trait,
    route_trait,
)
from taskexec.domain.placing import PATIENCE_US, ROUND, WIDEST, WINDOW, Account, Want
from taskexec.observability.why.cause import Cause
from taskexec.observability.why.changes import find_changes
from taskexec.observability.why.facts import Cluster, Held, Node
from taskexec.observability.why.turn import Turn, turn_of
from taskexec.observability.why.words import (
    agent_of,
    amount,
    ask_text,
    counted,
    joined,
    labels_of,
    left_text,
    route_of,
    size,
    span,
)

__all__ = ["explain_placing"]

_MOST_WORKERS = 8
"""Groups of workers that are told apart."""
_FITS, _SHORT, _KEPT, _NEVER, _LABELS, _STATE, _AGENT, _ROUTE = range(8)


class _Why(NamedTuple):
    """Why a worker does not get a task; the least severe is the nearest."""

    severity: int
    text: str
    free_at_us: float = math.inf
    """When it should have room."""
    below: tuple[str, ...] = ()
    """Who holds what is missing, and until when."""


def explain_placing(cluster: Cluster, want: Want, *, memory_ratio: float = 1.0) -> Cause:
    """Return why a task waits to be placed, and what would start it now."""
    turn = turn_of(cluster, want)
    waited_s = (cluster.now_us - want.since_us) / 1e6
    causes = [Cause("ask", f"it asks for {text}") for text in ask_text(want.ask)]
    if memory_ratio != 1:
        causes.append(
            Cause("memory", f"that is {memory_ratio:g} times the memory of the plan: it ran out of it before")
        )
    found = turn.place(want.ask)
    if found is not None:
        names = joined(dict.fromkeys(f"`{chosen.spot.name}`" for chosen in found))
        causes.append(Cause("room", f"there is room for it on {names}: it is placed in the next moment"))
    causes += _workers(cluster, turn, want)
    causes += _gang(turn, want)
    causes += _kept_for_it(cluster, want)
    causes += _order(cluster, turn, want)
    changes = find_changes(cluster, want, memory_ratio=memory_ratio)
    causes += [Cause("change", f"it would start now {change.text}", facts=change.facts) for change in changes]
    if found is None and not changes:
        causes.append(Cause("change", "no single change would start it now"))
    text = f"it waits for a place on a worker, for {span(waited_s)} now"
    return Cause("placing", text, tuple(causes), {"waited_s": round(waited_s, 3)})


def _workers(cluster: Cluster, turn: Turn, want: Want) -> Iterator[Cause]:
    """Yield why each worker does not take it, those alike together, the nearest first."""
    if not cluster.nodes:
        yield Cause("workers", "no worker is there; start one with `tek worker`")
        return
    groups: dict[tuple[int, float, str, tuple[str, ...]], list[str]] = {}
    for node in cluster.nodes:
        limit = turn.limits.get(node.name, node.free)
        options = want.ask.options
        whys = [(_why(cluster, node, limit, option, want), number) for number, option in enumerate(options, 1)]
        why, number = min(whys, key=lambda pair: (pair[0].severity, pair[1]))
        text = why.text + (f" (for option {number})" if len(options) > 1 and why.severity < _STATE else "")
        groups.setdefault((why.severity, why.free_at_us, text, why.below), []).append(node.name)
    listed = sorted(groups.items(), key=lambda item: item[0][:2])
    for (severity, _, text, below), names in listed[:_MOST_WORKERS]:
        who = "worker" if len(names) == 1 else f"{len(names):,} workers"
        shown = joined(f"`{name}`" for name in names)
        facts = {"workers": names, "reason": _REASONS[severity]}
        yield Cause("worker", f"{who} {shown}: {text}", tuple(Cause("held", line) for line in below), facts)
    more = sum(len(names) for _, names in listed[_MOST_WORKERS:])
    if more:
        yield Cause("worker", f"{counted(more, 'worker')} more, which are further from it", facts={"more": more})


_REASONS = ("fits", "in_use", "kept", "too_small", "labels", "state", "agent", "route")


def _why(cluster: Cluster, node: Node, limit: Vector, option: Option, want: Want) -> _Why:
    route, agent = route_of(option), agent_of(option)
    if route_trait(route) not in node.traits:
        return _Why(_ROUTE, f"does not serve the queue `{route}`")
    if agent_trait(agent) not in node.traits:
        return _Why(_AGENT, f"has no agent `{agent}`")
    if READY not in node.traits:
        return _Why(_STATE, f"is {node.state}: it takes no new tasks")
    lacks = [f"`{label}`" for label in labels_of(option.has) if label_trait(label) not in node.traits]
    hurts = [f"`{label}`" for label in labels_of(option.has_not) if label_trait(label) in node.traits]
    said = ([f"has no label {joined(lacks, 9)}"] if lacks else []) + (
        [f"has the label {joined(hurts, 9)}, which it must not"] if hurts else []
    )
    if said:
        return _Why(_LABELS, " and ".join(said))
    never = _lacks(option, node.total, node.total)
    if never:
        return _Why(_NEVER, "is too small: " + "; ".join(text for text, _ in never))
    return _why_not_now(cluster, node, limit, option, want)


def _why_not_now(cluster: Cluster, node: Node, limit: Vector, option: Option, want: Want) -> _Why:
    """Return why a worker that could run it does not do so now."""
    short = _lacks(option, node.free, node.total)
    if option.exclusive and (node.free[CPUS], node.free[SLOTS]) != (node.total[CPUS], node.total[SLOTS]):
        short.append(("it must have the worker for itself alone", {CPUS, SLOTS}))
    if short:
        dimensions = set().union(*(at for _, at in short))
        held = _held(node.holds, dimensions, cluster.now_us)
        free_at = _free_at(node, option)
        if free_at:
            held.append(f"it should have room in {left_text((free_at - cluster.now_us) / 1e6)}")
        return _Why(_SHORT, "; ".join(text for text, _ in short), free_at or math.inf, tuple(held))
    if choose(option, [node.spot], spare={node.name: limit}) is None:
        if node.kept_for and node.kept_for != want.owner:
            name = cluster.name_of(node.kept_for)
            return _Why(_KEPT, f"has room, but is kept for {name}, which needs {_amounts(node.kept)} of it")
        return _Why(_KEPT, "has room, but its last slot is left to tasks that ask for nothing else and wait for long")
    rank = " for a rank" if want.ask.ranks > 1 else ""
    return _Why(_FITS, f"has room{rank}")


def _lacks(option: Option, there: Vector, total: Vector) -> list[tuple[str, set[int]]]:
    """Return what is missing for an option beside labels, each with the positions in the vector that it is about."""
    lacks: list[tuple[str, set[int]]] = []
    is_whole = there is total
    for name, at, asked in (
        ("core", CPUS, option.cpus),
        ("memory", MEMORY, option.memory),
        ("disk", DISK, option.disk),
    ):
        if asked <= there[at]:
            continue
        has = _of(name, there[at], None if is_whole else total[at])
        lacks.append((f"{_much(name, asked)} needed, {has}", {at}))
    if there[SLOTS] < 1:
        lacks.append(("1 slot needed, " + (f"none of {total[SLOTS]} free" if not is_whole else "it has none"), {SLOTS}))
    gpus = _gpus_lack(option, there, total, is_whole=is_whole)
    return [*gpus, *lacks]


def _of(name: str, left: int, total: int | None) -> str:
    if total is None:
        return f"it has {_much(name, left)}"
    if name == "core":
        return f"{amount(left)} of {amount(total)} free"
    return f"{size(left)} of {size(total)} free"


def _much(name: str, number: int) -> str:
    if name == "core":
        return f"{amount(number)} core{'' if number == WHOLE else 's'}"
    return f"{size(number)} of {name}"


def _gpus_lack(option: Option, there: Vector, total: Vector, *, is_whole: bool) -> list[tuple[str, set[int]]]:
    if option.gpus == 0:
        return []
    shares, frees, sizes = there[GPUS::2], there[GPUS + 1 :: 2], total[GPUS + 1 :: 2]
    positions = {GPUS + 2 * at for at in range(len(shares))}
    memory = f" with {size(option.gpu_memory)}" if option.gpu_memory else ""
    if option.gpus >= WHOLE:
        wanted = option.gpus // WHOLE
        large = [at for at, one in enumerate(sizes) if one >= option.gpu_memory]
        free = sum(shares[at] == WHOLE for at in large)
        if free >= wanted:
            return []
        what = f"{counted(wanted, 'GPU')}{memory} needed, "
        if not shares:
            return [(what + "it has none", set())]
        if is_whole or not large:
            largest = f" (its largest has {size(max(sizes))})" if len(large) < len(sizes) and max(sizes) else ""
            return [(f"{what}it has {len(large)}{largest}", set())]
        return [(f"{what}{free} of {len(large)} free", {GPUS + 2 * at for at in large})]
    fits = any(
        share >= option.gpus and left >= (option.gpu_memory or whole * option.gpus // WHOLE)
        for share, left, whole in zip(shares, frees, sizes, strict=True)
    )
    if fits:
        return []
    what = f"{amount(option.gpus)} of a GPU{memory} needed, "
    if not shares:
        return [(what + "it has none", set())]
    most = f"{amount(max(shares))} with {size(max(frees))} is the most that is " + (
        "there" if is_whole else "free on one"
    )
    return [(what + most, positions | {at + 1 for at in positions})]


def _held(holds: Sequence[Held], dimensions: set[int], now_us: int) -> list[str]:
    """Return who holds what is missing, those that end first before the others."""
    about = [hold for hold in holds if any(hold.vector[at] for at in dimensions)]
    about.sort(key=lambda hold: (hold.ends_us == 0, hold.ends_us))
    parts = []
    for hold in about[:3]:
        ends = ""
        if hold.ends_us:
            left_s = (hold.ends_us - now_us) / 1e6
            ends = f" for another {left_text(left_s)}" if left_s > 0 else ", longer than expected"
        gpus = sum(hold.vector[GPUS::2])
        much = f" holds {counted(gpus // WHOLE, 'GPU')}" if gpus >= WHOLE and dimensions & {*range(GPUS, 999)} else ""
        cores = f" holds {_much('core', hold.vector[CPUS])}" if dimensions & {CPUS} else ""
        memory = f" holds {size(hold.vector[MEMORY])}" if dimensions & {MEMORY} else ""
        parts.append(f"{joined(hold.names)}{much or cores or memory or ' holds a part'}{ends}")
    return parts + ([f"{len(about) - 3:,} others hold more"] if len(about) > 3 else [])


def _free_at(node: Node, option: Option) -> int | None:
    """Return when a worker is expected to have room for an option, if nothing else comes; None is unknown."""
    free = list(node.free)
    for hold in sorted((hold for hold in node.holds if hold.ends_us), key=lambda hold: hold.ends_us):
        free = [left + back for left, back in zip(free, hold.vector, strict=True)]
        if choose(option, [node.spot._replace(free=free)]) is not None:
            return hold.ends_us
    return None


def _gang(turn: Turn, want: Want) -> Iterator[Cause]:
    """Yield how many ranks would find a place now."""
    if want.ask.ranks == 1:
        return
    placed = 0
    for option in want.ask.options:
        one = want.ask._replace(options=(option,))
        low, high = 0, want.ask.ranks
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if turn.place(one._replace(ranks=middle)) else (low, middle - 1)
        placed = max(placed, low)
    yield Cause("ranks", f"{placed} of its {want.ask.ranks} ranks would find a place now; they start together or not")


def _kept_for_it(cluster: Cluster, want: Want) -> Iterator[Cause]:
    kept = [node for node in cluster.nodes if node.kept_for == want.owner]
    for node in kept:
        ends = [at for option in want.ask.options if (at := _free_at(node, option))]
        when = f"; it should have room in {left_text((min(ends) - cluster.now_us) / 1e6)}" if ends else ""
        unknown = "" if when else "; when it has room is not known, since what runs there says not how long it takes"
        text = f"worker `{node.name}` is kept for it: others get only what it leaves{when or unknown}"
        yield Cause("kept", text, facts={"worker": node.name})
    if not kept and cluster.now_us - want.since_us <= PATIENCE_US:
        yield Cause("kept", f"after {span(PATIENCE_US / 1e6)} workers may be kept for it")
    others = {node.kept_for: node.name for node in cluster.nodes if node.kept_for and node.kept_for != want.owner}
    if not kept and others:
        names = joined(f"`{worker}` for {cluster.name_of(owner)}" for owner, worker in others.items())
        yield Cause("kept", f"workers are kept for others, which waited before it: {names}")


def _order(cluster: Cluster, turn: Turn, want: Want) -> Iterator[Cause]:
    """Yield who is looked at before it, and why."""
    facts = {"before": len(turn.before)}
    if not turn.is_reached:
        most = f"{WINDOW - WIDEST} tasks of a run that find no place, {ROUND} tasks in all"
        text = f"a round of placing does not come to it: it looks at {most}, and the widest of each run"
        yield Cause("order", text, facts=facts)
    if not turn.before:
        yield Cause("order", "no task that waits is looked at before it", facts=facts)
        return
    by_run = Counter(other.run_id for other in turn.before)
    reasons = []
    for run_id, number in by_run.most_common(3):
        whose = "of its own run" if run_id == want.run_id else f"of run {run_id}"
        why = "" if run_id == want.run_id else _why_before(cluster, turn, run_id, want)
        reasons.append(
            Cause("before", f"{counted(number, 'task')} {whose}{why}", facts={"run": run_id, "tasks": number})
        )
    text = (
        f"{counted(len(turn.before), 'task')} that also waits is"
        if len(turn.before) == 1
        else (f"{counted(len(turn.before), 'task')} that also wait are")
    )
    first = joined(cluster.name_of(other.owner) for other in turn.before)
    yield Cause("order", f"{text} looked at before it: {first}", tuple(reasons), facts)


def _why_before(cluster: Cluster, turn: Turn, run_id: str, want: Want) -> str:
    """Return what puts the tasks of another run first, with its figures."""
    first = next(other for other in turn.before if other.run_id == run_id)
    if first.ask.priority != want.ask.priority:
        return f": priority {first.ask.priority} comes before {want.ask.priority}"
    theirs, ours = dict(cluster.accounts.get(run_id, ())), dict(cluster.accounts.get(want.run_id, ()))
    for prefix, word in (("u:", "user"), ("t:", "tag"), ("r:", "run")):
        one, other = _account(theirs, prefix), _account(ours, prefix)
        if one is None or other is None or one[0] == other[0]:
            continue
        if one[1].share / one[1].weight != other[1].share / other[1].weight:
            return f": {word} {_holds(*one)}, {word} {_holds(*other)}"
    if first.ask.deadline_us != want.ask.deadline_us:
        return ": its deadline is earlier"
    return ": it began to wait earlier"


def _account(accounts: Mapping[str, Account], prefix: str) -> tuple[str, Account] | None:
    return next(((name, account) for name, account in accounts.items() if name.startswith(prefix)), None)


def _holds(name: str, account: Account) -> str:
    weight = f" at weight {account.weight:g}" if account.weight != 1 else ""
    shown = name[2:] or "none"
    return f"`{shown}` holds {account.share / 10_000:.1f} % of the cluster{weight}"


def _amounts(vector: Vector) -> str:
    gpus = sum(vector[GPUS::2])
    parts = [f"{amount(gpus)} GPU{'' if gpus <= WHOLE else 's'}"] if gpus else []
    parts += [_much("core", vector[CPUS])] if vector[CPUS] else []
    parts += [f"{size(vector[MEMORY])} of memory"] if vector[MEMORY] else []
    return joined(parts, 9) or "a slot"
