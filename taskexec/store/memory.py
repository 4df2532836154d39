"""The store of runs in memory: the twin of `RedisRunStore` for simulators and tests, with the same behaviour and log.

Nothing survives the process and there is no Celery: what would be pushed to a Redis list lies in `queues`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskexec.domain import rules
from taskexec.domain.events import LogEntry
from taskexec.domain.program import Claim, ClaimedMember, Completion, Member, Program, RunHead
from taskexec.domain.rules import ClaimVerdict, CompletionVerdict, TaskState
from taskexec.domain.states import RunStatus, TaskStatus, run_outcome
from taskexec.errors import NotFound
from taskexec.store.runs import lease_name

__all__ = ["MemoryRunStore", "PublishedMessage"]

_START_SLICE = 1000
_LAPSED_MOST = 100
_POPPED_MOST = 500
_LOG_MOST = 1000
_OUTPUT_MOST = 100


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """What a Celery message of ours says, without its wrapping."""

    id: str
    """Celery id: `<run>.<index>` for one member, `<run>.b<n>` for a batch."""
    run_id: str
    members: tuple[Member, ...]
    route: str
    agent: str
    label: str
    """What people see, as JSON text without its quotes."""
    queued_us: int
    """Time it was published, microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _Dispatch:
    list_key: str
    route: str
    agent: str
    retries: int
    label: str

    @classmethod
    def parse(cls, record: str) -> _Dispatch:
        list_key, route, agent, retries, label = record.split("\t", 4)
        return cls(list_key, route, agent, int(retries), label)


@dataclass(slots=True)
class _Run:
    """What Redis keeps under the keys of one run; the fields are named as the keys are."""

    program: Program
    dispatches: list[_Dispatch]
    pending: dict[int, int]
    submitted_us: int
    state: dict[int, TaskState] = field(default_factory=dict)
    queued: dict[int, int] = field(default_factory=dict)
    lease: dict[str, int] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    result: dict[int, bytes] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    output: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    average_us: dict[str, int] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    status: RunStatus = RunStatus.PENDING
    stopping: bool = False
    batches: int = 0
    reaped_us: int = 0
    calm_us: int = 0
    started_us: int | None = None
    finished_us: int | None = None
    expires_us: float = float("inf")

    @property
    def left(self) -> int:
        return len(self.program.tasks) - sum(self.count.values())


