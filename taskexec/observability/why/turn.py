"""When a task has its turn: a round of placing as it would go now, by the rules of `domain/placing.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def place(self, ask: Ask) -> list[Chosen] | None:
        """Return where something would go; None for nowhere."""
        if not self.is_reached:
            return None
        found = choose_all(ask, self.spots, spare=self.limits)
        return None if found is None else found[1]


def with_want(cluster: Cluster, want: Want) -> Cluster:
    """Return a cluster in which a task asks for something else than it does."""
    listed = [want if other.owner == want.owner else other for other in cluster.wants.get(want.run_id, ())]
    listed.sort(key=lambda other: -other.ask.priority)  # the order of a run, as the compiler ranks it
    return replace(cluster, wants={**cluster.wants, want.run_id: tuple(listed)})


def turn_of(cluster: Cluster, want: Want) -> Turn:
    """Return how things stand when a task that waits has its turn."""
    candidates = {run_id: _candidates(wants) for run_id, wants in cluster.wants.items()}
    accounts = _Accounts(cluster)
    spots = tuple(node.spot for node in cluster.nodes)
    before: list[Want] = []
    hopeless: set[Ask] = set()
    limits_by_owner: dict[str, dict[str, Vector]] = {}
    owners = {node.kept_for for node in cluster.nodes if node.kept_for}
    taken: dict[str, Vector] = {}
    for _ in range(placing.ROUND):
        waiting = [run_id for run_id, wants in candidates.items() if wants]
        if not waiting:
            break
        first = min(waiting, key=lambda run_id: accounts.precedence(candidates[run_id][0]))
        other = candidates[first].pop(0)
        kind = other.owner if other.owner in owners else ""
        if kind not in limits_by_owner:
            limits_by_owner[kind] = limits_of(cluster, kind)
        limits = {name: _less(vector, taken.get(name)) for name, vector in limits_by_owner[kind].items()}
        if other.owner == want.owner:
            return Turn(spots, limits, tuple(before), True)
        before.append(other)
        if other.ask in hopeless and not kind:
            continue
        found = choose_all(other.ask, spots, spare=limits)
        if found is None:
            hopeless.add(other.ask)
            continue
        for chosen in found[1]:
            name = chosen.spot.name
            taken[name] = [a + b for a, b in zip(taken.get(name) or [0] * len(chosen.debit), chosen.debit, strict=True)]
            spots = tuple(s._replace(free=_less(s.free, chosen.debit)) if s.name == name else s for s in spots)
        accounts.pay(first, found[1])
    kind = want.owner if want.owner in owners else ""
    return Turn(spots, limits_of(cluster, kind), tuple(before), False)


def _less(vector: Sequence[int], by: Sequence[int] | None) -> Vector:
    return [one - other for one, other in zip(vector, by, strict=True)] if by else list(vector)


def _candidates(wants: Sequence[Want]) -> list[Want]:
    """Return what is looked at of a run: the first that wait, and the widest wherever they stand."""
    wide = sorted(wants, key=lambda want: -placing.size_of(want.ask))[: placing.WIDEST]
    shown = {want.owner for want in wants[: placing.WINDOW - placing.WIDEST]}
    shown |= {want.owner for want in wide if placing.size_of(want.ask) > 1000}
    return [want for want in wants if want.owner in shown]


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
