"""How long tasks of a cluster waited and worked, as its server keeps it, and how far the log of each run is counted.

Who counts adds what it found and says how far it has come in one transaction, which fails where somebody else has come
farther meanwhile: nothing counts twice, however many count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from taskexec.domain.counts import OTHER, is_plain
from taskexec.domain.names import is_run_id
from taskexec.store.connection import LOST, Connection
from taskexec.store.keys import ACTIVE, DURATIONS, MEASURED, RUNS, run_key

__all__ = ["TOTAL_US", "Lengths", "Measured", "RedisDurations", "RunShape"]

TOTAL_US = "us"
"""What stands beside the counts of buckets for the sum of all that was counted, in microseconds."""
_SINCE = "*"
"""Field of `MEASURED` beside those of runs: no run is called so."""

Lengths = Mapping[tuple[str, str], Mapping[str, int]]
"""What lasted, and the agent of the task -> upper bound of a bucket, as text -> how many; and `TOTAL_US`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted until a moment."""

    lengths: Lengths
    reached: Mapping[str, str]
    """Run -> id of the last entry of its log that is counted."""
    since: str
    """Id behind which entries count: what was there before counting began on this server does not."""
    runs: Mapping[str, float]
    """All runs that the server knows, some of which may have expired, the newest first -> when they were submitted,
    in microseconds by its clock."""
    active: frozenset[str]
    """Those that go on."""

    def after(self, run_id: str) -> str:
        """Return the id behind which entries of a run are not counted yet."""
        return self.reached.get(run_id, self.since)

    @property
    def since_us(self) -> int:
        """When counting began on this server."""
        return int(self.since.partition("-")[0]) * 1000


@dataclass(frozen=True, slots=True)
class RunShape:
    """What has to be known of a run to understand its log."""

    size: int
    """How many tasks it has; 0 where it is not there any more."""
    kinds: Sequence[str]
    """The agent of each task; `other` for those that were done before."""
    successors: Mapping[int, tuple[int, ...]]


class RedisDurations:
    """What one server keeps; all methods raise `ConnectionLost` without an answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> Measured | None:
        """Return what was counted, which the first call begins; None where this user of the server may not count."""
        commands = [
            ("HGETALL", DURATIONS),
            ("HGETALL", MEASURED),
            ("ZREVRANGE", RUNS, 0, -1, "WITHSCORES"),
            ("SMEMBERS", ACTIVE),
            ("TIME",),
        ]
        try:
            lengths, flat, runs, active, (seconds, _) = self._connection.pipeline(commands)
            reached = _texts(flat)
            if _SINCE not in reached:
                self._connection.call("HSETNX", MEASURED, _SINCE, f"{int(seconds) * 1000}-0")
                reached[_SINCE] = self._connection.call("HGET", MEASURED, _SINCE).decode()
        except redis.exceptions.NoPermissionError:
            return None
        since = reached.pop(_SINCE)
        is_nested = bool(runs) and isinstance(runs[0], list | tuple)  # as the protocol's version has it
        scored = runs if is_nested else zip(runs[::2], runs[1::2], strict=True)
        submitted = {name: float(at_us) for run, at_us in scored if is_run_id(name := run.decode())}
        going = frozenset(filter(is_run_id, map(bytes.decode, active)))
        return Measured(_lengths(_texts(lengths)), reached, since, submitted, going)

    def shape(self, run_id: str) -> RunShape:
        """Return what has to be known of a run."""
        size, tasks, successors = self._connection.pipeline(
            [
                ("HGET", run_key(run_id, "meta"), "tasks"),
                ("HGETALL", run_key(run_id, "task")),
                ("HGETALL", run_key(run_id, "successors")),
            ]
        )
        kinds = [OTHER] * int(size or 0)
        names: dict[str, str] = {}  # one text for each agent, however many tasks it has
        for index, record in _texts(tasks).items():
            kind = record.split("\t", 3)[2]
            kinds[int(index)] = names.setdefault(kind, kind if is_plain(kind) else OTHER)
        after = {int(index): tuple(map(int, others.split(","))) for index, others in _texts(successors).items()}
        return RunShape(len(kinds), kinds, after)

    def add(self, found: Lengths, reached: Mapping[str, str], before: Measured) -> bool:
        """Count what was found in the logs of some runs; return whether it counts now.

        It does not, and nothing is changed, where somebody has counted of one of these runs since `before`, or where
        the server takes nothing.

        Args:
            found: What lasted, and how long.
            reached: Run -> id of the last entry that this was found in.
            before: What was counted before.
        """
        try:
            with self._connection.client.pipeline(transaction=True) as pipe:
                pipe.watch(MEASURED)
                known = pipe.hmget(MEASURED, list(reached))
                if [None if one is None else one.decode() for one in known] != [*map(before.reached.get, reached)]:
                    return False
                pipe.multi()
                for (phase, kind), counts in found.items():
                    for bound, amount in counts.items():
                        pipe.hincrby(DURATIONS, f"{phase} {kind} {bound}", amount)
                pipe.hset(MEASURED, mapping=dict(reached))
                if gone := before.reached.keys() - before.runs.keys() - before.active - reached.keys():
                    pipe.hdel(MEASURED, *gone)
                pipe.execute()
        except LOST as error:
            raise self._connection.lost(error) from error
        except (redis.WatchError, redis.ResponseError):  # somebody was faster; no memory, no disk, no right to
            return False
        return True


def _lengths(fields: Mapping[str, str]) -> Lengths:
    found: dict[tuple[str, str], Counter[str]] = {}
    for name, amount in fields.items():
        phase, kind, bound = name.split(" ", 2)
        found.setdefault((phase, kind), Counter())[bound] += int(amount)
    return found


def _texts(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in items}
