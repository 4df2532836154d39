"""The store of runs on Redis: programs, claims, completions, logs; `RunStore` is its port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson

from taskexec.domain.events import LogEntry
from taskexec.domain.program import Claim, ClaimedMember, Completion, Member, Program, ProgramTask, Reaped, RunHead
from taskexec.domain.proof import BLOCK_LEAVES, LEAF_BYTES, Seal, SignedHead, blocks_digest
from taskexec.domain.rules import TaskState
from taskexec.domain.states import TaskStatus
from taskexec.errors import NotFound, TasksBlocked, TasksBusy
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, RUN_KEYS, RUNS, run_key, run_prefix, submission_key

__all__ = ["RedisRunStore", "RunStore"]

_SLICE = 1000
_ENTRIES = 200
"""Most log entries of one answer: each may hold the inline evidence of a whole batch, some hundred kilobytes."""
_SATISFIED = TaskState(TaskStatus.SATISFIED, 0).encode()


class RunStore(Protocol):
    """What the latch, submitters and workers need of a store.

    Every method may be repeated after `ConnectionLost`; a repeated call changes nothing that the first one did.
    """

    def put(self, program: Program) -> None:
        """Store a program; its run is then `pending`, and tasks that are done are final. A stored one is left alone."""

    def start(self, run_id: str) -> None:
        """Queue what waits for nothing; a run whose tasks are all satisfied has then succeeded.

        Raises:
            NotFound: No such run.
        """

    def claim(self, run_id: str, members: Sequence[Member], *, worker: str, token: str, lease_s: float) -> Claim:
        """Win members of a message, each with a lease of `lease_s` seconds."""

    def renew(self, run_id: str, leases: Sequence[str], *, worker: str, lease_s: float) -> list[int]:
        """Renew leases (`lease_name`); return the positions of those no longer held."""

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
        """Complete attempts; return, for each, whether it was accepted (else another attempt owns the task).

        `seal` is the worker's signature of their records, in this order; None when it signs nothing.
        """

    def release(self, run_id: str, members: Sequence[Member], *, worker: str, token: str) -> int:
        """Give back members that were claimed and not started; return how many."""

    def lose(self, run_id: str, members: Sequence[Member], *, worker: str, record: bytes) -> int:
        """End attempts that were lost with their process: these members, or all of the worker's when empty."""

    def reap(self, run_id: str, *, worker: str, lease_s: float, record: bytes) -> Reaped:
        """End lapsed leases, queue again what was popped and never claimed or is due, stop a run whose time is up."""

    def stop(self, run_id: str, *, kill: bool) -> str:
        """Cancel what has not started, with `kill` what runs as well; return the run's status.

        Raises:
            NotFound: No such run.
        """

    def retry(self, run_id: str, indexes: Sequence[int], *, by: bytes) -> list[int]:
        """Have tasks that have ended run again, and all that depends on them; return which, in plan order.

        Succeeded tasks stand unless they are among them. A run that had ended goes on. `by` is a line of JSON: who and
        why.

        Raises:
            NotFound: No such run.
            TasksBusy: One of them is held, queued or runs; nothing was changed.
            TasksBlocked: A named task depends on one that has failed and is not among them; nothing was changed.
        """

    def signed_head(self, run_id: str) -> SignedHead:
        """Return the head of a run as its submitter signed it.

        Raises:
            NotFound: No such run.
        """

    def leaf_block(self, run_id: str, number: int) -> bytes:
        """Return one block of the leaves of a run's specs (`domain.proof`), empty when there is none."""

    def leaf_blocks(self, run_id: str) -> bytes:
        """Return the digests of all blocks of leaves, concatenated (`proof.blocks_digest`)."""

    def remove(self, run_id: str) -> bool:
        """Forget a run that has ended, or never began; return whether there was one.

        Raises:
            TasksBusy: It goes on; nothing was changed.
        """

    def head(self, run_id: str) -> RunHead:
        """Return where the run stands.

        Raises:
            NotFound: No such run.
        """

    def read_log(self, run_id: str, after: str = "0", *, wait_s: float = 0.0) -> list[LogEntry]:
        """Return entries after an entry id, oldest first; wait up to `wait_s` for the first one."""

    def active(self) -> list[str]:
        """Return the runs that are started and not ended."""


