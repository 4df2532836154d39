"""The choice between workers, without looking at all of them: the same that `domain/fit.py` and `placing.py` make.

A ranking holds the workers that an option fits on, best first. It is brought up to date when it is asked, by what has
changed since. Entries of workers that changed later are dropped when they come up, and so are those of workers that
are kept for somebody else: whenever that may have changed, the worker is in the log again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from taskexec.domain.fit import Ask, Option, Spot, choose, debit, find_gpus, fits, score, suits
from taskexec.domain.placing import size_of
from taskexec.simulation.nodes import Amounts, Kind, Nodes, State, less, more, within

__all__ = ["Asked", "Fit", "Ranking", "Taken"]

_MEMO_MAX = 200_000
_LEFT_BITS = 20


class Fit(NamedTuple):
    """What an option finds at a worker in some state."""

    score: int
    """How ill it suits, least is best, without nearness."""
    gpus: tuple[int, ...]
    debit: Amounts


class Taken(NamedTuple):
    """Where one rank goes."""

    worker: int
    gpus: tuple[int, ...]
    debit: Amounts


class _Follower(ABC):
    """Holds entries `(order, worker, version)` of all workers in a heap, up to date with the log of changes."""

    def __init__(self, nodes: Nodes) -> None:
        self.heap: list[tuple[int, int, int]] = []
        self.position = 0
        self._nodes = nodes

    @abstractmethod
    def order_of(self, state: State) -> int | None:
        """Return the place of workers in a state, least first; None when they do not come into question."""

    def catch_up(self) -> None:
        """Take in what has changed."""
        nodes, heap = self._nodes, self.heap
        log, states, version = nodes.log, nodes.state, nodes.version
        count = len(log) - self.position
        if not count:
            return
        if count == 1 and len(heap) <= 4 * len(states) + 64:  # by far the most frequent
            self.position += 1
            worker = log[-1]
            state = states[worker]
            order = None if state is None else self.order_of(state)
            if order is not None:
                heappush(heap, (order, worker, version[worker]))
            return
        changed: Collection[int] = set(log[self.position :]) if count < len(states) else range(len(states))
        self.position = len(log)
        if len(heap) > 4 * len(states) + 64 or len(changed) == len(states):
            heap[:] = [entry for entry in heap if version[entry[1]] == entry[2]]
            heapify(heap)
        for worker in changed:
            state = states[worker]
            if state is not None:
                order = self.order_of(state)
                if order is not None:
                    heappush(heap, (order, worker, version[worker]))


class Ranking(_Follower):
    """The workers that one option fits on now."""

    def __init__(self, nodes: Nodes, option: Option) -> None:
        super().__init__(nodes)
        self.option = option
        self._memo: dict[State, Fit | None] = {}
        self._suits: dict[Kind, bool] = {}

    def fit(self, state: State) -> Fit | None:
        """Return what it finds at workers in a state; None when it does not fit."""
        try:
            return self._memo[state]
        except KeyError:
            if len(self._memo) >= _MEMO_MAX:
                self._memo.clear()
            found = self._memo[state] = self._work_out(state)
            return found

    def order_of(self, state: State) -> int | None:
        """Return the score of what it finds."""
        found = self.fit(state)
        return None if found is None else found.score

    def suits(self, kind: Kind) -> bool:
        """Return whether workers of a kind may run it."""
        found = self._suits.get(kind)
        if found is None:
            found = self._suits[kind] = suits(self.option, kind.traits)
        return found

    def _work_out(self, state: State) -> Fit | None:
        option, kind = self.option, state.kind
        if not self.suits(kind):
            return None
        free, total = list(state.free), list(kind.total)
        if not fits(option, free, total):
            return None
        gpus = find_gpus(option, free, total)
        if gpus is None:
            return None
        wasted, _, left = score(option, Spot("", total, free, kind.traits), is_near=False)
        return Fit(wasted << _LEFT_BITS | left, gpus, tuple(debit(option, gpus, total)))

    def top(self) -> tuple[int, int] | None:
        """Return score and worker of the best place that is not kept for somebody, or None."""
        self.catch_up()
        nodes, heap = self._nodes, self.heap
        version, states = nodes.version, nodes.state
        while heap:
            order, worker, seen = heap[0]
            state = states[worker]
            if seen == version[worker] and state is not None:
                if not (nodes.marks or nodes.caps):
                    return order, worker
                found = self.fit(state)
                if found is not None and not nodes.blocks(worker, found.debit):
                    return order, worker
            heappop(heap)
        return None

    def choose(self, owner: int, near: Collection[int], own: Collection[int]) -> Taken | None:
        """Return the best place for a task, as `fit.choose` does.

        Args:
            owner: The task.
            near: Workers that hold what it reads.
            own: Workers that are kept for it.
        """
        found = self.top()
        if not near and not own:
            return None if found is None else self._taken(found[1])
        best = None if found is None else (_order(found[0], found[1] in near), found[1])
        for worker in (*near, *own):
            order = self._at(worker, owner, near)
            if order is not None and (best is None or (order, worker) < best):
                best = order, worker
        return None if best is None else self._taken(best[1])

    def _taken(self, worker: int) -> Taken:
        state = self._nodes.state[worker]
        assert state is not None
        fit = self.fit(state)
        assert fit is not None
        return Taken(worker, fit.gpus, fit.debit)

    def _at(self, worker: int, owner: int, near: Collection[int]) -> int | None:
        state = self._nodes.state[worker]
        fit = None if state is None else self.fit(state)
        if fit is None or self._nodes.blocks(worker, fit.debit, owner):
            return None
        return _order(fit.score, worker in near)

    def choose_ranks(
        self, ask: Ask, owner: int, near: Collection[int], own: Collection[int]
    ) -> tuple[list[Taken], bool]:
        """Return places for the ranks of a task, and whether there are enough, as `fit.choose_all` finds them."""
        nodes = self._nodes
        here: dict[int, tuple[State, Amounts | None]] = {}
        ahead: list[tuple[int, int]] = []
        for worker in {*near, *own}:
            state, order = nodes.state[worker], self._at(worker, owner, near)
            if state is not None:
                here[worker] = state, nodes.limit(worker, owner)
            if order is not None:
                heappush(ahead, (order, worker))
        aside: list[tuple[int, int, int]] = []
        found: list[Taken] = []
        while len(found) < ask.ranks:
            self._put_known_aside(here, aside)
            top = self.top()
            first = None if top is None else (_order(top[0], is_near=False), top[1])
            if first is not None and (not ahead or first < ahead[0]):
                worker = first[1]
                aside.append(heappop(self.heap))
                state = nodes.state[worker]
                assert state is not None
                here[worker] = state, nodes.limit(worker, owner)
            elif ahead:
                worker = heappop(ahead)[1]
            else:
                break
            taken = self._take_here(here, worker)
            found.append(taken)
            if ask.packed:
                self._offer_again(here, worker, near, ahead)
        for entry in aside:
            heappush(self.heap, entry)
        return found, len(found) == ask.ranks

    def _put_known_aside(self, here: Collection[int], aside: list[tuple[int, int, int]]) -> None:
        """Take entries out of the heap of workers that are looked at by themselves."""
        while (top := self.top()) is not None and top[1] in here:
            aside.append(heappop(self.heap))

    def _take_here(self, here: dict[int, tuple[State, Amounts | None]], worker: int) -> Taken:
        """Take a rank's part of a worker in a draft."""
        state, limit = here[worker]
        fit = self.fit(state)
        assert fit is not None
        here[worker] = state.without(fit.debit), None if limit is None else less(limit, fit.debit)
        return Taken(worker, fit.gpus, fit.debit)

    def _offer_again(
        self,
        here: dict[int, tuple[State, Amounts | None]],
        worker: int,
        near: Collection[int],
        ahead: list[tuple[int, int]],
    ) -> None:
        state, limit = here[worker]
        fit = self.fit(state)
        if fit is not None and (limit is None or within(fit.debit, limit)):
            heappush(ahead, (_order(fit.score, worker in near), worker))

    def idle_choice(self, ask: Ask) -> dict[int, Amounts] | None:
        """Return what the ranks would take of workers if all were empty, without those kept for others; None if not
        enough."""
        sums: dict[int, Amounts] = {}
        left = ask.ranks
        for worker, state in self._idle():
            while left:
                fit = self.fit(state)
                if fit is None:
                    break
                sums[worker] = more(sums[worker], fit.debit) if worker in sums else fit.debit
                left -= 1
                if not ask.packed:
                    break
                state = state.without(fit.debit)
            if not left:
                return sums
        return None

    def _idle(self) -> Iterator[tuple[int, State]]:
        """Yield workers that are not kept for anybody, best first, as if they were empty."""
        heads: list[tuple[int, int, int, Kind]] = []
        for number, kind in enumerate(self._nodes.kinds):
            fit = self.fit(kind.whole)
            if fit is not None and kind.members:
                heads.append((fit.score, kind.members[0], number, kind))
        heapify(heads)
        cursors = [0] * (1 + max((head[2] for head in heads), default=0))
        while heads:
            order, worker, number, kind = heappop(heads)
            if worker not in self._nodes.marks:
                yield worker, kind.whole
            cursors[number] += 1
            if cursors[number] < len(kind.members):
                heappush(heads, (order, kind.members[cursors[number]], number, kind))


