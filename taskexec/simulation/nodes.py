"""Workers that share what they have in common: equal ones have one kind, and one state for each amount that is free.

Millions of changes pass through here. What an option finds at a worker depends on its state only, so that it is worked
out once a state; and each change is noted in a log, which rankings read when they are asked.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from taskexec.domain.fit import CPUS, READY, SLOTS, route_trait, slot_debit
from taskexec.domain.resources import Route

__all__ = ["Amounts", "Kind", "Mark", "Nodes", "State", "less", "more", "within"]

Amounts = tuple[int, ...]
"""A vector of `domain/fit.py` that is never changed."""
_STATES_MAX = 200_000
"""States that a kind remembers; beyond, it begins anew."""


def less(one: Iterable[int], other: Iterable[int]) -> Amounts:
    """Return one vector without another."""
    return tuple([mine - theirs for mine, theirs in zip(one, other, strict=True)])


def more(one: Iterable[int], other: Iterable[int]) -> Amounts:
    """Return the sum of two vectors."""
    return tuple([mine + theirs for mine, theirs in zip(one, other, strict=True)])


def within(part: Iterable[int], limit: Iterable[int]) -> bool:
    """Return whether no amount is above its limit."""
    return not any(mine > most for mine, most in zip(part, limit, strict=True))


class Kind:
    """Workers with the same traits and amounts."""

    __slots__ = ("members", "routes", "slot", "states", "total", "traits", "whole")

    def __init__(self, traits: frozenset[str], total: Amounts) -> None:
        self.traits = traits
        self.total = total
        self.slot: Amounts = tuple(slot_debit(list(total)))
        """What a task without needs takes of one."""
        self.routes = tuple(route for route in Route if READY in traits and route_trait(route) in traits)
        """Queues that it takes from now."""
        self.members: list[int] = []
        """Its workers, in the order in which they joined."""
        self.states: dict[Amounts, State] = {}
        self.whole = self.state(total)

    def state(self, free: Amounts) -> State:
        """Return the state of a worker of this kind of which so much is free."""
        found = self.states.get(free)
        if found is None:
            if len(self.states) >= _STATES_MAX:
                for known in self.states.values():
                    known.fewer.clear()
                    known.larger.clear()
                self.states.clear()
            found = self.states[free] = State(self, free)
        return found


class State:
    """What is free of a worker of some kind."""

    __slots__ = ("fewer", "free", "has_slot", "kind", "larger", "room")

    def __init__(self, kind: Kind, free: Amounts) -> None:
        self.kind = kind
        self.free = free
        slot = kind.slot
        self.has_slot = bool(kind.routes) and free[SLOTS] >= slot[SLOTS] and free[CPUS] >= slot[CPUS]
        """Whether a task without needs finds a slot."""
        self.room = int(READY in kind.traits and free[SLOTS] >= 1)
        """1 where anything at all may find a place, else 0."""
        self.fewer: dict[Amounts, State] = {}
        self.larger: dict[Amounts, State] = {}

    def without(self, debit: Amounts) -> State:
        """Return the state after something was taken."""
        found = self.fewer.get(debit)
        if found is None:
            found = self.kind.state(less(self.free, debit))
            self.fewer[debit] = found
        return found

    def with_back(self, debit: Amounts) -> State:
        """Return the state after something was given back."""
        found = self.larger.get(debit)
        if found is None:
            found = self.kind.state(more(self.free, debit))
            self.larger[debit] = found
        return found


class Mark:
    """For whom a worker is kept, and what others may take of it."""

    __slots__ = ("owner", "spare")

    def __init__(self, owner: int, spare: Amounts) -> None:
        self.owner = owner
        self.spare = spare


class Nodes:
    """All workers, by their place in the order in which they join."""

    def __init__(self, count: int) -> None:
        self.state: list[State | None] = [None] * count
        """None for those that are not there."""
        self.version = [0] * count
        self.log: list[int] = []
        """Workers of which something has changed, in order."""
        self.gains = 0
        """Changes that may make something fit which did not: all but taking of workers that are left to everybody."""
        self.marks: dict[int, Mark] = {}
        self.owned: dict[int, list[int]] = {}
        """The workers that are kept for a task."""
        self.owners: list[int] = []
        """Those tasks, as their numbers are ordered as text."""
        self.later: dict[tuple[int, int], Amounts] = {}
        """What others hold of a worker that they took while it was kept for a task, by worker and that task."""
        self.caps: dict[int, Amounts] = {}
        """Workers on which a slot is left in this round, and what may be taken of them."""
        self.present = 0
        self.roomy = 0
        """Number of workers on which anything at all may find a place."""
        self._kinds: dict[tuple[frozenset[str], Amounts], Kind] = {}

    @property
    def kinds(self) -> Iterable[Kind]:
        """All kinds that were seen."""
        return self._kinds.values()

    def touch(self, worker: int) -> None:
        """Note that a worker has changed, or that what held others off it has."""
        self.version[worker] += 1
        self.log.append(worker)
        self.gains += 1

    def join(self, worker: int, traits: frozenset[str], total: Amounts) -> None:
        """Make a worker known, or known as something else; what it holds stays."""
        kind = self._kinds.get((traits, total))
        if kind is None:
            kind = self._kinds[traits, total] = Kind(traits, total)
        former = self.state[worker]
        free = total
        if former is None:
            self.present += 1
        else:
            del former.kind.members[bisect_left(former.kind.members, worker)]
            free = former.free
            self.roomy -= former.room
        insort(kind.members, worker)
        state = self.state[worker] = kind.state(free)
        self.roomy += state.room
        if READY not in traits:
            self._break_mark(worker)
        self.touch(worker)

    def leave(self, worker: int) -> None:
        """Forget a worker that holds nothing."""
        former = self.state[worker]
        assert former is not None
        del former.kind.members[bisect_left(former.kind.members, worker)]
        self.state[worker] = None
        self.roomy -= former.room
        self.present -= 1
        self._break_mark(worker)
        self.touch(worker)

    def _break_mark(self, worker: int) -> None:
        """Have all workers chosen anew for a task that has lost one of those that are kept for it."""
        mark = self.marks.get(worker)
        if mark is not None:
            self.release(mark.owner)

    def take(self, worker: int, debit: Amounts, owner: int = -1) -> int:
        """Take something of a worker for a task; return whom the worker is kept for, -1 for nobody else."""
        state = self.state[worker]
        assert state is not None
        following = self.state[worker] = state.fewer.get(debit) or state.without(debit)
        self.roomy += following.room - state.room
        self.version[worker] += 1
        self.log.append(worker)
        if worker in self.caps:
            self.caps[worker] = less(self.caps[worker], debit)
            self.gains += 1  # with less of it free, other GPUs are chosen, which may be those that are left over
        mark = self.marks.get(worker) if self.marks else None
        if mark is None:
            return -1
        self.gains += 1
        if mark.owner == owner:
            return -1
        mark.spare = less(mark.spare, debit)
        whose = worker, mark.owner
        known = self.later.get(whose)
        self.later[whose] = debit if known is None else more(known, debit)
        return mark.owner

    def give_back(self, worker: int, debit: Amounts, behind: int) -> None:
        """Give back what was taken of a worker while it was kept for `behind`."""
        state = self.state[worker]
        assert state is not None
        following = self.state[worker] = state.larger.get(debit) or state.with_back(debit)
        self.roomy += following.room - state.room
        self.version[worker] += 1
        self.log.append(worker)
        self.gains += 1
        if behind < 0:
            return
        left = less(self.later.pop((worker, behind)), debit)
        if any(left):
            self.later[worker, behind] = left
        mark = self.marks.get(worker)
        if mark is not None and mark.owner == behind:
            mark.spare = more(mark.spare, debit)

    def blocks(self, worker: int, debit: Amounts, owner: int = -1) -> bool:
        """Return whether a task must leave a worker to somebody else."""
        mark = self.marks.get(worker)
        if mark is not None and mark.owner != owner and not within(debit, mark.spare):
            return True
        cap = self.caps.get(worker)
        return cap is not None and not within(debit, cap)

    def limit(self, worker: int, owner: int) -> Amounts | None:
        """Return the most that a task may take of a worker; None for all that is free."""
        mark, cap = self.marks.get(worker), self.caps.get(worker)
        if mark is None or mark.owner == owner:
            return cap
        if cap is None:
            return mark.spare
        return tuple(map(min, mark.spare, cap))

    def keep(self, worker: int, owner: int, vector: Amounts) -> None:
        """Keep a worker for a task that will take so much of it."""
        state = self.state[worker]
        assert state is not None
        spare = less(state.kind.total, vector)
        later = self.later.get((worker, owner))  # since it was kept for the same task before
        self.marks[worker] = Mark(owner, spare if later is None else less(spare, later))
        if owner not in self.owned:
            self.owned[owner] = []
            insort(self.owners, owner, key=str)
        self.owned[owner].append(worker)

    def release(self, owner: int) -> None:
        """Keep nothing for a task any more."""
        if owner in self.owned:
            self.owners.remove(owner)
        for worker in self.owned.pop(owner, ()):
            del self.marks[worker]
            self.touch(worker)

    def lift_caps(self) -> None:
        """End a round: what was left on workers may be taken."""
        for worker in self.caps:
            self.touch(worker)
        self.caps.clear()