def lease_name(member: Member, token: str) -> str:
    """Return the name of a member's lease."""
    return f"{member.index}|{member.attempt}|{token}"


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
        meta = _meta(program, submitted_us=int(seconds) * 1_000_000 + int(microseconds))
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
            for name, value in _kept_of(task):
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
        server_us, positions, specs, inputs, limits = self._run("claim", run_id, arguments)
        claimed = []
        for position, stored, limit in zip(positions, specs, limits or [b""] * len(specs), strict=True):
            dependencies, spec = bytes(stored).split(b"\n", 1)
            indexes = tuple(int(index) for index in dependencies.split(b",") if index)
            claimed.append(ClaimedMember(members[position], indexes, spec, *_limits(limit)))
        results = {int(index): bytes(value) for index, value in zip(inputs[::2], inputs[1::2], strict=True)}
        return Claim(int(server_us), tuple(claimed), results)

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

    def retry(self, run_id: str, indexes: Sequence[int], *, by: bytes) -> list[int]:
        """See `RunStore.retry`."""
        if not self.connection.call("EXISTS", run_key(run_id, "meta")):
            raise _no_such(run_id)
        code, found = self._run("retry", run_id, [by, *indexes])
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
        return [(id_, fields) for id_, fields in _stream_rows(reply)]

    def documents(self, run_id: str) -> tuple[bytes, bytes]:
        """Return the compressed plan.json and canvas.json of a run.

        Raises:
            NotFound: No such run, or its keys have expired.
        """
        plan, canvas = self.connection.pipeline([("GET", run_key(run_id, "plan")), ("GET", run_key(run_id, "canvas"))])
        if plan is None or canvas is None:
            raise _no_such(run_id)
        return plan, canvas

    def active(self) -> list[str]:
        """See `RunStore.active`."""
        return sorted(run.decode() for run in self.connection.call("SMEMBERS", ACTIVE))

    def listed(self) -> list[str]:
        """Return all known runs, newest first; runs whose keys have expired are forgotten on the way."""
        runs = [run.decode() for run in self.connection.call("ZREVRANGE", RUNS, 0, -1)]
        there = self.connection.pipeline([("EXISTS", run_key(run, "meta")) for run in runs]) if runs else []
        gone = [run for run, exists in zip(runs, there, strict=True) if not exists]
        if gone:
            self.connection.call("ZREM", RUNS, *gone)
        return [run for run in runs if run not in set(gone)]

    def states(self, run_id: str) -> dict[int, str]:
        """Return the state letter and attempt of every task that is no longer waiting."""
        flat = self.connection.call("HGETALL", run_key(run_id, "state"))
        return {int(index): state for index, state in _text_map(flat).items()}

    def _run(self, script: str, run_id: str, arguments: Sequence[Any]) -> Any:
        return self.connection.script(script, run_prefix(run_id), arguments)


def _meta(program: Program, *, submitted_us: int) -> dict[str, Any]:
    """Return the meta hash of a stored run."""
    options = program.options
    ended = Counter(TaskState.decode(task.state).status for task in program.tasks if task.state)
    ended[TaskStatus.SATISFIED] = sum(task.is_satisfied for task in program.tasks)
    always = {
        "run": program.run_id,
        "status": "pending",
        "tasks": len(program.tasks),
        "left": len(program.tasks) - ended.total(),
        **{str(status): count for status, count in ended.items()},
        "template": program.template,
        "source": program.source,
        "digest": program.digest,
        "head": program.head.head,
        "head_key": program.head.key,
        "head_signature": program.head.signature,
        "fail_fast": int(options.fail_fast),
        "dry_run": int(options.dry_run),
        "batch_max": options.batch_max,
        "batch_target_us": int(options.batch_target_s * 1e6),
        "lost_max": options.lost_max,
        "retention_s": options.retention_s,
        "output_limit": options.output_limit_bytes,
        "submitted_us": submitted_us,
    }
    sometimes = {
        "timeout_us": int((options.timeout_s or 0) * 1e6),
        "deadline_at_us": int((options.deadline_at or 0) * 1e6),
        "has_policies": int(any(task.policy for task in program.tasks)),
        "has_tried": int(any(task.attempts_before for task in program.tasks)),
        "is_continued": int(program.is_continued),
    }
    return always | {name: value for name, value in sometimes.items() if value}


def _kept_of(task: ProgramTask) -> Iterator[tuple[str, Any]]:
    """Yield what is kept of a task: the names of hashes, and its value there."""
    if task.is_satisfied:
        yield "state", _SATISFIED
    elif task.state:
        yield "state", task.state
    if not task.is_satisfied:
        yield "task", task.dispatch
        yield "spec", task.spec
    if task.pending:
        yield "pending", task.pending
    if task.successors:
        yield "successors", ",".join(map(str, task.successors))
    for name in ("reused", "result", "policy"):
        if value := getattr(task, name):
            yield name, value
    if task.attempts_before:
        yield "tried", task.attempts_before


def retry_refused(code: int, indexes: Sequence[int]) -> TasksBusy | TasksBlocked:
    """Return why tasks cannot run again, by the code of `retry.lua`."""
    if code == 1:
        return TasksBusy("tasks are held, queued or run", indexes=indexes, hint="wait for them, or stop the run first")
    hint = "have what they depend on run again as well, or use --failed"
    return TasksBlocked("tasks depend on something that has not succeeded", indexes=indexes, hint=hint)


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


def _stream_rows(reply: Any) -> Iterator[tuple[str, dict[str, bytes]]]:
    for _, rows in reply.items() if isinstance(reply, Mapping) else (reply or ()):
        for id_, fields in rows:
            pairs = fields.items() if isinstance(fields, Mapping) else zip(fields[::2], fields[1::2], strict=True)
            yield _text(id_), {_text(name): value for name, value in pairs}
