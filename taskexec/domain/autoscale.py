"""How many nodes of each class are wanted: as many more as would let everything that waits start now.

What waits is put on what is free, by the rules of `domain/fit.py`, then on further nodes, of the first class in the
order given on which it fits. What nothing of the waiting would use, and has been idle long enough, may go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from taskexec.domain.fit import READY, Ask, Chosen, Spot, choose_all, route_trait, slot_debit, traits_of, vector_of
from taskexec.domain.resources import Capacity

__all__ = ["NodeClass", "Standing", "Waiting", "Wanted", "class_of", "wanted_nodes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """A kind of node that can be started and ended."""

    name: str
    capacity: Capacity
    """What each of its nodes has."""
    routes: tuple[str, ...]
    """Queues that they serve."""
    agents: tuple[str, ...] = ()
    """Agents that they have beside those that tasks ask for; all there are where this is empty."""
    least: int = 0
    """Nodes that always stay."""
    most: int = 1
    """Nodes there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A worker that is there."""

    spot: Spot
    class_name: str
    """Class that it counts towards; empty for none."""
    idle_s: float = 0.0
    """Seconds since it had something to do; 0 while it has."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits."""

    asks: tuple[Ask, ...] = ()
    """What tasks that wait for a place ask for, in the order in which they should get one."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """Tasks that wait for a slot, by route."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The figure for one class."""

    now: int
    wanted: int
    why: str


@dataclass(slots=True)
class _Tally:
    """What was found out of one class."""

    added: int = 0
    for_asks: int = 0
    for_slots: int = 0
    lacking: int = 0
    """Tasks that would have got a further node, were there not `most` of them."""


class _Packing:
    """Nodes there are and nodes that would be, filled one by one."""

    def __init__(self, classes: Sequence[NodeClass], standing: Sequence[Standing], agents: Iterable[str]) -> None:
        self.classes = classes
        self.spots = [entry.spot._replace(free=list(entry.spot.free)) for entry in standing]
        self.tallies = {each.name: _Tally() for each in classes}
        self.now = {each.name: sum(entry.class_name == each.name for entry in standing) for each in classes}
        self._traits = {
            each.name: traits_of(each.capacity, each.routes, each.agents or agents, is_ready=True) for each in classes
        }
        self._owners: dict[str, str] = {entry.spot.name: entry.class_name for entry in standing}
        for each in classes:  # those that are to be there anyway count as there
            while self.now[each.name] + self.tallies[each.name].added < each.least:
                self._add(each)

    def _add(self, each: NodeClass) -> Spot:
        tally = self.tallies[each.name]
        tally.added += 1
        total = vector_of(each.capacity)
        spot = Spot(f"+{each.name}-{tally.added}", total, list(total), self._traits[each.name])
        self._owners[spot.name] = each.name
        self.spots.append(spot)
        return spot

    def _room(self, each: NodeClass) -> int:
        return max(each.most - self.now[each.name] - self.tallies[each.name].added, 0)

    def _take(self, ranks: Sequence[Chosen]) -> None:
        for chosen in ranks:
            spot = next(spot for spot in self.spots if spot.name == chosen.spot.name)
            for at, amount in enumerate(chosen.debit):
                spot.free[at] -= amount

    def place(self, ask: Ask) -> bool:
        """Put a task where it fits, on further nodes of one class if need be; return whether that was possible."""
        found = choose_all(ask, self.spots)
        if found is not None:
            self._take(found[1])
            return True
        full: NodeClass | None = None
        for each in self.classes:
            room, count = self._room(each), 0
            total = vector_of(each.capacity)
            trial = list(self.spots)
            fitting = False
            for count in range(1, ask.ranks + 1):
                trial.append(Spot(f"?{count}", total, list(total), self._traits[each.name]))
                fitting = choose_all(ask, trial) is not None
                if fitting:
                    break
            if not fitting:
                continue
            if count > room:
                full = full or each
                continue
            for _ in range(count):
                self._add(each)
            found = choose_all(ask, self.spots)
            assert found is not None
            self._take(found[1])
            self.tallies[each.name].for_asks += 1
            return True
        if full is not None:
            self.tallies[full.name].lacking += 1
        return False

    def fill_slots(self, route: str, count: int) -> None:
        """Give slots to tasks of a route that ask for nothing more."""
        for spot in self.spots:
            count -= self._fill(spot, route, count)
        for each in self.classes:
            if route not in each.routes:
                continue
            while count > 0 and self._room(each):
                taken = self._fill(self._add(each), route, count)
                self.tallies[each.name].for_slots += taken
                count -= taken
                if not taken:
                    break
            if count > 0:
                self.tallies[each.name].lacking += count
                return

    def _fill(self, spot: Spot, route: str, count: int) -> int:
        if READY not in spot.traits or route_trait(route) not in spot.traits:
            return 0
        taken, slot = 0, slot_debit(spot.total)
        while taken < count and all(amount <= left for amount, left in zip(slot, spot.free, strict=True)):
            for at, amount in enumerate(slot):
                spot.free[at] -= amount
            taken += 1
        return taken

    def is_untouched(self, name: str) -> bool:
        """Return whether nothing was put on a node, and nothing had been there."""
        spot = next(spot for spot in self.spots if spot.name == name)
        return spot.free == spot.total


