"""The workers of a store in memory, what they hold and what waits for them: `lua/accounts.lua` and `lua/placing.lua`.

The fields are named as the keys there are. Decisions are those of `domain/fit.py` and `domain/placing.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from taskexec.domain import placing
from taskexec.domain.fit import (
    GPUS,
    READY,
    SLOTS,
    Ask,
    Chosen,
    Spot,
    Vector,
    choose_all,
    fits,
    route_trait,
    slot_debit,
    suits,
)
from taskexec.domain.placing import Account, Want
from taskexec.domain.resources import Route

__all__ = ["Hold", "MemoryNodes", "Placement"]


@dataclass(slots=True)
class Hold:
    """What was taken of a worker."""

    vector: Vector
    share: int
    payers: tuple[str, ...]
    """Whose shares it counts towards: the run, its user, its tag."""
    behind: str = ""
    """Whom the worker was kept for when it was taken."""
    members: set[tuple[int, int]] = field(default_factory=set)
    """Index and attempt of the members of a delivery that are not over."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A task that was given a place."""

    want: Want
    option: int
    ranks: tuple[Chosen, ...]


@dataclass(slots=True)
class _Round:
    """What one round of placing knows."""

    spots: list[Spot]
    spare: dict[str, Vector]
    cap: dict[str, Vector]

    @property
    def has_room(self) -> bool:
        """Whether some worker could take something."""
        return any(READY in spot.traits and spot.free[SLOTS] >= 1 for spot in self.spots)


@dataclass(frozen=True, slots=True)
class _Look:
    """What tasks are tried with in one round."""

    payers: Mapping[str, Sequence[str]]
    near: Mapping[str, Sequence[str]]
    at_hand: _Round
    hopeless: set[Ask]
    """What was found to fit nowhere; added to."""