class _Change:
    """One atomic change of a run, as one script call is; the methods are those of `lua/prelude.lua`."""

    def __init__(self, store: MemoryRunStore, run: _Run, worker: str) -> None:
        self.store = store
        self.run = run
        self.worker = worker
        self.now = store.clock()
        self.lines: list[str] = []
        self.ready: list[Member] = []
        self.ends_tasks = False

    def write_line(self, letter: str, index: int | str, attempt: int, rest: bytes | None = None) -> None:
        self.lines.append(f"{letter} {index} {attempt}" + ("" if rest is None else f" {rest.decode()}"))

    def settle(self, index: int, state: TaskState) -> None:
        """Give a task its final state and count it."""
        self.run.state[index] = state
        self.run.count[state.status] += 1
        self.ends_tasks = True

    def cancel(self, index: int, state: TaskState) -> None:
        self.settle(index, state)
        self.write_line("C", index, state.attempt)

    def cancel_all(self, *, running: bool) -> None:
        run = self.run
        run.stopping = True
        for index in range(len(run.program.tasks)):
            state = rules.cancelled_state(run.state.get(index), running=running)
            if state is not None:
                self.cancel(index, state)
        run.queued.clear()
        if running:
            run.lease.clear()
        self.ends_tasks = True

    def fail(self, index: int, attempt: int, record: bytes) -> None:
        run = self.run
        self.settle(index, TaskState(TaskStatus.FAILED, attempt))
        self.write_line("F", index, attempt, record)
        skipped = rules.skipped_after(
            index, successors_of=lambda before: run.program.tasks[before].successors, settled=run.state
        )
        for successor in skipped:
            self.settle(successor, TaskState(TaskStatus.SKIPPED, 0))
            self.write_line("X", successor, index)
        if run.program.options.fail_fast and not run.stopping:
            self.cancel_all(running=False)

    def lose(self, index: int, attempt: int, record: bytes) -> None:
        self.write_line("L", index, attempt, record)
        self.run.lost[index] += 1
        if rules.is_lost_for_good(self.run.lost[index], lost_max=self.run.program.options.lost_max):
            self.fail(index, attempt, record)
        else:
            self.ready.append(Member(index, attempt + 1))

    def end_lease(self, lease: str, record: bytes) -> bool:
        """End a lease, and with it the attempt that it was for; return whether that one still ran."""
        index, attempt, _ = lease.split("|", 2)
        del self.run.lease[lease]
        if self.run.state.get(int(index)) != TaskState(TaskStatus.RUNNING, int(attempt)):
            return False
        self.lose(int(index), int(attempt), record)
        return True

    def succeed(self, done: Completion) -> None:
        """Record a success; the latches behind it are counted down by `open_latches`."""
        index, attempt = done.member.index, done.member.attempt
        self.settle(index, TaskState(TaskStatus.SUCCEEDED, attempt))
        self.write_line("S", index, attempt, done.record)
        if done.result:
            self.run.result[index] = done.result

    def open_latches(self, succeeded: Iterable[int]) -> None:
        """Count down the latches behind tasks that succeeded, and queue those that open."""
        run = self.run
        opened = []
        for index in succeeded:
            for successor in run.program.tasks[index].successors:
                run.pending[successor] -= 1
                if run.pending[successor] == 0:
                    opened.append(successor)
        self.ready += [Member(index, 1) for index in opened if index not in run.state]

    def requeue_popped(self, before_us: int) -> int:
        run = self.run
        candidates = sorted(
            (item for item in run.queued.items() if item[1] <= before_us), key=lambda item: (item[1], str(item[0]))
        )
        count = 0
        for index, queued_us in candidates[:_POPPED_MOST]:
            waiting = self.store.queues.get(run.dispatches[index].list_key)
            oldest = waiting[0].queued_us if waiting else float("inf")
            state = run.state.get(index)
            if rules.is_popped(queued_us, oldest) and state and state.status is TaskStatus.QUEUED:
                self.ready.append(Member(index, state.attempt))
                count += 1
        return count

    def push(self) -> None:
        """Queue everything in `ready`, or cancel it in a run that is being stopped."""
        if self.run.stopping:
            for member in self.ready:
                self.cancel(member.index, TaskState(TaskStatus.CANCELLED, member.attempt - 1))
            return
        groups: dict[tuple[str, str], list[Member]] = {}
        for member in self.ready:
            self.run.state[member.index] = TaskState(TaskStatus.QUEUED, member.attempt)
            self.run.queued[member.index] = self.now
            self.write_line("Q", member.index, member.attempt)
            dispatch = self.run.dispatches[member.index]
            groups.setdefault((dispatch.list_key, dispatch.agent), []).append(member)
        for group in groups.values():
            size = self._batch_size(group)
            for first in range(0, len(group), size):
                self._publish(group[first : first + size])

    def _batch_size(self, group: Sequence[Member]) -> int:
        first, options = self.run.dispatches[group[0].index], self.run.program.options
        return rules.batch_size(
            len(group),
            slots=self.store.slots.get(first.route, 1),
            each_us=self.run.average_us.get(first.agent, 0),
            target_us=int(options.batch_target_s * 1e6),
            most=options.batch_max,
        )

    def _publish(self, members: Sequence[Member]) -> None:
        run, dispatch = self.run, self.run.dispatches[members[0].index]
        name, label = str(members[0].index), dispatch.label
        if len(members) > 1:
            run.batches += 1
            name, label = f"b{run.batches}", f"{len(members)} tasks from {label}"
        message = PublishedMessage(
            id=f"{run.program.run_id}.{name}",
            run_id=run.program.run_id,
            members=tuple(members),
            route=dispatch.route,
            agent=dispatch.agent,
            label=label,
            queued_us=self.now,
        )
        self.store.queues.setdefault(dispatch.list_key, []).append(message)

    def finish(self) -> None:
        """End the change: push, close the run when nothing is left, write the log entry."""
        run = self.run
        self.push()
        if self.ends_tasks and run.left == 0 and run.status is RunStatus.RUNNING:
            run.status = run_outcome(failed=run.count[TaskStatus.FAILED], cancelled=run.count[TaskStatus.CANCELLED])
            run.finished_us = self.now
            self.write_line("E", str(run.status), 0)
        if self.lines:
            entry_id = _next_id(run.log[-1].id if run.log else "", self.now)
            run.log.append(LogEntry(entry_id, self.now, self.worker, "\n".join(self.lines)))
            self.store.changed.notify_all()
        if self.ends_tasks and run.finished_us is not None:
            run.expires_us = self.now + run.program.options.retention_s * 1_000_000


