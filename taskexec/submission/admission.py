"""Admission: whether a plan can be carried out by the workers there are, decided before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from taskexec.domain.fit import Ask, Spot, agent_trait, choose_all, route_trait, suits, traits_of, vector_of
from taskexec.domain.resources import Capacity, Needs, Route, choose_route, shortfalls
from taskexec.domain.task import Task
from taskexec.errors import Fault, NeedsUnmet
from taskexec.plan import Plan

__all__ = ["KnownWorker", "admit", "unmet"]


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """A worker as admission sees it."""

    name: str
    routes: frozenset[Route]
    capacity: Capacity
    agents: frozenset[str] | None = None
    """The agents it has; None when that is looked at elsewhere."""
    is_expected: bool = False
    """Whether it need not be there yet."""

    @property
    def told(self) -> str:
        """What it is called in messages."""
        return f"`{self.name}`, which is expected" if self.is_expected else f"`{self.name}`"


def admit(plan: Plan, workers: Sequence[KnownWorker]) -> None:
    """Check that for every task that is performed there are workers that could run it if they were idle.

    Raises:
        NeedsUnmet: With one fault a task, each with the nearest miss.
    """
    faults = unmet(plan, workers)
    if faults:
        raise NeedsUnmet(faults)


def unmet(plan: Plan, workers: Sequence[KnownWorker]) -> list[Fault]:
    """Return one fault for every task that is performed and that these workers could not run if they were idle."""
    faults = []
    cluster = _Idle(workers)
    known: dict[tuple[Route, Needs, str], tuple[str, str] | None] = {}
    for task, place in zip(plan.tasks, plan.places, strict=True):
        if task.is_satisfied:
            continue
        key = (task.route, task.needs, task.agent)
        if key not in known:
            known[key] = None if cluster.could_run(task) else _refusal(task, workers)
        refusal = known[key]
        if refusal is not None:
            reason, hint = refusal
            faults.append(Fault("needs.unmet", f"task `{task.id}` can never run: {reason}", (place,), hint))
    return faults


class _Idle:
    """The workers as if nothing ran on them."""

    def __init__(self, workers: Sequence[KnownWorker]) -> None:
        self._workers = workers
        self._spots: dict[str, list[Spot]] = {}

    def _spots_for(self, agent: str) -> list[Spot]:
        if agent not in self._spots:
            found = []
            for worker in self._workers:
                agents = {agent} if worker.agents is None else worker.agents
                traits = traits_of(worker.capacity, worker.routes, agents, is_ready=True)
                total = vector_of(worker.capacity)
                found.append(Spot(worker.name, total, total, traits))
            self._spots[agent] = found
        return self._spots[agent]

    def could_run(self, task: Task) -> bool:
        spots = self._spots_for(task.agent)
        if task.needs.is_default:  # it takes a slot, however little of a core that is
            wanted = {route_trait(task.route), agent_trait(task.agent)}
            return any(wanted <= set(spot.traits) for spot in spots)
        return choose_all(Ask.of(task.needs, task.route, task.agent), spots) is not None


class _Miss(NamedTuple):
    """What one worker lacks for one option; the least is the nearest."""

    reasons: int
    ratio: float
    """How much of what is asked is missing, summed over the amounts."""
    worker: str
    """As messages call it."""
    text: str


def _refusal(task: Task, workers: Sequence[KnownWorker]) -> tuple[str, str]:
    """Return why no worker could run a task, by the worker that comes nearest, and what to do."""
    options = [(option, _serves(task, option)) for option in task.needs.options()]
    serving = [(worker, option) for option, route in options for worker in workers if route in worker.routes]
    if not serving:
        routes = " or ".join(dict.fromkeys(f"`{route}`" for _, route in options))
        return f"no worker serves the route {routes}", f"start one with `tek worker --class {options[0][1]}`"
    misses = list(_misses(task, serving))
    hint = "ask for less, or start a worker that has more with `tek worker`"
    if task.needs.nodes > 1:
        return _too_few(task, options, workers, misses), hint
    miss = min(misses)
    return f"it asks for {miss.text} on the nearest worker, {miss.worker}", hint


def _serves(task: Task, option: Needs) -> Route:
    """Return the route an option goes to, as `Ask.of` has it."""
    return task.route if option.gpus == task.needs.gpus else choose_route(None, option)


def _misses(task: Task, serving: Sequence[tuple[KnownWorker, Needs]]) -> Iterator[_Miss]:
    for worker, option in serving:
        short = shortfalls(option, worker.capacity)
        if worker.agents is not None and task.agent not in worker.agents:
            short.append(f"the agent `{task.agent}`, which is not")
        if short:
            yield _Miss(len(short), _missing(option, worker.capacity), worker.told, " and ".join(short))


def _missing(option: Needs, capacity: Capacity) -> float:
    pairs = (
        (option.cpus, capacity.cpus),
        (option.memory_mib, capacity.memory_mib),
        (option.disk_mib, capacity.disk_mib),
        (option.gpus, len(capacity.gpus)),
        (option.gpu_memory_mib, max((gpu.memory_mib for gpu in capacity.gpus), default=0)),
    )
    return sum(1 - there / asked for asked, there in pairs if asked > there)


def _too_few(
    task: Task, options: Sequence[tuple[Needs, Route]], workers: Sequence[KnownWorker], misses: Sequence[_Miss]
) -> str:
    """Return why the ranks of a distributed task have no place: how many have one, and who comes nearest."""
    ranks, found = task.needs.nodes, 0
    idle = _Idle(workers)
    for one in Ask.of(task.needs, task.route, task.agent).options:
        spots = [spot for spot in idle._spots_for(task.agent) if suits(one, spot.traits)]
        alone = Ask((one,), ranks=1, packed=task.needs.packed)
        placed = next((n for n in range(ranks - 1, 0, -1) if choose_all(alone._replace(ranks=n), spots)), 0)
        found = max(found, placed)
    where = "ranks that may share workers" if task.needs.packed else "workers"
    said = f"it asks for {ranks} {where}, and there is room for {found}"
    if not misses:
        return said
    miss = min(misses)
    return f"{said}; a rank asks for {miss.text} on the nearest other worker, {miss.worker}"
