"""Who is placed next, who has waited long enough for workers to be kept for it, and what others may take of those.

Within a window of the tasks that come next, whatever fits is placed (backfill). Between runs the order is: priority,
then whose user, whose tag, and which run itself holds the least of the cluster for its weight, then the deadline. What
has waited too long, or was overtaken too often, gets workers kept for it, the widest first: others may take of them
only what it leaves.
What fits is in `domain/fit.py`; `store/lua/placing.lua` says the same in Lua.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taskexec.domain.fit import GPUS, MEMORY, WHOLE, Ask, Spot, Vector, choose, choose_all

__all__ = [
    "LOOKS",
    "OVERTAKES",
    "PATIENCE_US",
    "ROUND",
    "WIDE",
    "WIDEST",
    "WINDOW",
    "Account",
    "Want",
    "has_waited",
    "is_wide",
    "kept_for",
    "may_keep",
    "memory_ratio",
    "precedence",
    "share_of",
    "size_of",
    "spare_of",
]

WINDOW = 40
"""Tasks of one run that are looked at in one round: the first in its order, and the widest."""
WIDE = 1500
"""From so much on (`size_of`) a task is wide."""
WIDEST = 8
"""How many of them because none is wider, wherever they stand; also dependencies that locality goes by."""
ROUND = 256
"""Tasks of all runs that are looked at in one round."""
PATIENCE_US = 2_000_000
"""After so long workers are kept for a task; and a slot is left to a task that waits for nothing but one."""
LOOKS = 8
"""Workers are kept for tasks only now and then: whenever so many more have started."""
OVERTAKES = 64
"""The same after so many tasks started since it waits."""


@dataclass(slots=True)
class Account:
    """What somebody (a run, a user, a tag) holds of the cluster."""

    share: int = 0
    """In millionths, the largest part of cores, memory or GPUs for each task, summed."""
    weight: float = 1.0
    """How much it may hold, beside others."""


@dataclass(frozen=True, slots=True)
class Want:
    """A task that waits to be placed."""

    run_id: str
    index: int
    attempt: int
    ask: Ask
    since_us: int
    started: int
    """Tasks that the cluster had started by then."""

    @property
    def owner(self) -> str:
        """What workers that are kept for it are marked with."""
        return f"{self.run_id}:{self.index}"


def size_of(ask: Ask) -> int:
    """Return how wide a task is, in thousandths of a core over all ranks.

    A GPU counts as eight cores, 4 GB as one, and a whole worker as 64.
    """
    option = ask.options[0]
    return (option.cpus + 8 * option.gpus + option.memory // 4 + 64 * WHOLE * option.exclusive) * ask.ranks


def is_wide(ask: Ask) -> bool:
    """Return whether a task is looked at wherever it stands, and may have workers kept for it."""
    return size_of(ask) > WIDE


def memory_ratio(ask: Ask, ratio: float, totals: Iterable[Sequence[int]]) -> float:
    """Return how many times the memory a task gets after running out of it: no more than the largest worker has.

    Args:
        ask: What it asks for.
        ratio: What its policy says.
        totals: All that each worker has.
    """
    asked = ask.options[0].memory
    if asked == 0:
        return ratio
    most = max((total[MEMORY] for total in totals), default=0)
    return max(min(ratio, (most * 1000 // asked) / 1000), 1.0)


def share_of(vector: Sequence[int], sums: tuple[int, int, int]) -> int:
    """Return the largest part of the cluster that an amount takes, in millionths.

    Args:
        vector: The amount.
        sums: Cores, memory and GPUs of the cluster, in the units of vectors.
    """
    amounts = (vector[0], vector[1], sum(vector[GPUS::2]))
    return max((amount * 1_000_000 // total for amount, total in zip(amounts, sums, strict=True) if total), default=0)


def precedence(ask: Ask, run: Account, others: Sequence[Account]) -> tuple[float, ...]:
    """Return the place of a run in the order, least first, by the first of its tasks that wait.

    Args:
        ask: What that task asks for.
        run: The run's own account.
        others: Accounts of its user and of its tag.
    """
    spent = [account.share / account.weight for account in (*others, run)]
    return (-ask.priority, *spent, ask.deadline_us or math.inf)


def has_waited(want: Want, *, now_us: int, started: int) -> bool:
    """Return whether a task has waited so long that workers are kept for it."""
    return now_us - want.since_us > PATIENCE_US or started - want.started >= OVERTAKES


def may_keep(kept: int, workers: int) -> bool:
    """Return whether one more may be kept: at least one, else less than half of the workers."""
    return kept == 0 or 2 * kept < workers


def kept_for(ask: Ask, spots: Sequence[Spot], taken: Mapping[str, str]) -> dict[str, Vector]:
    """Return the workers to keep for a task, with what it will take of each; none when there are not enough.

    One rank goes where the least is missing now; several where they would go if the cluster were empty.

    Args:
        ask: What is asked.
        spots: The workers, in the order in which they joined.
        taken: Those that are kept for others.
    """
    whole = [spot._replace(free=spot.total) for spot in spots if spot.name not in taken]
    if ask.ranks > 1:
        found = choose_all(ask, whole)
        sums: dict[str, Vector] = {}
        for chosen in found[1] if found else ():
            known = sums.get(chosen.spot.name, [0] * len(chosen.debit))
            sums[chosen.spot.name] = [one + other for one, other in zip(known, chosen.debit, strict=True)]
        return sums
    free = {spot.name: spot.free for spot in spots}
    best: tuple[int, dict[str, Vector]] | None = None
    for spot in whole:
        for option in ask.options:
            chosen_here = choose(option, [spot])
            if chosen_here is None:
                continue
            missing = sum(
                max(amount - left, 0) * 1000 // max(total, 1)
                for amount, left, total in zip(chosen_here.debit, free[spot.name], spot.total, strict=True)
            )
            if best is None or missing < best[0]:
                best = missing, {spot.name: chosen_here.debit}
    return best[1] if best else {}


def spare_of(total: Sequence[int], kept: Sequence[int], later: Sequence[Sequence[int]]) -> Vector:
    """Return what others may take of a worker that is kept for somebody.

    Args:
        total: All that it has.
        kept: What that one will take.
        later: What others were given of it since it is kept.
    """
    return [whole - mine - sum(theirs) for whole, mine, *theirs in zip(total, kept, *later, strict=True)]