class MemoryRunStore:
    """`RunStore` in the memory of one process; safe to share between threads.

    Every method is one atomic change, under one lock. Runs are forgotten `retention_s` after their end.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        """Begin with no runs.

        Args:
            clock: Server time in microseconds since the epoch; the system's when not given.
        """
        self.clock = clock or _system_clock
        self.changed = threading.Condition(threading.RLock())
        """Held during every change, and notified when a log grows."""
        self.queues: dict[str, list[PublishedMessage]] = {}
        """Messages by list key, oldest first, until somebody takes them."""
        self.slots: dict[str, int] = {}
        """Slots of live workers by route, which batches are sized by; a route that is not there has one."""
        self.celery_results: dict[str, bytes | str] = {}
        """Celery results by key, as completions brought them."""
        self._runs: dict[str, _Run] = {}

    def take(self, list_key: str) -> PublishedMessage | None:
        """Take the oldest message off a list, as a worker does; None when it is empty."""
        with self.changed:
            waiting = self.queues.get(list_key)
            return waiting.pop(0) if waiting else None

    def put(self, program: Program) -> None:
        """Store a program; its run is then `pending`."""
        with self.changed:
            self._runs[program.run_id] = _Run(
                program=program,
                dispatches=[_Dispatch.parse(task.dispatch) for task in program.tasks],
                pending={index: task.pending for index, task in enumerate(program.tasks)},
                submitted_us=self.clock(),
            )

    def start(self, run_id: str) -> None:
        """Queue what waits for nothing.

        Raises:
            NotFound: No such run.
        """
        with self.changed:
            run = self._known(run_id)
            roots = [index for index, task in enumerate(run.program.tasks) if not task.pending]
            for first in range(0, max(len(roots), 1), _START_SLICE):
                self._start_slice(run, roots[first : first + _START_SLICE])

    def _start_slice(self, run: _Run, roots: Sequence[int]) -> None:
        change = _Change(self, run, "")
        if run.status is RunStatus.PENDING:
            run.status, run.started_us = RunStatus.RUNNING, change.now
            change.write_line("A", 0, 0)
        if run.status is RunStatus.RUNNING and not run.stopping:
            change.ready += [Member(index, 1) for index in roots if index not in run.state]
        change.finish()

    def claim(self, run_id: str, members: Sequence[Member], *, worker: str, token: str, lease_s: float) -> Claim:
        """Win members of a message, each with a lease of `lease_s` seconds."""
        with self.changed:
            run = self._find(run_id)
            if run is None:
                return Claim(self.clock(), (), {})
            change = _Change(self, run, worker)
            claimed = []
            for member in dict.fromkeys(members):
                lease = lease_name(member, token)
                verdict = rules.judge_claim(run.state.get(member.index), member.attempt, holds_lease=lease in run.lease)
                if verdict is ClaimVerdict.REFUSED:
                    continue
                if verdict is ClaimVerdict.GRANTED:
                    run.state[member.index] = TaskState(TaskStatus.RUNNING, member.attempt)
                    run.queued.pop(member.index, None)
                    change.write_line("R", member.index, member.attempt)
                run.lease[lease] = change.now + int(lease_s * 1e6)
                claimed.append(_read_spec(run, member))
            change.finish()
            wanted = {index for member in claimed for index in member.dependencies}
            results = {index: run.result[index] for index in wanted if index in run.result}
            return Claim(change.now, tuple(claimed), results)

    def renew(self, run_id: str, leases: Sequence[str], *, lease_s: float) -> list[int]:
        """Renew leases (`lease_name`); return the positions of those no longer held."""
        with self.changed:
            run = self._find(run_id)
            held: dict[str, int] = {} if run is None else run.lease
            until = self.clock() + int(lease_s * 1e6)
            held.update((lease, until) for lease in leases if lease in held)
            return [position for position, lease in enumerate(leases) if lease not in held]

    def complete(
        self, run_id: str, completions: Sequence[Completion], *, worker: str, agent: str, spent_s: float
    ) -> list[bool]:
        """Complete attempts; return, for each, whether it was accepted (else another attempt owns the task)."""
        with self.changed:
            run = self._find(run_id)
            if run is None:
                return [False] * len(completions)
            change = _Change(self, run, worker)
            accepted, succeeded = [], []
            for done in completions:
                verdict = self._complete_one(change, done)
                accepted.append(verdict is not CompletionVerdict.LATE)
                if verdict is CompletionVerdict.ACCEPTED and done.succeeded:
                    succeeded.append(done.member.index)
            change.open_latches(succeeded)
            change.ends_tasks = True
            spent_us = int(spent_s * 1e6)
            if spent_us > 0 and succeeded:
                known = run.average_us.get(agent, 0)
                run.average_us[agent] = rules.average_duration(known, spent_us / len(succeeded))
            change.finish()
            return accepted

    def _complete_one(self, change: _Change, done: Completion) -> CompletionVerdict:
        run, index, attempt = change.run, done.member.index, done.member.attempt
        verdict = rules.judge_completion(run.state.get(index), attempt, succeeded=done.succeeded)
        if verdict is CompletionVerdict.LATE:
            change.write_line("D", index, attempt, done.record)
        if verdict is not CompletionVerdict.ACCEPTED:
            return verdict
        run.lease.pop(lease_name(done.member, done.token), None)
        tries_again = not done.succeeded and rules.gets_another_try(
            attempt, lost=run.lost[index], retries=run.dispatches[index].retries
        )
        if done.celery_key:
            self.celery_results[done.celery_key] = done.celery_retry if tries_again else done.celery_result
        if done.succeeded:
            change.succeed(done)
        elif tries_again:
            run.state[index] = TaskState(TaskStatus.QUEUED, attempt + 1)
            change.write_line("T", index, attempt, done.record)
            change.ready.append(Member(index, attempt + 1))
        else:
            change.fail(index, attempt, done.record)
        return verdict

    def release(self, run_id: str, members: Sequence[Member], *, worker: str, token: str) -> int:
        """Give back members that were claimed and not started; return how many."""
        with self.changed:
            run = self._find(run_id)
            if run is None:
                return 0
            change = _Change(self, run, worker)
            for member in members:
                held = run.lease.pop(lease_name(member, token), None) is not None
                if held and run.state.get(member.index) == TaskState(TaskStatus.RUNNING, member.attempt):
                    change.write_line("B", member.index, member.attempt)
                    change.ready.append(member)
            change.finish()
            return len(change.ready)

    def lose(self, run_id: str, members: Sequence[Member], *, worker: str, record: bytes) -> int:
        """End attempts that were lost with their process: these members, or all of the worker's when empty."""
        with self.changed:
            run = self._find(run_id)
            if run is None:
                return 0
            change = _Change(self, run, worker)
            names = {f"{member.index}|{member.attempt}" for member in members}
            count = 0
            for lease in _by_time(run.lease):
                is_meant = not members or lease.rsplit("|", 1)[0] in names
                if f"|{worker}/" in lease and is_meant:
                    count += change.end_lease(lease, record)
            lost = {member.index for member in change.ready}
            for member in members:
                is_queued = run.state.get(member.index) == TaskState(TaskStatus.QUEUED, member.attempt)
                if is_queued and member.index not in lost:
                    change.ready.append(member)
                    count += 1
            if not members:
                count += change.requeue_popped(change.now)
            change.finish()
            return count

    def reap(self, run_id: str, *, worker: str, lease_s: float, record: bytes) -> tuple[int, int]:
        """End lapsed leases, queue again what was popped and never claimed; return how many of each.

        Ends nothing for one lease after a gap between rounds longer than a lease.
        """
        with self.changed:
            run = self._find(run_id)
            if run is None:
                return 0, 0
            change = _Change(self, run, worker)
            lease_us = int(lease_s * 1e6)
            run.calm_us = rules.calm_until(change.now, last_us=run.reaped_us, calm_us=run.calm_us, lease_us=lease_us)
            run.reaped_us = change.now
            if change.now < run.calm_us:
                return 0, 0
            lapsed = [lease for lease in _by_time(run.lease) if run.lease[lease] <= change.now]
            ended = sum(change.end_lease(lease, record) for lease in lapsed[:_LAPSED_MOST])
            requeued = change.requeue_popped(change.now - lease_us)
            change.finish()
            return ended, requeued

    def stop(self, run_id: str, *, kill: bool) -> str:
        """Cancel what has not started, with `kill` what runs as well; return the run's status.

        Raises:
            NotFound: No such run.
        """
        with self.changed:
            run = self._known(run_id)
            change = _Change(self, run, "")
            if run.status is RunStatus.PENDING:
                run.status, run.started_us = RunStatus.RUNNING, change.now
            if run.status is RunStatus.RUNNING:
                change.cancel_all(running=kill)
            change.finish()
            return str(run.status)

    def head(self, run_id: str) -> RunHead:
        """Return where the run stands.

        Raises:
            NotFound: No such run.
        """
        with self.changed:
            run = self._known(run_id)
            return RunHead(
                run_id=run_id,
                status=str(run.status),
                tasks=len(run.program.tasks),
                left=run.left,
                succeeded=run.count[TaskStatus.SUCCEEDED],
                failed=run.count[TaskStatus.FAILED],
                skipped=run.count[TaskStatus.SKIPPED],
                cancelled=run.count[TaskStatus.CANCELLED],
                source=run.program.source,
                digest=run.program.digest,
                dry_run=run.program.options.dry_run,
                submitted_at=run.submitted_us / 1e6,
                started_at=None if run.started_us is None else run.started_us / 1e6,
                finished_at=None if run.finished_us is None else run.finished_us / 1e6,
            )

    def read_log(self, run_id: str, after: str = "0", *, wait_s: float = 0.0) -> list[LogEntry]:
        """Return entries after an entry id, oldest first; wait up to `wait_s` (of real time) for the first one."""

        def entries() -> list[LogEntry]:
            run = self._find(run_id)
            later = [] if run is None else [entry for entry in run.log if _order(entry.id) > _order(after)]
            return later[:_LOG_MOST]

        with self.changed:
            found = entries()
            if not found and wait_s > 0:
                self.changed.wait_for(entries, timeout=wait_s)
                found = entries()
            return found

    def read_output(self, run_id: str, after: str = "0") -> list[tuple[str, dict[str, bytes]]]:
        """Return chunks of evidence after an entry id, oldest first, at most some hundred."""
        with self.changed:
            run = self._find(run_id)
            rows = [] if run is None else [row for row in run.output if _order(row[0]) > _order(after)]
            return rows[:_OUTPUT_MOST]

    def append_output(self, run_id: str, fields: Mapping[str, Any]) -> None:
        """Append one chunk of evidence; repeating it is harmless (chunks name their offset)."""
        with self.changed:
            run = self._find(run_id)
            if run is not None:
                entry_id = _next_id(run.output[-1][0] if run.output else "", self.clock())
                run.output.append((entry_id, {name: _to_bytes(value) for name, value in fields.items()}))

    def documents(self, run_id: str) -> tuple[bytes, bytes]:
        """Return the compressed plan.json and canvas.json of a run.

        Raises:
            NotFound: No such run, or it was forgotten.
        """
        with self.changed:
            program = self._known(run_id).program
            return program.plan, program.canvas

    def active(self) -> list[str]:
        """Return the runs that are started and not ended."""
        with self.changed:
            return sorted(run_id for run_id, run in self._runs.items() if run.status is RunStatus.RUNNING)

    def listed(self) -> list[str]:
        """Return all known runs, newest first."""
        with self.changed:
            there = [(run.submitted_us, run_id) for run_id, run in self._runs.items() if self._find(run_id)]
            return [run_id for _, run_id in sorted(there, reverse=True)]

    def states(self, run_id: str) -> dict[int, str]:
        """Return the state letter and attempt of every task that is no longer waiting."""
        with self.changed:
            run = self._find(run_id)
            return {} if run is None else {index: state.encode() for index, state in run.state.items()}

    def leases(self, run_id: str) -> dict[str, int]:
        """Return the leases that are held (`lease_name`) and when they lapse, microseconds since the epoch."""
        with self.changed:
            run = self._find(run_id)
            return {} if run is None else dict(run.lease)

    def _find(self, run_id: str) -> _Run | None:
        run = self._runs.get(run_id)
        return None if run is None or self.clock() >= run.expires_us else run

    def _known(self, run_id: str) -> _Run:
        run = self._find(run_id)
        if run is None:
            raise NotFound(f"there is no run `{run_id}`", hint="`tek runs` lists the runs that the server knows")
        return run


def _system_clock() -> int:
    return time.time_ns() // 1000


def _read_spec(run: _Run, member: Member) -> ClaimedMember:
    dependencies, spec = run.program.tasks[member.index].spec.split(b"\n", 1)
    indexes = tuple(int(index) for index in dependencies.split(b",") if index)
    return ClaimedMember(member, indexes, spec)


def _by_time(leases: Mapping[str, int]) -> list[str]:
    """Return leases as a sorted set of Redis keeps them: by time, then by name."""
    return sorted(leases, key=lambda lease: (leases[lease], lease))


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _next_id(last: str, now_us: int) -> str:
    """Return a stream id that is greater than the last one, as Redis gives them: milliseconds and a number."""
    milliseconds, number = _order(last) if last else (0, -1)
    if now_us // 1000 > milliseconds:
        return f"{now_us // 1000}-0"
    return f"{milliseconds}-{number + 1}"


def _to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