class MemoryNodes:
    """Workers in the order in which they joined."""

    def __init__(self) -> None:
        self.total: dict[str, Vector] = {}
        self.free: dict[str, Vector] = {}
        self.traits: dict[str, frozenset[str]] = {}
        self.holds: dict[str, dict[str, Hold]] = {}
        self.earmarks: dict[str, tuple[str, Vector]] = {}
        self.used: Counter[str] = Counter()
        self.weights: dict[str, float] = {}
        self.wants: dict[str, Want] = {}
        """What waits to be placed, by `run:index`."""
        self.ranks: dict[str, int] = {}
        """The place of each in its run's order."""
        self.since: dict[str, int] = {}
        """Since when runs have something that waits."""
        self.started = 0
        self.roomy: set[str] = set()
        """Workers that got something back in this change."""
        self.is_news = False
        self.is_thorough = False
        """Whether all that waits is looked at, whatever has changed."""
        self.starving: list[Route] = []
        """Routes on which a task that needs nothing waited too long when that was looked for last."""

    def join(self, name: str, traits: frozenset[str], total: Sequence[int]) -> bool:
        """Make a worker known, or renew what is known of it; return whether it was not."""
        is_new = name not in self.total
        self.is_news |= is_new or self.traits[name] != traits or self.total[name] != list(total)
        self.total[name], self.traits[name] = list(total), traits
        left = list(total)
        for hold in self.holds.setdefault(name, {}).values():
            if is_new:
                hold.vector = hold.vector or slot_debit(self.total[name])  # it began while its worker was away
                hold.share = placing.share_of(hold.vector, self._sums()) if hold.payers else 0
                self._pay(hold.payers, hold.share)
            left = _moved(left, hold.vector, -1)
        self.free[name] = left
        return is_new

    def leave(self, name: str) -> bool:
        """Forget a worker, but for what deliveries that go on hold if it comes back; return whether it was known."""
        holds = self.holds.pop(name, {})
        for hold in holds.values():
            self._pay(hold.payers, -hold.share)
            hold.share, hold.behind = 0, ""
        self.holds[name] = {token: hold for token, hold in holds.items() if token.startswith(f"{name}/")}
        if name in self.earmarks:  # whoever has lost one of the workers that are kept for it has them chosen anew
            self._unmark(self.earmarks[name][0])
        for kept in (self.free, self.traits):
            kept.pop(name, None)
        is_known = self.total.pop(name, None) is not None
        self.is_news |= is_known
        return is_known

    def _sums(self) -> tuple[int, int, int]:
        vectors = self.total.values()
        return sum(v[0] for v in vectors), sum(v[1] for v in vectors), sum(sum(v[GPUS::2]) for v in vectors)

    def _pay(self, payers: Sequence[str], share: int) -> None:
        for payer in payers if share else ():
            self.used[payer] += share
            if self.used[payer] <= 0:
                del self.used[payer]

    def _put(self, worker: str, name: str, hold: Hold) -> None:
        self.free[worker] = _moved(self.free[worker], hold.vector, -1)
        self.holds[worker][name] = hold
        self._pay(hold.payers, hold.share)

    def give_back(self, worker: str, name: str, member: tuple[int, int] | None = None) -> bool:
        """Give back what a worker held, exactly once, a delivery with its last member; return whether it was held."""
        hold = self.holds.get(worker, {}).get(name)
        if hold is None:
            return False
        if member is not None:
            hold.members.discard(member)
            if hold.members:
                return True
        del self.holds[worker][name]
        self._pay(hold.payers, -hold.share)
        if worker in self.free:
            self.free[worker] = _moved(self.free[worker], hold.vector, 1)
            self.roomy.add(worker)
            self.is_news = True
        return True

    def _is_broken(self, worker: str, owner: str) -> bool:
        return owner not in self.wants or READY not in self.traits[worker]

    def _unmark(self, owner: str) -> None:
        for worker in [worker for worker, (kept_for, _) in self.earmarks.items() if kept_for == owner]:
            del self.earmarks[worker]

    def _spare(self, worker: str) -> Vector:
        owner, vector = self.earmarks[worker]
        left = _moved(self.total[worker], vector, -1)  # which may have had more GPUs then
        for hold in self.holds[worker].values():
            left = _moved(left, hold.vector, -1) if hold.behind == owner else left
        return left

    def take_slot(self, worker: str, token: str, members: Sequence[tuple[int, int]]) -> bool:
        """Take a slot for the members of a delivery; return whether there was one.

        Slots count towards nobody's share: their tasks are not placed in the order of shares. Of a worker that is away
        nothing is taken before it comes back.
        """
        if worker not in self.total:
            self.holds.setdefault(worker, {}).setdefault(token, Hold([], 0, (), "", set(members)))
            return True
        if token in self.holds[worker]:
            return True
        taken = slot_debit(self.total[worker])
        if READY not in self.traits[worker] or not _within(taken, self.free[worker]):
            return False
        behind = ""
        if worker in self.earmarks and self.since:
            behind = self.earmarks[worker][0]
            if not _within(taken, self._spare(worker)):
                return False
        self._put(worker, token, Hold(taken, 0, (), behind, set(members)))
        if self.since:
            self.started += len(members)
        return True

    def want(self, want: Want, rank: int) -> None:
        """Have a task wait to be placed."""
        self.wants[want.owner], self.ranks[want.owner] = want, rank
        self.since.setdefault(want.run_id, want.since_us)
        self.is_news = True

    def stop_wanting(self, run_id: str) -> None:
        """Take all tasks of a run out of what waits."""
        for owner in [owner for owner, want in self.wants.items() if want.run_id == run_id]:
            del self.wants[owner], self.ranks[owner]
        self.since.pop(run_id, None)
        for worker, (owner, _) in list(self.earmarks.items()):
            if owner.rpartition(":")[0] == run_id:
                del self.earmarks[worker]
                self.roomy.add(worker)
                self.is_news = True

    def place(
        self,
        *,
        now_us: int,
        payers: Mapping[str, Sequence[str]],
        weights: Mapping[str, float],
        near: Mapping[str, Sequence[str]],
    ) -> Iterator[Placement]:
        """Place what fits now, and keep workers for what has waited too long.

        Args:
            now_us: The time, microseconds since the epoch.
            payers: Whose shares each run's tasks count towards, the run itself first.
            weights: Weight of each run.
            near: Workers that hold what a task reads, by `run:index`.
        """
        if not self.is_news or not self.since:
            return
        for owner in {owner for worker, (owner, _) in self.earmarks.items() if self._is_broken(worker, owner)}:
            self._unmark(owner)
        spots = [Spot(name, total, self.free[name], self.traits[name]) for name, total in self.total.items()]
        at_hand = _Round(spots, {worker: self._spare(worker) for worker in self.earmarks}, {})
        for route in self.starving:
            self._leave_a_slot(at_hand, route)
        before, look = self.started, _Look(payers, near, at_hand, set())
        yield from self._try_owners(look)
        for want in self._in_order(look, weights):
            placement = self._try(want, look)
            if placement is not None:
                yield placement
        may_keep = self.is_thorough or before // placing.LOOKS < self.started // placing.LOOKS
        if may_keep or (at_hand.has_room and self.started == before):
            yield from self._see_to_the_widest(look, now_us if may_keep else None)
        for run_id in [run_id for run_id in self.since if not any(w.run_id == run_id for w in self.wants.values())]:
            del self.since[run_id]

    def _try_owners(self, look: _Look) -> Iterator[Placement]:
        """Give those a try first for which workers are kept; elsewhere in a round they are passed over."""
        for owner in sorted({owner for owner, _ in self.earmarks.values()}):
            placement = self._place(self.wants[owner], look) if look.at_hand.has_room else None
            if placement is not None:
                yield placement

    def _try(self, want: Want, look: _Look) -> Placement | None:
        if want.ask in look.hopeless or any(owner == want.owner for owner, _ in self.earmarks.values()):
            return None
        placement = self._place(want, look)
        if placement is None:
            look.hopeless.add(want.ask)
        return placement

    def _place(self, want: Want, look: _Look) -> Placement | None:
        spare = self._spare_for(want, look.at_hand)
        found = choose_all(want.ask, look.at_hand.spots, near=look.near.get(want.owner, ()), spare=spare)
        return None if found is None else self._take(want, *found, look.payers[want.run_id], look.at_hand)

    def _see_to_the_widest(self, look: _Look, keep_us: int | None) -> Iterator[Placement]:
        """Give the widest tasks a try wherever they stand; keep workers for those that have waited long.

        Args:
            look: How things stand in this round.
            keep_us: The time; None keeps no workers.
        """
        at_hand = look.at_hand
        started, waiting = self.started, []
        for run_id in self._runs():
            wide = [
                want
                for want in self.wants.values()
                if want.run_id == run_id and placing.size_of(want.ask) > placing.WIDE
            ]
            wide.sort(key=lambda want: (-placing.size_of(want.ask), str(want.index)))
            for want in wide[: placing.WIDEST]:
                placement = self._try(want, look) if at_hand.has_room else None
                if placement is not None:
                    yield placement
                elif keep_us is not None and placing.has_waited(want, now_us=keep_us, started=started):
                    waiting.append(want)
        for want in sorted(waiting, key=lambda want: -placing.size_of(want.ask)):
            self._keep(want, at_hand)

    def _runs(self) -> list[str]:
        return sorted(self.since, key=lambda run_id: (self.since[run_id], run_id))

    def _in_order(self, look: _Look, weights: Mapping[str, float]) -> Iterator[Want]:
        """Yield what is looked at while there is room; the order follows what is placed on the way."""
        lists = {run_id: self._ahead(run_id) for run_id in self._runs()}
        left = dict.fromkeys(lists, placing.WINDOW - placing.WIDEST)
        for _ in range(placing.ROUND):
            if not look.at_hand.has_room:
                return
            for run_id, wants in lists.items():
                while wants and left[run_id] > 0 and self._is_passed_over(wants[0], look):
                    wants.pop(0)
                    left[run_id] -= 1
            heads = {run_id: wants[0] for run_id, wants in lists.items() if wants and left[run_id] > 0}
            if not heads:
                return
            first = min(heads, key=lambda run_id: self._precedence(heads[run_id], look.payers[run_id], weights[run_id]))
            yield lists[first].pop(0)
            left[first] -= heads[first].owner in self.wants  # what was placed does not count

    def _is_passed_over(self, want: Want, look: _Look) -> bool:
        """Return whether a task is not worth a try: workers are kept for it, or none has room for a rank of it."""
        if any(owner == want.owner for owner, _ in self.earmarks.values()):
            return True
        if want.ask not in look.hopeless and not any(
            fits(option, spot.free, spot.total) and suits(option, spot.traits)
            for option in want.ask.options
            for spot in look.at_hand.spots
        ):
            look.hopeless.add(want.ask)
        return want.ask in look.hopeless

    def _precedence(self, want: Want, payers: Sequence[str], weight: float) -> tuple[float, ...]:
        own = Account(self.used[payers[0]], weight)
        others = [Account(self.used[payer], self.weights.get(payer, 1.0)) for payer in payers[1:]]
        return placing.precedence(want.ask, own, others)

    def _ahead(self, run_id: str) -> list[Want]:
        mine = [want for want in self.wants.values() if want.run_id == run_id]
        mine.sort(key=lambda want: (self.ranks[want.owner], str(want.index)))
        return mine

    def _leave_a_slot(self, at_hand: _Round, route: Route) -> None:
        for spot in at_hand.spots:
            slot, spare = slot_debit(spot.total), at_hand.spare.get(spot.name)
            if spot.name in at_hand.cap or READY not in spot.traits or route_trait(route) not in spot.traits:
                continue
            if _within(slot, spot.free) and (spare is None or _within(slot, spare)):
                at_hand.cap[spot.name] = _moved(spot.free, slot, -1)
                return

    def _spare_for(self, want: Want, at_hand: _Round) -> dict[str, Vector]:
        spare = dict(at_hand.cap)
        for worker, vector in at_hand.spare.items():
            if self.earmarks[worker][0] != want.owner:
                capped = spare.get(worker, vector)
                spare[worker] = [min(one, other) for one, other in zip(vector, capped, strict=True)]
        return spare

    def _take(
        self, want: Want, number: int, ranks: Sequence[Chosen], payers: Sequence[str], at_hand: _Round
    ) -> Placement:
        sums = self._sums()
        for rank, chosen in enumerate(ranks):
            worker = chosen.spot.name
            owner = self.earmarks[worker][0] if worker in self.earmarks else ""
            behind = "" if owner == want.owner else owner
            hold = Hold(chosen.debit, placing.share_of(chosen.debit, sums), tuple(payers), behind)
            self._put(worker, f"{want.owner}:{want.attempt}:{rank}", hold)
            for kept in (at_hand.cap, at_hand.spare if behind else {}):
                if worker in kept:
                    kept[worker] = _moved(kept[worker], chosen.debit, -1)
        at_hand.spots = [spot._replace(free=self.free[spot.name]) for spot in at_hand.spots]
        for worker in [worker for worker, (owner, _) in self.earmarks.items() if owner == want.owner]:
            del self.earmarks[worker], at_hand.spare[worker]
        del self.wants[want.owner], self.ranks[want.owner]
        self.started += 1
        return Placement(want, number, tuple(ranks))

    def _keep(self, want: Want, at_hand: _Round) -> None:
        taken = {worker: owner for worker, (owner, _) in self.earmarks.items()}
        if want.owner in taken.values() or not placing.may_keep(len(taken), len(at_hand.spots)):
            return
        for worker, vector in placing.kept_for(want.ask, at_hand.spots, taken).items():
            self.earmarks[worker] = want.owner, vector
            at_hand.spare[worker] = self._spare(worker)


def _moved(vector: Sequence[int], by: Sequence[int], sign: int) -> Vector:
    return [amount + sign * (by[at] if at < len(by) else 0) for at, amount in enumerate(vector)]


def _within(part: Sequence[int], limit: Sequence[int]) -> bool:
    return all(amount <= left for amount, left in zip(part, limit, strict=True))
