"""One atomic change of a run in memory: what a call of a script in `store/lua/` does.

The methods follow the functions of `lua/attempts.lua`, `lua/placing.lua` and `lua/gangs.lua`; decisions are those of
the pure rules in `domain`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from taskexec.domain import rules
from taskexec.domain.again import RetryPlan, is_done
from taskexec.domain.counts import EXPIRED, LATE, attempts_counter, runs_counter, tasks_counter
from taskexec.domain.fate import Failure, fate_after, is_last_chance, time_left_us
from taskexec.domain.program import ClaimedMember, Completion, Member
from taskexec.domain.proof import Seal
from taskexec.domain.resources import Route
from taskexec.domain.rules import CompletionVerdict, TaskState
from taskexec.domain.states import LOST_REASONS, Reason, RunStatus, TaskStatus, run_outcome
from taskexec.store.memory_placing import Placing
from taskexec.store.memory_run import MemoryRun, PublishedMessage, Surroundings
from taskexec.store.port import lease_name

__all__ = ["RunChange"]

_REASON = re.compile(rb'"reason":"([a-z_]+)"')
_LOOKED_AT_MOST = 500
"""Queued tasks that one round looks at, twice: the oldest and some others (`MANY` in `lua/prelude.lua`)."""


class RunChange(Placing):
    """One atomic change of a run, as one call of a script is; `finish` ends it."""

    def __init__(self, run: MemoryRun, surroundings: Surroundings, *, now_us: int, worker: str = "") -> None:
        self.run = run
        self.now_us = now_us
        self.ready: list[Member] = []
        """Attempts that `finish` queues, in order."""
        self.ends_tasks = False
        """Whether counters moved, so that the run may have ended."""
        self.is_claim = False
        """Whether tasks are only taken."""
        self.cause = ""
        """The task whose end made room, `run:index`."""
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
        self._shared.count(EXPIRED)
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
            self.grant(member.index),
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
            run.placed.pop(index, None)
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
        if state.status is not TaskStatus.SUCCEEDED:
            self._shared.count(tasks_counter(state.status))

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
        for index in [index for index, rank in run.gang if rank == 0 and running]:
            self.close_gang(index, "cancelled")
        self.stop_wanting()
        run.queued.clear()
        run.backlog.clear()
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

    def _delay_after(
        self, member: Member, reason: str, exit_status: int | None, *, is_given_back: bool = False
    ) -> int | None:
        """Return the microseconds until the attempt after one that did not succeed; None when the task has failed."""
        run, index = self.run, member.index
        if is_given_back:
            run.tried[index] += 1
        elif reason in LOST_REASONS:
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
            is_given_back=is_given_back,
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
        run = self.run
        self.write_line("L", member.index, member.attempt, record)
        found = _REASON.search(record)
        reason = found[1].decode() if found else Reason.LOST_WORKER
        is_given_back = b'"given_back":true' in record
        agent, outcome = run.dispatches[member.index].agent, "given_back" if is_given_back else "lost"
        self._shared.count(attempts_counter(outcome, reason, agent))
        delay_us = self._delay_after(member, reason, None, is_given_back=is_given_back)
        lost, lost_max = run.lost[member.index], run.program.options.lost_max
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
        waits = run.state.get(run.trial.index) == TaskState(TaskStatus.READY, run.trial.attempt)  # for room
        if run.trial in coming or (not coming and (waits or run.is_queued(run.trial) or run.is_running(run.trial))):
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
        if self.run.lease.pop(lease, None) is None:  # it has gone with that of another rank
            return False
        if self.run.is_queued(member):  # a rank has begun before the one that leads it
            self._unplace(member.index)
            self.ready.append(member)
            return True
        if not self.run.is_running(member):
            return False
        self.close_gang(member.index, "lost")
        self._lose(member, record)
        return True

    def complete(self, done: Completion, agent: str) -> CompletionVerdict:
        """Record how an attempt of an agent ended; latches behind a success are counted down by `open_latches`."""
        run, index, attempt = self.run, done.member.index, done.member.attempt
        lease = lease_name(done.member, done.token)
        verdict = rules.judge_completion(
            run.state.get(index), attempt, succeeded=done.succeeded, holds_lease=lease in run.lease
        )
        if verdict is CompletionVerdict.LATE and run.has_log:
            self.write_line("D", index, attempt, done.record)
            self._shared.count(LATE)
        if verdict is not CompletionVerdict.ACCEPTED:
            return verdict
        del run.lease[lease]
        self.close_gang(index, "over")
        outcome = "succeeded" if done.succeeded else "failed"
        self._shared.count(attempts_counter(outcome, "" if done.succeeded else done.reason, agent))
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
        for index, queued_us in [item for route in Route for item in self._long_queued(route, before_us)]:
            waiting = self._shared.queues.get(run.dispatches[index].list_key)
            oldest = waiting[0].queued_us if waiting else math.inf
            state = run.state.get(index)
            if rules.is_popped(queued_us, oldest) and state and state.status is TaskStatus.QUEUED:
                self.ready.append(Member(index, state.attempt))
                del run.queued[index]
                count += 1
        return count

    def _long_queued(self, route: str, before_us: int) -> list[tuple[int, int]]:
        """Return queued tasks to look at: those that wait longest and, of a long backlog, others in turn."""
        old = [item for item in self.run.queued_on(route).items() if item[1] <= before_us]
        old.sort(key=lambda item: (item[1], str(item[0])))
        found = old[:_LOOKED_AT_MOST]
        if len(found) == _LOOKED_AT_MOST:
            first = self.run.looked[route] + _LOOKED_AT_MOST
            others = old[first : first + _LOOKED_AT_MOST]
            self.run.looked[route] = 0 if len(others) < _LOOKED_AT_MOST else first
            found += others
        return found

    def _push(self) -> None:
        """Queue everything in `ready`, or cancel it in a run that is being stopped."""
        if self.is_claim and not self.ready:
            return  # the backlog waits for the end of something
        if self.run.is_stopping:
            for member in self.ready:
                state = self.run.state.get(member.index)
                if state is None or state.status is not TaskStatus.CANCELLED:  # fail-fast may have, in this very change
                    self._cancel(member.index, TaskState(TaskStatus.CANCELLED, member.attempt - 1))
            return
        groups: dict[tuple[str, str, int], list[Member]] = {}
        self.want_places()
        for member in self._in_window():
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

    def _in_window(self) -> list[Member]:
        """Return what may be queued now, of what is ready and of the backlog; the rest waits there."""
        run, found = self.run, []
        for route in Route:
            mine = [member for member in self.ready if run.dispatches[member.index].route == route]
            backlog = run.backlog.setdefault(route, set())
            if not mine and not backlog:
                continue
            first = mine[0].index if mine else min(backlog, key=run.rank)
            most = rules.window_size(
                len(mine) + len(backlog),
                slots=self._shared.slots.get(route, 1),
                each_us=run.average_us.get(run.dispatches[first].agent, 0),
                target_us=self._target_us,
                most=run.program.options.batch_max,
                weight=run.program.options.weight,
            )
            room = most - len(run.queued_on(route))
            if not backlog and len(mine) <= room:
                found += mine
                continue
            for member in mine:
                run.state[member.index] = TaskState(TaskStatus.READY, member.attempt)
                backlog.add(member.index)
            if 2 * room >= most:
                turn = sorted(backlog, key=run.rank)[:room]
                backlog.difference_update(turn)
                found += [Member(index, run.state[index].attempt) for index in turn]
        return found

    def hand_back(self, members: Sequence[Member]) -> None:
        """Put a message back where it was taken."""
        slotted = [member for member in members if member.index not in self.run.placed]
        self._publish(slotted, at_us=self.run.queued[slotted[0].index])

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

    def _publish(self, members: Sequence[Member], at_us: int | None = None) -> None:
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
            queued_us=self.now_us if at_us is None else at_us,
        )
        waiting = self._shared.queues.setdefault(dispatch.list_key, [])
        waiting.insert(len(waiting) if at_us is None else 0, message)

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
        self.place(self.cause)
        if self.ends_tasks and run.left == 0 and run.status is RunStatus.RUNNING:
            run.status = run_outcome(
                failed=run.count[TaskStatus.FAILED],
                cancelled=run.count[TaskStatus.CANCELLED],
                is_expired=run.is_expired,
            )
            run.finished_us = self.now_us
            self.write_line("E", str(run.status), 0)
            self._shared.count(runs_counter(run.status))
        if self._lines:
            run.append(self.now_us, self._worker, self._lines, self.seal)
        if self.ends_tasks and run.finished_us is not None:
            run.expires_us = self.now_us + run.program.options.retention_s * 1_000_000
