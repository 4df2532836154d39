"""One run in memory and one atomic change of it: what the scripts in `store/lua/` do, on plain dictionaries.

The shapes follow the keys of a run (`store/keys.py`) and the functions of `lua/prelude.lua`; decisions are
those of `domain/rules.py`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from taskexec.domain import rules
from taskexec.domain.again import RetryPlan, is_done
from taskexec.domain.events import LogEntry
from taskexec.domain.fate import Failure, fate_after, is_last_chance, time_left_us
from taskexec.domain.program import ClaimedMember, Completion, Member, Program
from taskexec.domain.proof import Seal
from taskexec.domain.retry import AttemptPolicy
from taskexec.domain.rules import CompletionVerdict, TaskState
from taskexec.domain.states import LOST_REASONS, Reason, RunStatus, TaskStatus, run_outcome
from taskexec.store.port import lease_name

__all__ = ["MemoryRun", "PublishedMessage", "RunChange", "Surroundings", "next_id"]

_REASON = re.compile(rb'"reason":"([a-z_]+)"')
_LOOKED_AT_MOST = 500
"""Queued tasks that one round looks at, twice: the oldest and some others (`MANY` in `lua/prelude.lua`)."""


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


@dataclass(slots=True)
class Surroundings:
    """What all runs of a store share."""

    queues: dict[str, list[PublishedMessage]] = field(default_factory=dict)
    """Messages by list key, oldest first, until somebody takes them."""
    slots: dict[str, int] = field(default_factory=dict)
    """Slots of live workers by route; a route that is not there has one."""
    celery_results: dict[str, bytes | str] = field(default_factory=dict)
    """Celery results by key, as completions brought them."""


@dataclass(frozen=True, slots=True)
class _Dispatch:
    """A dispatch record, see `ProgramTask.dispatch`."""

    list_key: str
    route: str
    agent: str
    label: str


@dataclass(slots=True)
class MemoryRun:
    """What Redis keeps under the keys of one run; the fields are named as those keys are."""

    program: Program
    submitted_us: int
    dispatches: dict[int, _Dispatch] = field(default_factory=dict)
    """Where messages for each task that is performed go, read from the program."""
    pending: list[int] = field(init=False)
    """Dependencies of each task that have not succeeded: the latches."""
    state: dict[int, TaskState] = field(default_factory=dict)
    queued: dict[int, int] = field(default_factory=dict)
    delayed: dict[int, int] = field(default_factory=dict)
    suspects: dict[int, int] = field(default_factory=dict)
    trial: Member | None = None
    """The attempt on trial, of those that have lost all others; None when there is none."""
    policy: dict[int, AttemptPolicy] = field(default_factory=dict)
    """When each task that is performed is tried again, read from the program."""
    tried: Counter[int] = field(default_factory=Counter)
    first: dict[int, int] = field(default_factory=dict)
    starved: Counter[int] = field(default_factory=Counter)
    lease: dict[str, int] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    result: dict[int, bytes] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    output: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    output_bytes: int = 0
    average_us: dict[str, int] = field(default_factory=dict)
    """Measured duration of a task, by agent."""
    count: Counter[TaskStatus] = field(default_factory=Counter)
    """Tasks that have ended, by status."""
    status: RunStatus = RunStatus.PENDING
    is_stopping: bool = False
    is_expired: bool = False
    deadline_us: int | None = None
    """When the run's time is up; None never."""
    deadline_at_us: int | None = None
    """Instant at which it is up whenever it starts; None never."""
    retry_request: str = ""
    """The request that had tasks run again last."""
    retried: tuple[int, ...] = ()
    """What it came to."""
    batches: int = 0
    reaped_us: int = 0
    calm_us: int = 0
    looked: int = 0
    """How far the turn of `_long_queued` has come."""
    started_us: int | None = None
    finished_us: int | None = None
    expires_us: float = math.inf
    """When the run is forgotten."""

    def __post_init__(self) -> None:
        """Read what the program says of each task."""
        for index, task in enumerate(self.program.tasks):
            if task.is_satisfied:
                self._settle(index, TaskState(TaskStatus.SATISFIED, 0))
            else:
                self.dispatches[index] = _Dispatch(*task.dispatch.split("\t", 3))
                self.policy[index] = AttemptPolicy.decode(task.policy)
            if task.state:
                self._settle(index, TaskState.decode(task.state))
            if task.result:
                self.result[index] = task.result
            self.tried[index] = task.attempts_before
        self.pending = [task.pending for task in self.program.tasks]
        deadline_at = self.program.options.deadline_at
        self.deadline_at_us = None if deadline_at is None else int(deadline_at * 1e6)

    def _settle(self, index: int, state: TaskState) -> None:
        """Give a task its state from the start."""
        self.state[index] = state
        self.count[state.status] += 1

    def before(self, index: int) -> tuple[int, ...]:
        """Return the tasks that a task depends on, as its spec says."""
        indexes = self.program.tasks[index].spec.partition(b"\n")[0]
        return tuple(int(one) for one in indexes.split(b",") if one)

    def behind(self, index: int) -> tuple[int, ...]:
        """Return the tasks that depend on a task."""
        return self.program.tasks[index].successors

    def next_due_us(self) -> int | None:
        """Return when the next delay is over or the run's time is up; None when nothing is due."""
        due = list(self.delayed.values())
        if self.deadline_us is not None and self.status is RunStatus.RUNNING:
            due.append(self.deadline_us)
        return min(due, default=None)

    def is_overdue(self, now_us: int) -> bool:
        """Return whether the time of the run is up: nothing more starts."""
        return self.deadline_us is not None and now_us >= self.deadline_us

    def new_deadline_us(self, now_us: int) -> int | None:
        """Return when the run's time is up if it starts now."""
        timeout_s = self.program.options.timeout_s
        ends = [] if timeout_s is None else [now_us + int(timeout_s * 1e6)]
        if self.deadline_at_us is not None:
            ends.append(self.deadline_at_us)
        return min(ends, default=None)

    @property
    def has_log(self) -> bool:
        """Whether its log has begun: with the head, also that of a further life."""
        return self.status is not RunStatus.PENDING

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return len(self.program.tasks) - self.count.total()

    def is_running(self, member: Member) -> bool:
        """Return whether this very attempt runs."""
        return self.state.get(member.index) == TaskState(TaskStatus.RUNNING, member.attempt)

    def is_queued(self, member: Member) -> bool:
        """Return whether this very attempt is queued."""
        return self.state.get(member.index) == TaskState(TaskStatus.QUEUED, member.attempt)


