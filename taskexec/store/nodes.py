"""The workers of a cluster as places: what they have and hold, whom they are kept for, and what waits for them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskexec.domain.fit import Ask, Vector, parse_vector, vector_text
from taskexec.domain.placing import ROUND, WIDEST, Want
from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.keys import (
    EARMARKS,
    FREE,
    JOINED,
    NO_RUN,
    STARTED,
    TOTAL,
    TRAITS,
    USED,
    WANTING,
    WEIGHTS,
    holds_key,
    run_key,
    wake_key,
)

__all__ = ["Hold", "NodeView", "RedisNodes"]


@dataclass(frozen=True, slots=True)
class Hold:
    """What was taken of a worker."""

    name: str
    """`run:index:attempt:rank` of what was placed and not started, else the token of a delivery."""
    vector: Vector
    run_id: str
    until_us: int
    """When it is expected to end, server time in microseconds; 0 is unknown."""
    members: tuple[tuple[int, int], ...] = ()
    """Index and attempt of the members of a delivery that are not over."""
    behind: str = ""
    """Whom the worker was kept for when it was taken, `run:index`."""

    @property
    def tasks(self) -> tuple[int, ...]:
        """Indexes of the tasks it is for."""
        if self.members:
            return tuple(index for index, _ in self.members)
        return (int(self.name.split(":")[1]),)


@dataclass(frozen=True, slots=True)
class NodeView:
    """One worker at one moment."""

    name: str
    traits: frozenset[str]
    total: Vector
    free: Vector
    holds: tuple[Hold, ...] = ()
    kept_for: str = ""
    """The task that it is kept for, `run:index`; empty for none."""
    kept: Vector = field(default_factory=list)
    """What that one will take."""


class RedisNodes:
    """The workers of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def join(self, name: str, traits: Iterable[str], total: Sequence[int]) -> bool:
        """Make a worker known, or renew what is known of it; return whether it was not."""
        words = f" {' '.join(sorted(traits))} "
        return bool(self._connection.script("join", NO_RUN, [name, words, vector_text(total)]))

    def leave(self, *names: str) -> int:
        """Forget workers and what they held; return how many were known."""
        return int(self._connection.script("leave", NO_RUN, names)) if names else 0

    def place(self) -> int:
        """Place what waits and fits now; return how many runs have something that still waits."""
        return int(self._connection.script("place", NO_RUN, []))

    def give_back(self, worker: str, holds: Sequence[str]) -> int:
        """Give back what a worker holds for what it knows to be over; return how much of it was held."""
        return int(self._connection.script("yield", NO_RUN, [worker, *holds])) if holds else 0

    def await_room(self, worker: str, *, wait_s: float) -> None:
        """Wait until something may have become free on a worker, or for so long."""
        with contextlib.suppress(ConnectionLost):
            self._connection.call("BLPOP", wake_key(worker), wait_s)

    def joined(self) -> list[str]:
        """Return the workers in the order in which they joined."""
        return [name.decode() for name in self._connection.call("ZRANGE", JOINED, 0, -1)]

    def views(self) -> list[NodeView]:
        """Return all workers, in the order in which they joined."""
        names = self.joined()
        if not names:
            return []
        totals, frees, traits, marks, *holds = self._connection.pipeline(
            [("HMGET", key, *names) for key in (TOTAL, FREE, TRAITS, EARMARKS)]
            + [("HGETALL", holds_key(name)) for name in names]
        )
        found = []
        for at, name in enumerate(names):
            if totals[at] is None or frees[at] is None:
                continue  # it left in between
            kept_for, _, kept = (marks[at] or b"").decode().partition("|")
            held = tuple(_holds(_pairs(holds[at])))
            words = frozenset(traits[at].decode().split())
            total, free = parse_vector(totals[at].decode()), parse_vector(frees[at].decode())
            found.append(NodeView(name, words, total, free, held, kept_for, parse_vector(kept) if kept else []))
        return found

    def wants(self, run_id: str, *, most: int | None = None) -> list[Want]:
        """Return the tasks of a run that wait to be placed, in its order: all, or at most so many."""
        last = -1 if most is None else most - 1
        return self._wants_of(run_id, self._connection.call("ZRANGE", run_key(run_id, "wanting"), 0, last))

    def first_wants(self, run_id: str, *, also: int | None = None) -> list[Want]:
        """Return the tasks of a run that a round of placing may look at, in its order, and one more that waits."""
        wanting = run_key(run_id, "wanting")
        first, wide, mine = self._connection.pipeline(
            [
                ("ZRANGE", wanting, 0, ROUND - 1, "WITHSCORES"),
                ("ZRANGE", run_key(run_id, "wide"), 0, WIDEST - 1),
                ("ZSCORE", wanting, -1 if also is None else also),
            ]
        )
        ranks = {index: float(rank) for index, rank in _scored(first)}
        others = [index for index in wide if index not in ranks]
        if others:
            for index, rank in zip(others, self._connection.call("ZMSCORE", wanting, *others), strict=True):
                if rank is not None:
                    ranks[index] = float(rank)
        if mine is not None:
            ranks[str(also).encode()] = float(mine)
        return self._wants_of(run_id, sorted(ranks, key=lambda index: (ranks[index], index)))

    def _wants_of(self, run_id: str, flat: Sequence[bytes]) -> list[Want]:
        if not flat:
            return []
        names = ("ask", "wanted", "state")
        asks, wanted, states = self._connection.pipeline([("HMGET", run_key(run_id, name), *flat) for name in names])
        found = []
        for index, ask, told, state in zip(flat, asks, wanted, states, strict=True):
            if ask is None or told is None or state is None:
                continue  # it was placed in between
            since_us, started, ratio = told.decode().split(" ")
            parsed = Ask.decode(ask.decode()).with_memory(float(ratio))
            found.append(Want(run_id, int(index), int(state[1:]), parsed, int(since_us), int(started)))
        return found

    def wanting(self) -> list[str]:
        """Return the runs that have tasks that wait to be placed, the one that waits longest first."""
        return [run.decode() for run in self._connection.call("ZRANGE", WANTING, 0, -1)]

    def started(self) -> int:
        """Return how many tasks were started while others waited."""
        return int(self._connection.call("GET", STARTED) or 0)

    def used(self) -> dict[str, int]:
        """Return the shares of the cluster that runs (`r:`), users (`u:`) and tags (`t:`) hold, in millionths."""
        shares: Counter[str] = Counter()
        for payers, share in _pairs(self._connection.call("HGETALL", USED)):
            for payer in payers.decode().split():
                shares[payer] += int(share)
        return dict(shares)

    def weights(self) -> dict[str, float]:
        """Return the weights of users and tags that have one."""
        return {name.decode(): float(value) for name, value in _pairs(self._connection.call("HGETALL", WEIGHTS))}

    def set_weight(self, payer: str, weight: float) -> None:
        """Give a user (`u:<name>`) or a tag (`t:<name>`) a weight, > 0; 1 is that of everybody else."""
        self._connection.call("HSET", WEIGHTS, payer, f"{weight:g}")


def _pairs(reply: object) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(reply, Mapping):
        yield from reply.items()
    elif isinstance(reply, Sequence):
        yield from zip(reply[::2], reply[1::2], strict=True)


def _scored(reply: Sequence[Any]) -> Iterator[tuple[bytes, float]]:
    """Yield members and scores, however the protocol's version nests them."""
    if reply and isinstance(reply[0], list | tuple):
        yield from ((member, score) for member, score in reply)
    else:
        yield from zip(reply[::2], reply[1::2], strict=True)


def _holds(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Hold]:
    for name, text in pairs:
        vector, _, behind, until, members, run_id, _ = text.decode().split("|")
        pairs_of = (part.split(":") for part in members.split(",") if part)
        listed = tuple((int(index), int(attempt)) for index, attempt in pairs_of)
        yield Hold(name.decode(), parse_vector(vector), run_id, int(until), listed, behind)