def _order(score: int, is_near: bool) -> int:
    """Return a score with nearness between its parts: GPUs wasted, not near, what stays free."""
    wasted, left = score >> _LEFT_BITS, score & ((1 << _LEFT_BITS) - 1)
    return (wasted << 1 | (not is_near)) << _LEFT_BITS | left


class _Shortage(_Follower):
    """The workers that could be kept for a task of one rank, those first on which the least is missing."""

    def __init__(self, nodes: Nodes, options: Sequence[Option]) -> None:
        super().__init__(nodes)
        self._options = options
        self._debits: dict[Kind, list[Amounts]] = {}
        self._memo: dict[State, tuple[int, Amounts] | None] = {}

    def missing(self, state: State) -> tuple[int, Amounts] | None:
        """Return how much is missing on workers in a state, and what would be taken of them."""
        if state in self._memo:
            return self._memo[state]
        if len(self._memo) >= _MEMO_MAX:
            self._memo.clear()
        best = None
        total = state.kind.total
        for taken in self._whole(state.kind):
            missing = 0
            for amount, left, all_of_it in zip(taken, state.free, total, strict=True):
                if amount > left:
                    missing += (amount - left) * 1000 // max(all_of_it, 1)
            if best is None or missing < best[0]:
                best = missing, taken
        self._memo[state] = best
        return best

    def _whole(self, kind: Kind) -> list[Amounts]:
        """Return what the options would take of an empty worker of a kind."""
        found = self._debits.get(kind)
        if found is None:
            total = list(kind.total)
            chosen = [choose(option, [Spot("", total, total, kind.traits)]) for option in self._options]
            found = self._debits[kind] = [tuple(one.debit) for one in chosen if one is not None]
        return found

    def order_of(self, state: State) -> int | None:
        """Return how much is missing."""
        found = self.missing(state)
        return None if found is None else found[0]

    def least(self) -> tuple[int, Amounts] | None:
        """Return the worker where the least is missing of those that are kept for nobody, and what will be taken."""
        self.catch_up()
        nodes, heap = self._nodes, self.heap
        while heap:
            _, worker, seen = heap[0]
            state = nodes.state[worker]
            if seen == nodes.version[worker] and state is not None and worker not in nodes.marks:
                found = self.missing(state)
                assert found is not None
                return worker, found[1]
            heappop(heap)
        return None