class RunChange:
    """One atomic change of a run, as one call of a script is; `finish` ends it."""

    def __init__(self, run: MemoryRun, surroundings: Surroundings, *, now_us: int, worker: str = "") -> None:
        self.run = run
        self.now_us = now_us
        self.ready: list[Member] = []
        """Attempts that `finish` queues, in order."""
        self.ends_tasks = False
        """Whether counters moved, so that the run may have ended."""
        self.seal: Seal | None = None
        """The worker's signature of the records that the change puts into the log."""
        self._shared = surroundings
        self._worker = worker
        self._lines: list[str] = []

    def write_line(self, letter: str, index: int | str, attempt: int, rest: bytes | None = None) -> None:
        """Write a line of the log, in the form of `lua/prelude.lua`."""
        self._lines.append(f"{letter} {index} {attempt}" + ("" if rest is None else f" {rest.decode()}"))

    def begin(self, *, starts: bool) -> None:
        """Make the stored run a started one; satisfied tasks enter the log, but in a further life of the run."""
        run, head = self.run, self.run.program.head
        run.status, run.started_us = RunStatus.RUNNING, self.now_us
        run.deadline_us = run.new_deadline_us(self.now_us)
        if head.head:
            self.write_line("U", 0, 0, b"\t".join((head.head, head.key.encode(), head.signature.encode())))
        if starts:
            self.write_line("A", 0, 0)
        self.ends_tasks = True
        for index in () if run.program.is_continued else sorted(run.state):
            if run.state[index].status is TaskStatus.SATISFIED:
                self.write_line("P", index, 0, run.program.tasks[index].reused or None)

    def open(self, indexes: Iterable[int]) -> None:
        """Make tasks whose latches are open ready for their first attempt (of this life)."""
        self.ready += [Member(index, self.run.tried[index] + 1) for index in indexes]

    def expire(self) -> bool:
        """Stop the run if its time is up; return whether it was."""
        run = self.run
        if not run.is_overdue(self.now_us) or run.status is not RunStatus.RUNNING:
            return False
        run.is_expired = True
        self.write_line("K", 0, 0)
        self.cancel_all(running=True)
        return True

    def release_due(self) -> None:
        """Queue what is held and whose time has come."""
        due = sorted((at_us, str(index)) for index, at_us in self.run.delayed.items() if at_us <= self.now_us)
        for _, name in due[:_LOOKED_AT_MOST]:
            index = int(name)
            del self.run.delayed[index]
            state = self.run.state.get(index)
            if state is not None and state.status is TaskStatus.READY:
                self.ready.append(Member(index, state.attempt))

    def claimed(self, member: Member) -> ClaimedMember:
        """Return what a claim gives for a member that it has won."""
        run, policy = self.run, self.run.policy[member.index]
        if policy.budget_us:
            run.first.setdefault(member.index, self.now_us)
        left_us = time_left_us(policy, now_us=self.now_us, first_us=run.first.get(member.index, 0))
        return ClaimedMember(
            member,
            run.before(member.index),
            run.program.tasks[member.index].spec.partition(b"\n")[2],
            None if left_us is None else left_us / 1e6,
            policy.memory ** run.starved[member.index],
        )

    def renew(self, lease: str, lease_us: int) -> bool:
        """Renew a lease; return whether it is held. One that had lapsed and was not ended yet enters the log."""
        ends_us = self.run.lease.get(lease)
        if ends_us is None:
            return False
        self.run.lease[lease] = self.now_us + lease_us
        if ends_us < self.now_us:
            index, attempt, _ = lease.split("|", 2)
            self.write_line("N", index, int(attempt), str(self.now_us - ends_us).encode())
        return True

    def run_again(self, plan: RetryPlan, by: bytes, request: str) -> None:
        """Have tasks run again; the run goes on if it had ended, and a deadline that has passed no longer holds."""
        run = self.run
        run.retry_request, run.retried = request, plan.again
        if run.deadline_at_us is not None and run.deadline_at_us <= self.now_us:
            run.deadline_at_us = None
        self.write_line("O", 0, 0, by)
        for index in plan.again:
            state = run.state.pop(index)
            self.write_line("G", index, state.attempt)
            run.count[state.status] -= 1
            run.tried[index] = max(run.tried[index], state.attempt)
            run.lost[index] = run.starved[index] = 0
            run.result.pop(index, None)
            run.first.pop(index, None)
        for index in plan.reset:
            run.pending[index] = sum(not is_done(run.state.get(before)) for before in run.before(index))
        run.status, run.finished_us, run.is_stopping, run.is_expired = RunStatus.RUNNING, None, False, False
        run.expires_us, run.deadline_us = math.inf, run.new_deadline_us(self.now_us)
        self.ends_tasks = True
        self.open(sorted(index for index in plan.reset if not run.pending[index]))

    def _settle(self, index: int, state: TaskState) -> None:
        """Give a task its final state and count it."""
        self.run.state[index] = state
        self.run.count[state.status] += 1
        self.ends_tasks = True

    def _cancel(self, index: int, state: TaskState) -> None:
        self._settle(index, state)
        self.write_line("C", index, state.attempt)

    def cancel_all(self, *, running: bool) -> None:
        """Cancel what has not started, with `running` what has; nothing is queued in this run any more."""
        run = self.run
        run.is_stopping = True
        for index in range(len(run.program.tasks)):
            state = rules.cancelled_state(run.state.get(index), running=running)
            if state is not None:
                self._cancel(index, state)
        run.queued.clear()
        run.delayed.clear()
        run.suspects.clear()
        if running:
            run.lease.clear()
        self.ends_tasks = True

    def _fail(self, index: int, attempt: int, record: bytes) -> None:
        run = self.run
        self._settle(index, TaskState(TaskStatus.FAILED, attempt))
        self.write_line("F", index, attempt, record)
        skipped = rules.skipped_after(
            index, successors_of=lambda before: run.program.tasks[before].successors, settled=run.state
        )
        for successor in skipped:
            self._settle(successor, TaskState(TaskStatus.SKIPPED, 0))
            self.write_line("X", successor, index)
        if run.program.options.fail_fast and not run.is_stopping:
            self.cancel_all(running=False)

    def _delay_after(self, member: Member, reason: str, exit_status: int | None) -> int | None:
        """Return the microseconds until the attempt after one that did not succeed; None when the task has failed."""
        run, index = self.run, member.index
        if reason in LOST_REASONS:
            run.lost[index] += 1
        if reason == Reason.OUT_OF_MEMORY:
            run.starved[index] += 1
        failure = Failure(
            run_id=run.program.run_id,
            index=index,
            attempt=member.attempt,
            reason=reason,
            exit_status=exit_status,
            before=run.tried[index],
            lost=run.lost[index],
            lost_max=run.program.options.lost_max,
            first_us=run.first.get(index, 0),
        )
        fate = fate_after(failure, run.policy[index], now_us=self.now_us)
        return fate.delay_us if fate.is_tried_again else None

    def _try_again(self, member: Member, delay_us: int) -> None:
        """Have a task tried again, with the attempt after this one, after a delay."""
        again = Member(member.index, member.attempt + 1)
        if delay_us == 0 or self.run.is_stopping:
            self.ready.append(again)
            return
        self.run.state[again.index] = TaskState(TaskStatus.READY, again.attempt)
        self.run.delayed[again.index] = self.now_us + delay_us
        self.write_line("H", again.index, again.attempt, str(self.now_us + delay_us).encode())

    def _lose(self, member: Member, record: bytes) -> None:
        self.write_line("L", member.index, member.attempt, record)
        found = _REASON.search(record)
        delay_us = self._delay_after(member, found[1].decode() if found else Reason.LOST_WORKER, None)
        lost, lost_max = self.run.lost[member.index], self.run.program.options.lost_max
        if delay_us is None:
            self._fail(member.index, member.attempt, record)
        elif is_last_chance(lost, lost_max=lost_max) and not self.run.is_stopping:
            self._put_on_trial(Member(member.index, member.attempt + 1))
        else:
            self._try_again(member, delay_us)

    def _put_on_trial(self, member: Member) -> None:
        """Queue an attempt that may be the last, or hold it while another one of these is at work."""
        run = self.run
        if run.trial is None:
            run.trial = member
            self.ready.append(member)
            return
        run.state[member.index] = TaskState(TaskStatus.READY, member.attempt)
        run.suspects[member.index] = self.now_us
        self.write_line("H", member.index, member.attempt)

    def _end_trial(self) -> None:
        """Queue the next suspect once the one on trial has ended, or is on another attempt by now."""
        run = self.run
        if run.trial is None:
            return
        coming = [member for member in self.ready if member.index == run.trial.index]
        if run.trial in coming or (not coming and (run.is_queued(run.trial) or run.is_running(run.trial))):
            return
        run.trial = None
        while run.suspects and run.trial is None:
            index = min(run.suspects, key=lambda one: (run.suspects[one], str(one)))
            del run.suspects[index]
            state = run.state.get(index)
            if state is not None and state.status is TaskStatus.READY:
                self._put_on_trial(Member(index, state.attempt))

    def end_lease(self, lease: str, record: bytes) -> bool:
        """End a lease, and with it the attempt that it was for; return whether that one still ran."""
        index, attempt, _ = lease.split("|", 2)
        member = Member(int(index), int(attempt))
        del self.run.lease[lease]
        if not self.run.is_running(member):
            return False
        self._lose(member, record)
        return True

    def complete(self, done: Completion) -> CompletionVerdict:
        """Record how an attempt ended; latches behind a success are counted down by `open_latches`."""
        run, index, attempt = self.run, done.member.index, done.member.attempt
        lease = lease_name(done.member, done.token)
        verdict = rules.judge_completion(
            run.state.get(index), attempt, succeeded=done.succeeded, holds_lease=lease in run.lease
        )
        if verdict is CompletionVerdict.LATE and run.has_log:
            self.write_line("D", index, attempt, done.record)
        if verdict is not CompletionVerdict.ACCEPTED:
            return verdict
        del run.lease[lease]
        delay_us = None if done.succeeded else self._delay_after(done.member, done.reason, done.exit_status)
        if done.celery_key:
            result = done.celery_result if delay_us is None else done.celery_retry
            self._shared.celery_results[done.celery_key] = result
        if delay_us is not None:
            self.write_line("T", index, attempt, done.record)
            self._try_again(done.member, delay_us)
        elif done.succeeded:
            self._settle(index, TaskState(TaskStatus.SUCCEEDED, attempt))
            self.write_line("S", index, attempt, done.record)
            if done.result:
                run.result[index] = done.result
        else:
            self._fail(index, attempt, done.record)
        return verdict

    def open_latches(self, succeeded: Iterable[int]) -> None:
        """Count down the latches behind tasks that succeeded, and queue those that open."""
        run = self.run
        opened = []
        for index in succeeded:
            for successor in run.program.tasks[index].successors:
                run.pending[successor] -= 1
                if run.pending[successor] == 0:
                    opened.append(successor)
        self.open(index for index in opened if index not in run.state)

    def requeue_popped(self, before_us: int) -> int:
        """Queue again what was queued by then, is in no list any more and was claimed by nobody; return how many."""
        run = self.run
        count = 0
        for index, queued_us in self._long_queued(before_us):
            waiting = self._shared.queues.get(run.dispatches[index].list_key)
            oldest = waiting[0].queued_us if waiting else math.inf
            state = run.state.get(index)
            if rules.is_popped(queued_us, oldest) and state and state.status is TaskStatus.QUEUED:
                self.ready.append(Member(index, state.attempt))
                count += 1
        return count

    def _long_queued(self, before_us: int) -> list[tuple[int, int]]:
        """Return queued tasks to look at: those that wait longest and, of a long backlog, others in turn."""
        old = [item for item in self.run.queued.items() if item[1] <= before_us]
        old.sort(key=lambda item: (item[1], str(item[0])))
        found = old[:_LOOKED_AT_MOST]
        if len(found) == _LOOKED_AT_MOST:
            first = self.run.looked + _LOOKED_AT_MOST
            others = old[first : first + _LOOKED_AT_MOST]
            self.run.looked = 0 if len(others) < _LOOKED_AT_MOST else first
            found += others
        return found

    def _push(self) -> None:
        """Queue everything in `ready`, or cancel it in a run that is being stopped."""
        if self.run.is_stopping:
            for member in self.ready:
                state = self.run.state.get(member.index)
                if state is None or state.status is not TaskStatus.CANCELLED:  # fail-fast may have, in this very change
                    self._cancel(member.index, TaskState(TaskStatus.CANCELLED, member.attempt - 1))
            return
        groups: dict[tuple[str, str, int], list[Member]] = {}
        for member in self.ready:
            self.run.state[member.index] = TaskState(TaskStatus.QUEUED, member.attempt)
            self.run.queued[member.index] = self.now_us
            self.write_line("Q", member.index, member.attempt)
            dispatch = self.run.dispatches[member.index]
            alone = member.index if self.run.lost[member.index] else -1  # it may be what kills its process
            groups.setdefault((dispatch.list_key, dispatch.agent, alone), []).append(member)
        for group in groups.values():
            size = self._batch_size(group)
            for first in range(0, len(group), size):
                self._publish(group[first : first + size])

    @property
    def _target_us(self) -> int:
        return int(self.run.program.options.batch_target_s * 1e6)

    def _batch_size(self, group: Sequence[Member]) -> int:
        first, options = self.run.dispatches[group[0].index], self.run.program.options
        return rules.batch_size(
            len(group),
            slots=self._shared.slots.get(first.route, 1),
            waiting=len(self._shared.queues.get(first.list_key, ())),
            each_us=self.run.average_us.get(first.agent, 0),
            target_us=self._target_us,
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
            queued_us=self.now_us,
        )
        self._shared.queues.setdefault(dispatch.list_key, []).append(message)

    def measure(self, agent: str, *, spent_us: int, tasks: int) -> None:
        """Take in how long an agent spent on tasks that succeeded; batches are sized by it."""
        if spent_us > 0 and tasks > 0:
            known = self.run.average_us.get(agent, 0)
            self.run.average_us[agent] = rules.average_duration(known, spent_us / tasks)

    def give_back(self, members: Sequence[Member]) -> None:
        """Queue members again that were claimed and not started; what they stood behind is long."""
        for member in members:
            self.write_line("B", member.index, member.attempt)
        self.ready += members
        if members:
            agent, target_us = self.run.dispatches[members[-1].index].agent, self._target_us
            known = self.run.average_us.get(agent, 0)
            self.run.average_us[agent] = rules.duration_behind_a_long_one(known, target_us=target_us)

    def finish(self) -> None:
        """End the change: push, close the run when nothing is left, write the log entry."""
        run = self.run
        self._end_trial()
        self._push()
        if self.ends_tasks and run.left == 0 and run.status is RunStatus.RUNNING:
            run.status = run_outcome(
                failed=run.count[TaskStatus.FAILED],
                cancelled=run.count[TaskStatus.CANCELLED],
                is_expired=run.is_expired,
            )
            run.finished_us = self.now_us
            self.write_line("E", str(run.status), 0)
        if self._lines:
            entry_id = next_id(run.log[-1].id if run.log else "", self.now_us)
            run.log.append(LogEntry(entry_id, self.now_us, self._worker, "\n".join(self._lines), self.seal))
        if self.ends_tasks and run.finished_us is not None:
            run.expires_us = self.now_us + run.program.options.retention_s * 1_000_000


def next_id(last: str, now_us: int) -> str:
    """Return a stream id that is greater than the last one, as Redis gives them: milliseconds and a number."""
    milliseconds, number = (int(part) for part in last.split("-")) if last else (0, -1)
    if now_us // 1000 > milliseconds:
        return f"{now_us // 1000}-0"
    return f"{milliseconds}-{number + 1}"
