"""When a task has its turn: a round of placing as it would go now, by the rules of `domain/placing.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from taskexec.domain import placing
from taskexec.domain.fit import Ask, Chosen, Spot, Vector, choose_all
from taskexec.domain.placing import Account, Want
from taskexec.observability.why.facts import Cluster, limits_of

__all__ = ["Turn", "turn_of", "with_want"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is there for a task when it has its turn."""

    spots: tuple[Spot, ...]
    limits: Mapping[str, Vector]
    """What it may take of workers of which it may not take all that is free."""
    before: tuple[Want, ...]
    """What is looked at before it."""
    is_reached: bool
    """Whether it is looked at in the round."""

    def place(self, ask: Ask, *, on: Sequence[Spot] | None = None) -> list[Chosen] | None:
        """Return where something would go, on all workers or on some; None for nowhere."""
        if not self.is_reached:
            return None
        found = choose_all(ask, self.spots if on is None else on, spare=self.limits)
        return None if found is None else found[1]


def with_want(cluster: Cluster, want: Want) -> Cluster:
    """Return a cluster in which a task asks for something else than it does."""
    listed = [want if other.owner == want.owner else other for other in cluster.wants.get(want.run_id, ())]
    listed.sort(key=lambda other: -other.ask.priority)  # the order of a run, as the compiler ranks it
    return replace(cluster, wants={**cluster.wants, want.run_id: tuple(listed)})


def turn_of(cluster: Cluster, want: Want) -> Turn:
    """Return how things stand when a task that waits has its turn."""
    at_hand = _Round(cluster)
    for other in at_hand.looked_at():
        if other.owner == want.owner:
            return Turn(at_hand.spots, at_hand.limits(other), tuple(at_hand.before), True)
        at_hand.try_to_place(other)
    return Turn(at_hand.spots, at_hand.limits(want), tuple(at_hand.before), False)


class _Round:
    """A round of placing, as far as it has gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._accounts = _Accounts(cluster)
        self._hopeless: set[Ask] = set()
        self._owners = {node.kept_for for node in cluster.nodes if node.kept_for}
        self._limits: dict[str, dict[str, Vector]] = {}
        self._taken: dict[str, Vector] = {}
        self._placed: set[str] = set()
        self.spots = tuple(node.spot for node in cluster.nodes)
        self.before: list[Want] = []

    def looked_at(self) -> Iterator[Want]:
        """Yield what is looked at, in order: those for which workers are kept, the first of each run, the widest.

        Without room nothing finds a place, whether it is looked at or not.
        """
        first = {run_id: list(wants) for run_id, wants in self._cluster.wants.items()}
        left = dict.fromkeys(first, placing.WINDOW - placing.WIDEST)
        seen = {want.owner for wants in first.values() for want in wants if want.owner in self._owners}
        owned = [want for wants in first.values() for want in wants if want.owner in seen]
        yield from sorted(owned, key=lambda want: want.owner)
        for _ in range(placing.ROUND):
            waiting = [run_id for run_id, wants in first.items() if wants and left[run_id] > 0]
            if not waiting:
                break
            chosen = min(waiting, key=lambda run_id: self._accounts.precedence(first[run_id][0]))
            want = first[chosen].pop(0)
            if want.owner not in self._owners:
                seen.add(want.owner)
                yield want
            left[chosen] -= want.owner not in self._placed  # what is placed does not count
        for wants in self._cluster.wants.values():
            wide = [want for want in wants if placing.is_wide(want.ask) and want.owner not in self._placed]
            wide.sort(key=lambda want: (-placing.size_of(want.ask), str(want.index)))
            yield from (want for want in wide[: placing.WIDEST] if want.owner not in seen)

    def limits(self, want: Want) -> dict[str, Vector]:
        """Return what a task may take of workers of which it may not take all that is free."""
        kind = want.owner if want.owner in self._owners else ""
        if kind not in self._limits:
            self._limits[kind] = limits_of(self._cluster, kind)
        return {name: _less(vector, self._taken.get(name)) for name, vector in self._limits[kind].items()}

    def try_to_place(self, want: Want) -> None:
        """Take what a task would get."""
        self.before.append(want)
        if want.ask in self._hopeless and want.owner not in self._owners:
            return
        found = choose_all(want.ask, self.spots, spare=self.limits(want))
        if found is None:
            self._hopeless.add(want.ask)
            return
        for chosen in found[1]:
            name, taken = chosen.spot.name, chosen.debit
            known = self._taken.get(name, [0] * len(taken))
            self._taken[name] = [one + other for one, other in zip(known, taken, strict=True)]
            self.spots = tuple(s._replace(free=_less(s.free, taken)) if s.name == name else s for s in self.spots)
        self._placed.add(want.owner)
        self._accounts.pay(want.run_id, found[1])


def _less(vector: Sequence[int], by: Sequence[int] | None) -> Vector:
    return [one - other for one, other in zip(vector, by, strict=True)] if by else list(vector)


class _Accounts:
    """What is held for runs, users and tags while a round goes on."""

    def __init__(self, cluster: Cluster) -> None:
        self._payers = {run_id: [payer for payer, _ in pairs] for run_id, pairs in cluster.accounts.items()}
        self._held = {payer: replace(account) for pairs in cluster.accounts.values() for payer, account in pairs}
        totals = [node.total for node in cluster.nodes]
        self._sums = (sum(v[0] for v in totals), sum(v[1] for v in totals), sum(sum(v[4::2]) for v in totals))

    def precedence(self, want: Want) -> tuple[float, ...]:
        own, *others = [self._held[payer] for payer in self._payers.get(want.run_id, ())] or [Account()]
        return placing.precedence(want.ask, own, others)

    def pay(self, run_id: str, ranks: Sequence[Chosen]) -> None:
        for payer in self._payers.get(run_id, ()):
            self._held[payer].share += sum(placing.share_of(chosen.debit, self._sums) for chosen in ranks)