def wanted_nodes(
    classes: Sequence[NodeClass],
    standing: Sequence[Standing],
    waiting: Waiting,
    *,
    idle_s: float,
    agents: Iterable[str] = (),
) -> dict[str, Wanted]:
    """Return how many nodes of each class are wanted now.

    Args:
        classes: Kinds of nodes, the one to be preferred first.
        standing: The workers there are, with what is free of each.
        waiting: What waits.
        idle_s: Nodes beyond `least` that nothing needs may go after so many idle seconds.
        agents: Agents that a node has whose class names none.
    """
    packing = _Packing(classes, standing, frozenset(agents))
    hopeless: set[Ask] = set()
    stuck = 0
    for ask in waiting.asks:
        if ask in hopeless or not packing.place(ask):
            hopeless.add(ask)
            stuck += 1
    for route, count in sorted(waiting.slots.items()):
        packing.fill_slots(route, count)
    return {each.name: _figure(each, packing, standing, idle_s) for each in classes}


def _figure(each: NodeClass, packing: _Packing, standing: Sequence[Standing], idle_s: float) -> Wanted:
    now, tally = packing.now[each.name], packing.tallies[each.name]
    idle = [
        entry
        for entry in standing
        if entry.class_name == each.name and entry.idle_s >= idle_s and packing.is_untouched(entry.spot.name)
    ]
    if tally.added:
        parts = [f"{tally.for_asks} tasks wait for what they ask for"] if tally.for_asks else []
        parts += [f"{tally.for_slots} tasks wait for a slot"] if tally.for_slots else []
        why = " and ".join(parts) or f"at least {each.least} are to be there"
        why += f"; {tally.lacking} more would need further ones than {each.most}" if tally.lacking else ""
        return Wanted(now, now + tally.added, why)
    surplus = max(now - each.most, 0)
    gone = max(min(len(idle), now - each.least), surplus, 0)
    if tally.lacking:
        return Wanted(now, now - surplus, f"{tally.lacking} tasks would need more than the {each.most} there may be")
    if gone:
        why = f"{gone} idle for {idle_s:g} s or more" if gone > surplus else f"there may be {each.most}"
        return Wanted(now, now - gone, why)
    return Wanted(now, now, "what waits fits on what is there" if waiting_there(packing) else "nothing waits for more")


def waiting_there(packing: _Packing) -> bool:
    """Return whether something was put on nodes that are there."""
    return any(spot.free != spot.total for spot in packing.spots)


def class_of(capacity: Capacity, routes: Iterable[str], classes: Sequence[NodeClass]) -> str:
    """Return the class that a worker counts towards: that of its label `class=NAME`, else the first that it covers.

    It covers a class when it serves its queues, has its labels, and has GPUs just when that has; empty for none.
    """
    names = {each.name for each in classes}
    for label in sorted(capacity.labels):
        if label.startswith("class=") and label.removeprefix("class=") in names:
            return label.removeprefix("class=")
    served = set(routes)
    for each in classes:
        has_gpus = bool(each.capacity.gpus) == bool(capacity.gpus)
        if served >= set(each.routes) and capacity.labels >= each.capacity.labels and has_gpus:
            return each.name
    return ""
