"""What fits where: the asks of tasks and the free amounts of workers as whole numbers, and the choice between workers.

Everything that is placed goes by these rules: `store/lua/fit.lua` says the same in Lua, the memory twin and the
simulator call them. Amounts are whole numbers, so that what is taken and given back is exactly the same: cores in
thousandths, memory and disk in MiB, GPUs in thousandths of one.

A vector holds the amounts of one worker: cores, memory, disk, slots, then share and memory of each GPU.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from taskexec.domain.resources import Capacity, Needs, Route, choose_route

__all__ = [
    "CPUS",
    "DISK",
    "GPUS",
    "MEMORY",
    "READY",
    "SLOTS",
    "WHOLE",
    "Ask",
    "Chosen",
    "Option",
    "Spot",
    "Vector",
    "agent_trait",
    "choose",
    "choose_all",
    "debit",
    "find_gpus",
    "label_trait",
    "parse_vector",
    "route_trait",
    "score",
    "slot_debit",
    "suits",
    "traits_of",
    "vector_of",
    "vector_text",
]

Vector = list[int]
CPUS, MEMORY, DISK, SLOTS, GPUS = range(5)
"""Positions in a vector; from `GPUS` on there are two for each GPU: its share and its memory."""
WHOLE = 1000
"""One core, or one GPU."""
READY = "s:ready"
"""Trait of a worker that takes new tasks; one that is cordoned or drained lacks it."""


def label_trait(label: str) -> str:
    """Return the trait of a worker with a label."""
    return f"l:{label}"


def route_trait(route: str) -> str:
    """Return the trait of a worker that serves a route."""
    return f"r:{route}"


def agent_trait(agent: str) -> str:
    """Return the trait of a worker that has an agent."""
    return f"a:{agent}"


class Option(NamedTuple):
    """One way in which a task, or one rank of it, can run."""

    cpus: int
    memory: int
    disk: int
    gpus: int
    gpu_memory: int
    exclusive: bool
    has: tuple[str, ...] = ()
    """Traits that the worker must have."""
    has_not: tuple[str, ...] = ()
    """Traits that it must not have."""

    def encode(self) -> str:
        """Return it as the scripts read it."""
        numbers = (self.cpus, self.memory, self.disk, self.gpus, self.gpu_memory, int(self.exclusive))
        return " ".join([*map(str, numbers), *(f"+{t}" for t in self.has), *(f"-{t}" for t in self.has_not)])

    @classmethod
    def decode(cls, text: str) -> Option:
        """Return what `encode` wrote."""
        parts = text.split(" ")
        cpus, memory, disk, gpus, gpu_memory, exclusive = map(int, parts[:6])
        has = tuple(part[1:] for part in parts[6:] if part[0] == "+")
        has_not = tuple(part[1:] for part in parts[6:] if part[0] == "-")
        return cls(cpus, memory, disk, gpus, gpu_memory, bool(exclusive), has, has_not)


class Ask(NamedTuple):
    """What a task asks of the cluster."""

    options: tuple[Option, ...]
    """What would do, best first."""
    priority: int = 0
    """0 to 9, higher first."""
    deadline_us: int = 0
    """Instant in microseconds since the epoch, earlier first; 0 is never, and last."""
    duration_us: int = 0
    """How long it is expected to take; 0 is unknown."""
    ranks: int = 1
    packed: bool = False
    """Whether ranks may share a worker."""

    def encode(self) -> str:
        """Return it as the scripts read it: a line of numbers, then a line for each option."""
        head = f"{self.priority} {self.deadline_us} {self.duration_us} {self.ranks} {int(self.packed)}"
        return "\n".join([head, *(option.encode() for option in self.options)])

    def with_memory(self, ratio: float) -> Ask:
        """Return it with so many times the memory."""
        if ratio == 1:
            return self
        return self._replace(
            options=tuple(option._replace(memory=math.ceil(option.memory * ratio)) for option in self.options)
        )

    @classmethod
    def decode(cls, text: str) -> Ask:
        """Return what `encode` wrote."""
        head, *options = text.split("\n")
        priority, deadline_us, duration_us, ranks, packed = map(int, head.split(" "))
        return cls(tuple(map(Option.decode, options)), priority, deadline_us, duration_us, ranks, bool(packed))

    @classmethod
    def of(
        cls,
        needs: Needs,
        route: Route,
        agent: str,
        *,
        priority: int = 0,
        deadline_at: float | None = None,
        duration_s: float | None = None,
    ) -> Ask:
        """Return what a task asks for; alternatives go to the route that fits what they ask for."""
        options = []
        for option in needs.options():
            serves = route if option.gpus == needs.gpus else choose_route(None, option)
            options.append(_option(option, serves, agent))
        return cls(
            tuple(options),
            min(max(priority, 0), 9),
            int((deadline_at or 0) * 1e6),
            int((duration_s or 0) * 1e6),
            needs.nodes,
            needs.packed,
        )


def _option(needs: Needs, route: Route, agent: str) -> Option:
    return Option(
        cpus=round(needs.cpus * WHOLE),
        memory=needs.memory_mib,
        disk=needs.disk_mib,
        gpus=round(needs.gpus * WHOLE),
        gpu_memory=needs.gpu_memory_mib,
        exclusive=needs.exclusive,
        has=(route_trait(route), agent_trait(agent), *map(label_trait, needs.has)),
        has_not=tuple(map(label_trait, needs.has_not)),
    )


class Spot(NamedTuple):
    """A worker as a place to put something."""

    name: str
    total: Vector
    free: Vector
    traits: Collection[str]


class Chosen(NamedTuple):
    """Where something goes."""

    spot: Spot
    gpus: tuple[int, ...]
    """Positions of its GPUs."""
    debit: Vector
    """What it takes there."""


def vector_of(capacity: Capacity) -> Vector:
    """Return the whole of a worker."""
    vector = [round(capacity.cpus * WHOLE), capacity.memory_mib, capacity.disk_mib, capacity.slots]
    for gpu in capacity.gpus:
        vector += [WHOLE, gpu.memory_mib]
    return vector


def traits_of(capacity: Capacity, routes: Iterable[str], agents: Iterable[str], *, is_ready: bool) -> frozenset[str]:
    """Return what can be asked of a worker beside amounts."""
    traits = {*map(label_trait, capacity.labels), *map(route_trait, routes), *map(agent_trait, agents)}
    return frozenset(traits | {READY} if is_ready else traits)


def vector_text(vector: Iterable[int]) -> str:
    """Return a vector as it is stored."""
    return " ".join(map(str, vector))


def parse_vector(text: str) -> Vector:
    """Return the vector that `vector_text` wrote."""
    return [int(part) for part in text.split(" ")]


def suits(option: Option, traits: Collection[str]) -> bool:
    """Return whether a worker takes tasks, serves the route, and has and lacks what is asked."""
    return (
        READY in traits
        and all(trait in traits for trait in option.has)
        and not any(trait in traits for trait in option.has_not)
    )


def find_gpus(option: Option, free: Vector, total: Vector) -> tuple[int, ...] | None:
    """Return the positions of the GPUs it would get, none for none, or None when there are not enough.

    A share goes to the fullest GPU that still has room; whole GPUs are the smallest that are large enough.
    """
    if option.gpus == 0:
        return ()
    count = (len(total) - GPUS) // 2
    found = []
    for gpu in range(count):
        share, memory, size = free[GPUS + 2 * gpu], free[GPUS + 2 * gpu + 1], total[GPUS + 2 * gpu + 1]
        if option.gpus < WHOLE:
            if share >= option.gpus and memory >= _gpu_memory(option, size):
                found.append((share, gpu))
        elif share == WHOLE and size >= option.gpu_memory:
            found.append((size, gpu))
    wanted = 1 if option.gpus < WHOLE else option.gpus // WHOLE
    if len(found) < wanted:
        return None
    return tuple(sorted(gpu for _, gpu in sorted(found)[:wanted]))


def _gpu_memory(option: Option, size: int) -> int:
    """Return the memory that a share of a GPU takes: what is asked, else as large a part of it as of the GPU."""
    return option.gpu_memory or size * option.gpus // WHOLE


def fits(option: Option, free: Vector, total: Vector) -> bool:
    """Return whether there is room beside the GPUs."""
    if option.exclusive and (free[CPUS] != total[CPUS] or free[SLOTS] != total[SLOTS]):
        return False
    return (
        free[SLOTS] >= 1 and free[CPUS] >= option.cpus and free[MEMORY] >= option.memory and free[DISK] >= option.disk
    )


def debit(option: Option, gpus: Sequence[int], total: Vector) -> Vector:
    """Return what an option takes of a worker, with these GPUs; all of it when it wants the worker for itself."""
    if option.exclusive:
        return list(total)
    taken = [0] * len(total)
    taken[CPUS], taken[MEMORY], taken[DISK], taken[SLOTS] = option.cpus, option.memory, option.disk, 1
    for gpu in gpus:
        at, size = GPUS + 2 * gpu, total[GPUS + 2 * gpu + 1]
        is_whole = option.gpus >= WHOLE
        taken[at] = WHOLE if is_whole else option.gpus
        taken[at + 1] = size if is_whole else _gpu_memory(option, size)
    return taken


def slot_debit(total: Vector) -> Vector:
    """Return what a task without needs takes of a worker: a slot, and a slot's part of its cores, at most one."""
    taken = [0] * len(total)
    taken[CPUS], taken[SLOTS] = min(WHOLE, total[CPUS] // max(total[SLOTS], 1)), 1
    return taken


def score(option: Option, spot: Spot, *, is_near: bool) -> tuple[int, int, int]:
    """Return how ill a worker suits, least is best: GPUs it would keep from others, not near, what stays free."""
    free, total = spot.free, spot.total
    wasted = (len(total) - GPUS) // 2 if option.gpus == 0 else 0
    left = (free[CPUS] - option.cpus) * 1000 // max(total[CPUS], 1)
    left += (free[MEMORY] - option.memory) * 1000 // max(total[MEMORY], 1)
    return wasted, 0 if is_near else 1, left


def choose(
    option: Option, spots: Iterable[Spot], *, near: Collection[str] = (), spare: Mapping[str, Vector] | None = None
) -> Chosen | None:
    """Return the best place for one rank of an option; the first of several that are equally good; None for none.

    Args:
        option: What is asked.
        spots: The workers, in the order in which they joined.
        near: Workers that hold what it reads.
        spare: What may still be taken of workers that are kept for somebody else.
    """
    best: Chosen | None = None
    best_score: tuple[int, int, int] = (0, 0, 0)
    for spot in spots:
        if not suits(option, spot.traits) or not fits(option, spot.free, spot.total):
            continue
        gpus = find_gpus(option, spot.free, spot.total)
        if gpus is None:
            continue
        taken = debit(option, gpus, spot.total)
        if spare and spot.name in spare and any(one > left for one, left in zip(taken, spare[spot.name], strict=True)):
            continue
        found = score(option, spot, is_near=spot.name in near)
        if best is None or found < best_score:
            best, best_score = Chosen(spot, gpus, taken), found
    return best


def choose_all(
    ask: Ask, spots: Sequence[Spot], *, near: Collection[str] = (), spare: Mapping[str, Vector] | None = None
) -> tuple[int, list[Chosen]] | None:
    """Return the option that is taken and where each rank goes, in the order of ranks; None when not all fit now."""
    for number, option in enumerate(ask.options):
        found = list(_choose_ranks(ask, option, spots, near, spare or {}))
        if len(found) == ask.ranks:
            return number, found
    return None


def _choose_ranks(
    ask: Ask, option: Option, spots: Sequence[Spot], near: Collection[str], spare: Mapping[str, Vector]
) -> Iterator[Chosen]:
    if ask.ranks == 1:
        chosen = choose(option, spots, near=near, spare=spare)
        if chosen is not None:
            yield chosen
        return
    here = [spot._replace(free=list(spot.free)) for spot in spots]
    left = {name: list(vector) for name, vector in spare.items()}
    for _ in range(ask.ranks):
        chosen = choose(option, here, near=near, spare=left)
        if chosen is None:
            return
        yield chosen
        if not ask.packed:
            here = [spot for spot in here if spot.name != chosen.spot.name]
            continue
        for vector in (chosen.spot.free, left.get(chosen.spot.name)):
            if vector is not None:
                for at, amount in enumerate(chosen.debit):
                    vector[at] -= amount
