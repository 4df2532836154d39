"""The store of runs on Redis: programs, claims, completions, logs; its port is `store.port`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from taskexec.domain.events import LogEntry
from taskexec.domain.names import is_run_id
from taskexec.domain.program import (
    PARTED,
    Begun,
    Claim,
    ClaimedMember,
    Completion,
    Grant,
    Member,
    Program,
    Reaped,
    RunHead,
)
from taskexec.domain.proof import BLOCK_LEAVES, LEAF_BYTES, Seal, SignedHead, blocks_digest
from taskexec.domain.protocol import version_of
from taskexec.errors import NotFound, TasksBusy
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, METRICS, RUN_KEYS, RUNS, run_key, run_prefix, submission_key
from taskexec.store.port import retry_refused
from taskexec.store.stored import meta_of, values_of
from taskexec.store.streams import stream_rows

__all__ = ["RedisRunStore"]

_SLICE = 1000
_TAKEN_BACK_CALLS = 100
_ENTRIES = 200
"""Most log entries of one answer: each may hold the inline evidence of a whole batch, some hundred kilobytes."""


class RedisRunStore:
    """`RunStore` on one Redis database (the broker's; scripts cannot cross databases)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def put(self, program: Program) -> None:
        """See `RunStore.put`."""

        def key(name: str) -> str:
            return run_key(program.run_id, name)

        if self.connection.call("HEXISTS", key("meta"), "run"):
            return  # a repeated call; the meta hash is written last
        for first in range(0, len(program.tasks), _SLICE):
            self._put_tasks(program, first)
        seconds, microseconds = self.connection.call("TIME")
        meta = meta_of(program, submitted_us=int(seconds) * 1_000_000 + int(microseconds))
        self.connection.pipeline(
            [
                ("SET", key("plan"), program.plan),
                ("SET", key("canvas"), program.canvas),
                ("SET", key("leaves"), program.leaves),
                ("SET", key("blocks"), blocks_digest(program.leaves)),
                ("HSET", key("meta"), *(part for item in meta.items() for part in item)),
                ("ZADD", RUNS, meta["submitted_us"], program.run_id),
                # until it is started: a submitter may die here
                *(("EXPIRE", key(name), max(program.options.retention_s, 1)) for name in sorted(RUN_KEYS)),
            ]
        )

    def _put_tasks(self, program: Program, first: int) -> None:
        fields: dict[str, list[Any]] = {}
        for index, task in enumerate(program.tasks[first : first + _SLICE], first):
            for name, value in values_of(task):
                fields.setdefault(name, []).extend((index, value))
        commands = [("HSET", run_key(program.run_id, name), *items) for name, items in fields.items()]
        self.connection.pipeline(commands)

    def start(self, run_id: str) -> None:
        """See `RunStore.start`."""
        pending, begun, count = self.connection.pipeline(
            [
                ("HKEYS", run_key(run_id, "pending")),
                ("HKEYS", run_key(run_id, "state")),
                ("HGET", run_key(run_id, "meta"), "tasks"),
            ]
        )
        if count is None:
            raise _no_such(run_id)
        others = {int(index) for index in (*pending, *begun)}
        roots = [index for index in range(int(count)) if index not in others]
        for first in range(0, max(len(roots), 1), _SLICE):
            self._run("start", run_id, roots[first : first + _SLICE])

    def claim(self, run_id: str, members: Sequence[Member], *, worker: str, token: str, lease_s: float) -> Claim:
        """See `RunStore.claim`."""
        arguments: list[Any] = [worker, token, int(lease_s * 1e6), *_flat(members)]
        server_us, positions, specs, inputs, limits, places, denied = self._run("claim", run_id, arguments)
        claimed = []
        limits = limits or [b""] * len(specs)
        for position, stored, limit, place in zip(positions, specs, limits, places, strict=True):
            claimed.append(_claimed(members[position], stored, limit, place))
        return Claim(int(server_us), tuple(claimed), _results(inputs), bool(denied))

    def enter(
        self, run_id: str, member: Member, rank: int, *, worker: str, token: str, lease_s: float, told: str
    ) -> Claim:
        """See `RunStore.enter`."""
        arguments = [worker, token, int(lease_s * 1e6), member.index, member.attempt, rank, told]
        server_us, *given = self._run("enter", run_id, arguments)
        if not given:
            return Claim(int(server_us), (), {})
        stored, inputs, limit, place = given
        return Claim(int(server_us), (_claimed(member, stored, limit, place),), _results(inputs))

    def part(self, run_id: str, member: Member, rank: int, *, worker: str, token: str, record: bytes) -> bool:
        """See `RunStore.part`."""
        return bool(self._run("part", run_id, [worker, token, member.index, member.attempt, rank, record]))

    def begun(self, run_id: str, member: Member, ranks: int) -> list[Begun | None]:
        """See `RunStore.begun`."""
        fields = [f"{member.index}:{rank}" for rank in range(ranks)]
        found: list[Begun | None] = []
        for value in self.connection.call("HMGET", run_key(run_id, "gang"), *fields):
            attempt, token, told = value.decode().split(" ", 2) if value else ("0", "", "")
            is_begun = int(attempt) == member.attempt and token != PARTED
            found.append(Begun(int(attempt), token, told) if is_begun else None)
        return found

    def renew(self, run_id: str, leases: Sequence[str], *, worker: str, lease_s: float) -> list[int]:
        """See `RunStore.renew`."""
        return [int(position) for position in self._run("renew", run_id, [worker, int(lease_s * 1e6), *leases])]

    def complete(
        self,
        run_id: str,
        completions: Sequence[Completion],
        *,
        worker: str,
        agent: str,
        spent_s: float,
        seal: Seal | None = None,
    ) -> list[bool]:
        """See `RunStore.complete`."""
        sealed = ("", "", "") if seal is None else (seal.key, seal.signature, " ".join(seal.digests))
        arguments: list[Any] = [worker, agent, int(spent_s * 1e6), *sealed]
        for done in completions:
            arguments += (
                done.member.index,
                done.member.attempt,
                done.token,
                done.outcome,
                done.celery_key,
                done.celery_result,
                done.celery_retry,
                done.record,
                done.result,
            )
        return [bool(reply) for reply in self._run("complete", run_id, arguments)]

    def release(self, run_id: str, members: Sequence[Member], *, worker: str, token: str) -> int:
        """See `RunStore.release`."""
        return int(self._run("release", run_id, [worker, token, *_flat(members)]))

    def lose(self, run_id: str, members: Sequence[Member], *, worker: str, record: bytes) -> int:
        """See `RunStore.lose`."""
        return int(self._run("lose", run_id, [worker, record, *_flat(members)]))

    def take_back(self, run_id: str, *, worker: str) -> int:
        """See `RunStore.take_back`."""
        total = 0
        for _ in range(_TAKEN_BACK_CALLS):  # each looks at some hundred
            taken = int(self._run("take_back", run_id, [worker]))
            total += taken
            if not taken:
                break
        return total

    def protocol(self, run_id: str) -> int:
        """See `RunStore.protocol`."""
        return version_of(self.connection.call("HGET", run_key(run_id, "meta"), "protocol"))

    def reap(self, run_id: str, *, worker: str, lease_s: float, record: bytes) -> Reaped:
        """See `RunStore.reap`."""
        lapsed, requeued, due_us = map(int, self._run("reap", run_id, [worker, int(lease_s * 1e6), record]))
        return Reaped(lapsed, requeued, None if due_us < 0 else due_us / 1e6)

    def stop(self, run_id: str, *, kill: bool) -> str:
        """See `RunStore.stop`."""
        status = self._run("stop", run_id, ["kill" if kill else "drain"])
        if status is None:
            raise _no_such(run_id)
        return bytes(status).decode()

    def retry(self, run_id: str, indexes: Sequence[int], *, by: bytes, request: str) -> list[int]:
        """See `RunStore.retry`."""
        if not self.connection.call("EXISTS", run_key(run_id, "meta")):
            raise _no_such(run_id)
        code, found = self._run("retry", run_id, [by, request, *indexes])
        tasks = [int(index) for index in found]
        if code:
            raise retry_refused(int(code), tasks)
        return tasks

    def signed_head(self, run_id: str) -> SignedHead:
        """See `RunStore.signed_head`."""
        names = ("run", "head", "head_key", "head_signature")
        run, head, key, signature = self.connection.call("HMGET", run_key(run_id, "meta"), *names)
        if run is None:
            raise _no_such(run_id)
        return SignedHead(head or b"", _text(key or ""), _text(signature or ""))

    def leaf_block(self, run_id: str, number: int) -> bytes:
        """See `RunStore.leaf_block`."""
        size = BLOCK_LEAVES * LEAF_BYTES
        found = self.connection.call("GETRANGE", run_key(run_id, "leaves"), number * size, (number + 1) * size - 1)
        return bytes(found)

    def leaf_blocks(self, run_id: str) -> bytes:
        """See `RunStore.leaf_blocks`."""
        return bytes(self.connection.call("GET", run_key(run_id, "blocks")) or b"")

    def claim_key(self, key: str, run_id: str, digest: str, lifetime_s: int) -> tuple[str, str]:
        """Return the run, and the digest of its plan, that a key of a submission stands for.

        The first call decides, for as long as `lifetime_s` seconds; others get its answer.
        """
        name = submission_key(key)
        claim = orjson.dumps([run_id, digest])
        _, found = self.connection.pipeline([("SET", name, claim, "NX", "EX", max(lifetime_s, 1)), ("GET", name)])
        known, known_digest = orjson.loads(found or claim)
        return known, known_digest

    def release_key(self, key: str, run_id: str, digest: str) -> None:
        """Have a key stand for nothing again, if it stands for this run, of which nothing was put."""
        name = submission_key(key)
        if self.connection.call("GET", name) == orjson.dumps([run_id, digest]):
            self.connection.call("DEL", name)

    def remove(self, run_id: str) -> bool:
        """See `RunStore.remove`."""
        tasks = int(self.connection.call("HGET", run_key(run_id, "meta"), "tasks") or 0)
        removed = int(self._run("remove", run_id, []))
        if removed < 0:
            raise TasksBusy(f"run `{run_id}` goes on", hint="wait for its end, or stop it first")
        for first in range(0, tasks, _SLICE):  # what Celery keeps of its tasks would expire by itself, later
            names = [f"celery-task-meta-{run_id}.{index}" for index in range(first, min(first + _SLICE, tasks))]
            self.connection.call("DEL", *names)
        return bool(removed)

    def head(self, run_id: str) -> RunHead:
        """See `RunStore.head`."""
        flat = self.connection.call("HGETALL", run_key(run_id, "meta"))
        if not flat:
            raise _no_such(run_id)
        return RunHead.from_fields(_text_map(flat))

    def read_log(self, run_id: str, after: str = "0", *, wait_s: float = 0.0) -> list[LogEntry]:
        """See `RunStore.read_log`."""
        rows = self._read_stream(run_key(run_id, "log"), after, wait_s, count=_ENTRIES)
        return [
            LogEntry(id_, int(row["t"]), row["w"].decode(), row["d"].decode(errors="replace"), _seal(row))
            for id_, row in rows
        ]

    def read_output(self, run_id: str, after: str = "0", *, wait_s: float = 0.0) -> list[tuple[str, dict[str, bytes]]]:
        """Return chunks of evidence after an entry id, oldest first, at most some hundred."""
        return self._read_stream(run_key(run_id, "output"), after, wait_s, count=100)

    def leases(self, run_id: str) -> list[tuple[Member, str]]:
        """Return the attempts at work, each with the token it was claimed with."""
        found = []
        for name in self.connection.call("ZRANGE", run_key(run_id, "lease"), 0, -1):
            index, attempt, token = name.decode().split("|", 2)
            found.append((Member(int(index), int(attempt)), token))
        return found

    def append_output(self, run_id: str, fields: Mapping[str, Any]) -> bool:
        """Append one chunk of evidence; return False when the run may leave no more and it was dropped.

        Repeating it is harmless (chunks name their offset).
        """
        parts = [part for item in fields.items() for part in item]
        return int(self._run("append", run_id, parts)) >= 0

    def first_entry(self, run_id: str) -> str | None:
        """Return the id of the first entry of a run's log; None when there is none."""
        rows = self.connection.call("XRANGE", run_key(run_id, "log"), "-", "+", "COUNT", 1)
        return _text(rows[0][0]) if rows else None

    def _read_stream(self, key: str, after: str, wait_s: float, count: int) -> list[tuple[str, dict[str, bytes]]]:
        block = ["BLOCK", max(int(wait_s * 1000), 1)] if wait_s else []
        reply = self.connection.call("XREAD", "COUNT", count, *block, "STREAMS", key, after)
        return [(id_, fields) for id_, fields in stream_rows(reply)]

    def documents(self, run_id: str) -> tuple[bytes, bytes]:
        """Return the compressed plan.json and canvas.json of a run.

        Raises:
            NotFound: No such run, or its keys have expired.
        """
        plan, canvas = self.connection.pipeline([("GET", run_key(run_id, "plan")), ("GET", run_key(run_id, "canvas"))])
        if plan is None or canvas is None:
            raise _no_such(run_id)
        return plan, canvas

    def counted(self) -> dict[str, int]:
        """See `RunStore.counted`."""
        return {name: int(value) for name, value in _text_map(self.connection.call("HGETALL", METRICS)).items()}

    def active(self) -> list[str]:
        """See `RunStore.active`."""
        return sorted(run.decode() for run in self.connection.call("SMEMBERS", ACTIVE))

    def waiting(self, route: str) -> int:
        """Return how many tasks of a route wait for a slot, of all active runs."""
        runs = self.active()
        names = (f"queued:{route}", f"backlog:{route}")
        commands = [("ZCARD", run_key(run, name)) for run in runs for name in names]
        return sum(map(int, self.connection.pipeline(commands))) if commands else 0

    def listed(self) -> list[str]:
        """Return all known runs, newest first; runs whose keys have expired are forgotten on the way."""
        runs = [run.decode() for run in self.connection.call("ZREVRANGE", RUNS, 0, -1)]
        there = self.connection.pipeline([("EXISTS", run_key(run, "meta")) for run in runs]) if runs else []
        gone = [run for run, exists in zip(runs, there, strict=True) if not exists]
        if gone:
            self.connection.call("ZREM", RUNS, *gone)
        forgotten = set(gone)
        return [run for run in runs if run not in forgotten and is_run_id(run)]

    def states(self, run_id: str) -> dict[int, str]:
        """Return the state letter and attempt of every task that is no longer waiting."""
        flat = self.connection.call("HGETALL", run_key(run_id, "state"))
        return {int(index): state for index, state in _text_map(flat).items()}

    def _run(self, script: str, run_id: str, arguments: Sequence[Any]) -> Any:
        return self.connection.script(script, run_prefix(run_id), arguments)


def _claimed(member: Member, stored: bytes, limit: bytes, place: bytes) -> ClaimedMember:
    dependencies, spec = bytes(stored).split(b"\n", 1)
    indexes = tuple(int(index) for index in dependencies.split(b",") if index)
    return ClaimedMember(member, indexes, spec, *_limits(limit), Grant.decode(bytes(place).decode()))


def _results(inputs: Sequence[bytes]) -> dict[int, bytes]:
    return {int(index): bytes(value) for index, value in zip(inputs[::2], inputs[1::2], strict=True)}


def _limits(text: bytes) -> tuple[float | None, float]:
    """Return the seconds that a task still has (None: no limit) and how many times its memory it gets."""
    left_us, _, ratio = bytes(text).decode().partition(" ")
    return int(left_us) / 1e6 if left_us else None, float(ratio or 1)


def _seal(row: Mapping[str, bytes]) -> Seal | None:
    if "k" not in row:
        return None
    return Seal(row["k"].decode(), row["s"].decode(), tuple(row.get("l", b"").decode().split()))


def _no_such(run_id: str) -> NotFound:
    return NotFound(f"there is no run `{run_id}`", hint="`tek runs` lists the runs that the server knows")


def _flat(members: Sequence[Member]) -> Iterator[int]:
    for member in members:
        yield member.index
        yield member.attempt


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _text_map(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(key): _text(value) for key, value in items}