class Asked:
    """What several tasks ask for, and where it was found last."""

    def __init__(self, nodes: Nodes, ask: Ask, rankings: Sequence[Ranking]) -> None:
        self.ask = ask
        self.size = size_of(ask)
        """How wide it is."""
        self.rankings = rankings
        self.dry_at = -1
        """`gains` of the nodes when nothing was found last; then nothing is found until there are more."""
        self._nodes = nodes
        self._short: dict[int, list[tuple[int, int]]] = {}
        self._shortage: _Shortage | None = None

    def find(self, task: int, near: Collection[int], own: Collection[int]) -> tuple[int, list[Taken]] | None:
        """Return the option that is taken and where each rank goes; None when not all fit now.

        Args:
            task: The task that asks.
            near: Workers that hold what it reads.
            own: Workers that are kept for it.
        """
        if self.ask.ranks > 1:
            return self._find_ranks(task, near, own)
        for number, ranking in enumerate(self.rankings):
            taken = ranking.choose(task, near, own)
            if taken is not None:
                return number, [taken]
        self.dry_at = self._nodes.gains  # what is kept for somebody was left out of the rankings
        return None

    def _find_ranks(self, task: int, near: Collection[int], own: Collection[int]) -> tuple[int, list[Taken]] | None:
        whose, position = (task if own else -1), len(self._nodes.log)
        known = self._short.get(whose) or [(0, self.ask.ranks)] * len(self.rankings)
        bounds = []
        for number, ranking in enumerate(self.rankings):
            seen, most = known[number]
            reach = most + position - seen if not self.ask.packed or position == seen else self.ask.ranks
            if reach < self.ask.ranks:  # even if each change since has made room for one more
                bounds.append((seen, most))
                continue
            found, are_enough = ranking.choose_ranks(self.ask, task, near, own)
            if are_enough:
                self._short.pop(task, None)
                return number, found
            bounds.append((position, len(found)))
        self._short[whose] = bounds
        return None

    def keep(self, task: int) -> None:
        """Keep workers for a task: as `placing.kept_for` chooses them."""
        nodes = self._nodes
        if self.ask.ranks == 1:
            if self._shortage is None:
                self._shortage = _Shortage(nodes, self.ask.options)
            least = self._shortage.least()
            if least is not None:
                nodes.keep(least[0], task, least[1])
            return
        for ranking in self.rankings:
            sums = ranking.idle_choice(self.ask)
            if sums is not None:
                for worker, vector in sums.items():
                    nodes.keep(worker, task, vector)
                return
