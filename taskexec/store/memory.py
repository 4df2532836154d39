"""The store of runs in memory: the twin of `RedisRunStore` for simulators and tests, with the same behaviour and log.

Nothing survives the process and there is no Celery: what would be pushed to a Redis list lies in `queues`.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from taskexec.domain import rules
from taskexec.domain.again import retry_of
from taskexec.domain.counts import EVIDENCE, LAPSED
from taskexec.domain.events import LogEntry
from taskexec.domain.program import PARTED, Begun, Claim, Completion, Member, Program, Reaped, RunHead
from taskexec.domain.proof import BLOCK_LEAVES, LEAF_BYTES, Seal, SignedHead, blocks_digest
from taskexec.domain.protocol import FIRST_PROTOCOL, PROTOCOL
from taskexec.domain.rules import ClaimVerdict, CompletionVerdict, TaskState
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.errors import NotFound, TasksBusy
from taskexec.store.keys import direct_key
from taskexec.store.memory_change import RunChange
from taskexec.store.memory_nodes import MemoryNodes
from taskexec.store.memory_run import NO_RUN, MemoryRun, PublishedMessage, Surroundings, next_id
from taskexec.store.port import lease_name, retry_refused

__all__ = ["MemoryRunStore", "PublishedMessage"]

_START_SLICE = 1000
_LAPSED_MOST = 100
_LOG_MOST = 1000
_OUTPUT_MOST = 100


class MemoryRunStore:
    """`RunStore` in the memory of one process; safe to share between threads.

    Every method is one atomic change, under one lock. Runs are forgotten `retention_s` after their end.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        """Begin with no runs.

        Args:
            clock: Server time in microseconds since the epoch; the system's when not given.
        """
        self._clock = clock or _system_clock
        self._changed = threading.Condition(threading.RLock())
        self._shared = Surroundings()
        self._runs = self._shared.runs

    @property
    def queues(self) -> dict[str, list[PublishedMessage]]:
        """Messages by list key, oldest first, until somebody takes them."""
        return self._shared.queues

    @property
    def slots(self) -> dict[str, int]:
        """Slots of live workers by route, which batches are sized by; a route that is not there has one."""
        return self._shared.slots

    @property
    def celery_results(self) -> Mapping[str, bytes | str]:
        """Celery results by key, as completions brought them."""
        return self._shared.celery_results

    def take(self, list_key: str) -> PublishedMessage | None:
        """Take the oldest message off a list, as a worker does; None when it is empty."""
        with self._changed:
            waiting = self.queues.get(list_key)
            return waiting.pop(0) if waiting else None

    def put(self, program: Program) -> None:
        """Store a program; its run is then `pending`, and tasks that are done are final. A stored one is left alone."""
        with self._changed:
            if self._find(program.run_id) is None:
                self._runs[program.run_id] = MemoryRun(program, self._clock())

    def start(self, run_id: str) -> None:
        """Queue what waits for nothing; a run whose tasks are all satisfied has then succeeded.

        Raises:
            NotFound: No such run.
        """
        with self._changed:
            run = self._known(run_id)
            roots = [index for index, pending in enumerate(run.pending) if not pending and index not in run.state]
            for first in range(0, max(len(roots), 1), _START_SLICE):
                self._start_slice(run, roots[first : first + _START_SLICE])

    def _start_slice(self, run: MemoryRun, roots: Sequence[int]) -> None:
        with self._change(run) as change:
            if run.status is RunStatus.PENDING:
                change.begin(starts=True)
            if run.status is RunStatus.RUNNING and not run.is_stopping:
                change.open(index for index in roots if index not in run.state)

    def claim(self, run_id: str, members: Sequence[Member], *, worker: str, token: str, lease_s: float) -> Claim:
        """Win members of a message, each with a lease of `lease_s` seconds."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return Claim(self._clock(), (), {})
            if run.is_overdue(self._clock()):
                return Claim(self._clock(), (), {})
            claimed = []
            with self._change(run, worker) as change:
                change.is_claim = True
                until = change.now_us + int(lease_s * 1e6)
                ours = [member for member in dict.fromkeys(members) if change.is_ours(member, worker)]
                fresh = [member for member in ours if run.is_queued(member)]
                if not change.take_slot(fresh, worker, token):
                    change.hand_back(fresh)
                    return Claim(change.now_us, (), {}, is_denied=True)
                for member in ours:
                    if _claim_one(change, member, token):
                        run.lease[lease_name(member, token)] = until
                        change.lead(member, worker, token)
                        claimed.append(change.claimed(member))
            wanted = dict.fromkeys(index for won in claimed for index in won.dependencies)
            results = {index: run.result[index] for index in wanted if index in run.result}
            return Claim(change.now_us, tuple(claimed), results)

    def enter(
        self, run_id: str, member: Member, rank: int, *, worker: str, token: str, lease_s: float, told: str
    ) -> Claim:
        """Have a rank above 0 of a distributed task begin, with a lease of its own; claims nothing if it may not."""
        with self._changed:
            run = self._find(run_id)
            if run is None or run.is_overdue(self._clock()):
                return Claim(self._clock(), (), {})
            with self._change(run, worker) as change:
                if not change.enter(member, rank, worker, Begun(member.attempt, token, told)):
                    return Claim(change.now_us, (), {})
                run.lease[lease_name(member, token)] = change.now_us + int(lease_s * 1e6)
                claimed = change.claimed(member)
            results = {index: run.result[index] for index in claimed.dependencies if index in run.result}
            return Claim(change.now_us, (claimed,), results)

    def part(self, run_id: str, member: Member, rank: int, *, worker: str, token: str, record: bytes) -> bool:
        """End a rank above 0 of a distributed task: its leader is told how it went; return whether it still counted."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return False
            with self._change(run, worker) as change:
                return change.part(member, rank, worker, token, record.decode())

    def begun(self, run_id: str, member: Member, ranks: int) -> list[Begun | None]:
        """Return the ranks of a distributed attempt that have begun, by rank; None for those that have not."""
        with self._changed:
            run = self._find(run_id)
            found = [None if run is None else run.gang.get((member.index, rank)) for rank in range(ranks)]
            return [one if one and one.attempt == member.attempt and one.token != PARTED else None for one in found]

    @property
    def bells(self) -> dict[str, list[str]]:
        """Words to deliveries, by token, oldest first, until somebody takes them."""
        return self._shared.bells

    def renew(self, run_id: str, leases: Sequence[str], *, worker: str, lease_s: float) -> list[int]:
        """Renew leases (`lease_name`); return the positions of those no longer held."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return list(range(len(leases)))
            with self._change(run, worker) as change:
                held = [change.renew(lease, int(lease_s * 1e6)) for lease in leases]
            return [position for position, is_held in enumerate(held) if not is_held]

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
        """Complete attempts; return, for each, whether it was accepted (else another attempt owns the task)."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return [False] * len(completions)
            verdicts: dict[Member, CompletionVerdict] = {}
            succeeded = []
            with self._change(run, worker) as change:
                change.ends_tasks = True
                for done in completions:
                    if done.member in verdicts:
                        continue
                    change.give_back_attempt(worker, done.member, done.token)
                    verdicts[done.member] = verdict = change.complete(done, agent)
                    if verdict is CompletionVerdict.ACCEPTED and done.succeeded:
                        run.where[done.member.index] = worker
                        succeeded.append(done.member.index)
                if self._shared.nodes.is_news and verdicts:
                    change.cause = f"{run_id}:{[*verdicts][-1].index}"
                change.open_latches(succeeded)
                change.measure(agent, spent_us=int(spent_s * 1e6), tasks=len(succeeded))
                recorded = sum(verdict is not CompletionVerdict.REPEATED for verdict in verdicts.values())
                if seal is not None and recorded and run.has_log:
                    is_whole = recorded == len(completions)
                    change.seal = seal._replace(digests=()) if is_whole else seal
            return [verdicts[done.member] is not CompletionVerdict.LATE for done in completions]

    def release(self, run_id: str, members: Sequence[Member], *, worker: str, token: str) -> int:
        """Give back members that were claimed and not started; return how many."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return 0
            with self._change(run, worker) as change:
                for member in members:
                    change.give_back_attempt(worker, member, token)
                held = [member for member in members if run.lease.pop(lease_name(member, token), None) is not None]
                change.give_back([member for member in held if run.is_running(member)])
                return len(change.ready)

    def lose(self, run_id: str, members: Sequence[Member], *, worker: str, record: bytes) -> int:
        """End attempts that were lost with their process: these members, or all of the worker's when empty.

        Members that were not claimed are queued again as the same attempt; so is, when no members are given,
        everything that was taken off its list and not claimed. Returns how many of both.
        """
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return 0
            with self._change(run, worker) as change:
                mine = [lease for lease in _by_time(run.lease) if f"|{worker}/" in lease]
                meant = {f"{member.index}|{member.attempt}" for member in members}
                lost = [lease for lease in mine if not members or "|".join(lease.split("|", 2)[:2]) in meant]
                count = 0
                for lease in lost:
                    index, attempt, token = lease.split("|", 2)
                    if not members or not change.is_gang(int(index)):  # of a gang's ranks some may live
                        change.give_back_attempt(worker, Member(int(index), int(attempt)), token)
                    count += change.end_lease(lease, record)
                queued = [member for member in members if run.is_queued(member) and member not in change.ready]
                change.ready += queued
                for member in queued:
                    run.queued.pop(member.index, None)
                if members:
                    count += len(queued)
                else:
                    count += change.requeue_popped(change.now_us)
                    count += change.requeue_unassigned(0, worker)
            return count

    def take_back(self, run_id: str, *, worker: str) -> int:
        """Take back from a worker what was placed on it and has not started, for another place; return how many."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return 0
            with self._change(run, worker) as change:
                return change.requeue_unassigned(0, worker)

    def reap(self, run_id: str, *, worker: str, lease_s: float, record: bytes) -> Reaped:
        """End lapsed leases, queue again what was popped and never claimed or is due, stop a run whose time is up.

        Ends no lease for one lease after a gap between rounds longer than a lease.
        """
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return Reaped(0, 0, None)
            ended = requeued = 0
            with self._change(run, worker) as change:
                now_us, lease_us = change.now_us, int(lease_s * 1e6)
                run.calm_us = rules.calm_until(now_us, last_us=run.reaped_us, calm_us=run.calm_us, lease_us=lease_us)
                run.reaped_us = now_us
                if not change.expire():
                    change.release_due()
                    if now_us >= run.calm_us:
                        lapsed = [lease for lease in _by_time(run.lease) if run.lease[lease] <= now_us]
                        ended = sum(change.end_lease(lease, record) for lease in lapsed[:_LAPSED_MOST])
                        ended += sum(change.end_lease(lease, record) for lease in list(change.broken_gangs()))
                        if ended:
                            self._shared.count(LAPSED, ended)
                        requeued = change.requeue_popped(now_us - lease_us)
                        requeued += change.requeue_unassigned(now_us - lease_us)
            due_us = run.next_due_us()
            return Reaped(ended, requeued, None if due_us is None else max(due_us - now_us, 0) / 1e6)

    def stop(self, run_id: str, *, kill: bool) -> str:
        """Cancel what has not started, with `kill` what runs as well; return the run's status.

        Raises:
            NotFound: No such run.
        """
        with self._changed:
            run = self._known(run_id)
            with self._change(run) as change:
                if run.status is RunStatus.PENDING:
                    change.begin(starts=False)
                if run.status is RunStatus.RUNNING:
                    change.cancel_all(running=kill)
            return str(run.status)

    def retry(self, run_id: str, indexes: Sequence[int], *, by: bytes, request: str) -> list[int]:
        """Have tasks that have ended run again, and all that depends on them; return which, in plan order.

        Raises:
            NotFound: No such run.
            TasksBusy: One of them is held, queued or runs; nothing was changed.
            TasksBlocked: A named task depends on one that has failed and is not among them; nothing was changed.
        """
        with self._changed:
            run = self._known(run_id)
            if request == run.retry_request:
                return list(run.retried)
            plan = retry_of(indexes, successors_of=run.behind, dependencies_of=run.before, state=run.state)
            if plan.busy or plan.hopeless:
                raise retry_refused(1 if plan.busy else 2, plan.busy or plan.hopeless)
            if plan.again:
                with self._change(run) as change:
                    if run.status is RunStatus.PENDING:
                        change.begin(starts=True)
                    change.run_again(plan, by, request)
            return list(plan.again)

    def join(self, name: str, traits: Iterable[str], total: Sequence[int]) -> bool:
        """Make a worker known, or renew what is known of it; return whether it was not."""
        with self._changed:
            is_new = self._shared.nodes.join(name, frozenset(traits), total)
            self._place()
            return is_new

    def leave(self, *names: str) -> int:
        """Forget workers and what they held; return how many were known."""
        with self._changed:
            count = sum(self._shared.nodes.leave(name) for name in names)
            for name in names:
                self.queues.pop(direct_key(name), None)
            self._place()
            return count

    def place(self) -> int:
        """Place what waits and fits now; return how many runs have something that still waits."""
        with self._changed:
            self._shared.nodes.is_news = self._shared.nodes.is_thorough = True
            self._place()
            self._shared.nodes.is_thorough = False
            return len(self._shared.nodes.since)

    def give_back(self, worker: str, holds: Sequence[str]) -> int:
        """Give back what a worker holds for what it knows to be over; return how much of it was held."""
        with self._changed:
            count = sum(self._shared.nodes.give_back(worker, name) for name in holds)
            self._place()
            return count

    @property
    def nodes(self) -> MemoryNodes:
        """The workers."""
        return self._shared.nodes

    def _place(self) -> None:
        change = RunChange(NO_RUN, self._shared, now_us=self._clock())
        change.place()
        self._changed.notify_all()

    def signed_head(self, run_id: str) -> SignedHead:
        """Return the head of a run as its submitter signed it.

        Raises:
            NotFound: No such run.
        """
        with self._changed:
            return self._known(run_id).program.head

    def leaf_block(self, run_id: str, number: int) -> bytes:
        """Return one block of the leaves of a run's specs, empty when there is none."""
        with self._changed:
            run = self._find(run_id)
            size = BLOCK_LEAVES * LEAF_BYTES
            return b"" if run is None else run.program.leaves[number * size : (number + 1) * size]

    def leaf_blocks(self, run_id: str) -> bytes:
        """Return the digests of all blocks of leaves, concatenated."""
        with self._changed:
            run = self._find(run_id)
            return b"" if run is None else blocks_digest(run.program.leaves)

    def remove(self, run_id: str) -> bool:
        """Forget a run that has ended, or never began; return whether there was one.

        Raises:
            TasksBusy: It goes on; nothing was changed.
        """
        with self._changed:
            run = self._find(run_id)
            if run is not None and run.status is RunStatus.RUNNING:
                raise TasksBusy(f"run `{run_id}` goes on", hint="wait for its end, or stop it first")
            self._runs.pop(run_id, None)
            return run is not None

    def head(self, run_id: str) -> RunHead:
        """Return where the run stands.

        Raises:
            NotFound: No such run.
        """
        with self._changed:
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
                satisfied=run.count[TaskStatus.SATISFIED],
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
            log = [] if run is None else run.log
            first = bisect_right(log, _order(after), key=lambda entry: _order(entry.id))
            return log[first : first + _LOG_MOST]

        with self._changed:
            if wait_s > 0:
                self._changed.wait_for(entries, timeout=wait_s)
            return entries()

    def read_output(self, run_id: str, after: str = "0") -> list[tuple[str, dict[str, bytes]]]:
        """Return chunks of evidence after an entry id, oldest first, at most some hundred."""
        with self._changed:
            run = self._find(run_id)
            rows = [] if run is None else run.output
            first = bisect_right(rows, _order(after), key=lambda row: _order(row[0]))
            return rows[first : first + _OUTPUT_MOST]

    def append_output(self, run_id: str, fields: Mapping[str, Any]) -> bool:
        """Append one chunk of evidence; return False when the run may leave no more and it was dropped."""
        with self._changed:
            run = self._find(run_id)
            if run is None:
                return True
            kept = {name: _to_bytes(value) for name, value in fields.items()}
            size = len(kept.get("d", b""))
            if run.output_bytes + size > run.program.options.output_limit_bytes:
                return False
            run.output_bytes += size
            self._shared.count(EVIDENCE, size)
            entry_id = next_id(run.output[-1][0] if run.output else "", self._clock())
            run.output.append((entry_id, kept))
            return True

    def documents(self, run_id: str) -> tuple[bytes, bytes]:
        """Return the compressed plan.json and canvas.json of a run.

        Raises:
            NotFound: No such run, or it was forgotten.
        """
        with self._changed:
            program = self._known(run_id).program
            return program.plan, program.canvas

    def protocol(self, run_id: str) -> int:
        """Return the version of a run's keys; the first where they name none, as those of a run that is gone."""
        with self._changed:
            return FIRST_PROTOCOL if self._find(run_id) is None else PROTOCOL

    def counted(self) -> dict[str, int]:
        """Return what was counted for good of all runs, by counter (`domain.counts`)."""
        with self._changed:
            return dict(self._shared.counted)

    def active(self) -> list[str]:
        """Return the runs that are started and not ended."""
        with self._changed:
            return sorted(run_id for run_id, run in self._runs.items() if run.status is RunStatus.RUNNING)

    def listed(self) -> list[str]:
        """Return all known runs, newest first."""
        with self._changed:
            there = [(run.submitted_us, run_id) for run_id, run in self._runs.items() if self._find(run_id)]
            return [run_id for _, run_id in sorted(there, reverse=True)]

    def states(self, run_id: str) -> dict[int, str]:
        """Return the state letter and attempt of every task that is no longer waiting."""
        with self._changed:
            run = self._find(run_id)
            return {} if run is None else {index: state.encode() for index, state in run.state.items()}

    def leases(self, run_id: str) -> set[str]:
        """Return the names of the leases that are held (`lease_name`)."""
        with self._changed:
            run = self._find(run_id)
            return set() if run is None else set(run.lease)

    @contextmanager
    def _change(self, run: MemoryRun, worker: str = "") -> Iterator[RunChange]:
        """Lend a change and finish it; the lock is held by the caller. An exception leaves it unfinished."""
        change = RunChange(run, self._shared, now_us=self._clock(), worker=worker)
        yield change
        change.finish()
        self._changed.notify_all()

    def _find(self, run_id: str) -> MemoryRun | None:
        run = self._runs.get(run_id)
        return None if run is None or self._clock() >= run.expires_us else run

    def _known(self, run_id: str) -> MemoryRun:
        run = self._find(run_id)
        if run is None:
            raise NotFound(f"there is no run `{run_id}`", hint="`tek runs` lists the runs that the server knows")
        return run


def _system_clock() -> int:
    return time.time_ns() // 1000


def _claim_one(change: RunChange, member: Member, token: str) -> bool:
    """Return whether a claim wins a member; one that was queued runs then."""
    run = change.run
    holds_lease = lease_name(member, token) in run.lease
    verdict = rules.judge_claim(run.state.get(member.index), member.attempt, holds_lease=holds_lease)
    if verdict is ClaimVerdict.GRANTED:
        run.state[member.index] = TaskState(TaskStatus.RUNNING, member.attempt)
        run.queued.pop(member.index, None)
        run.assigned.pop(member.index, None)
        change.write_line("R", member.index, member.attempt)
    return verdict is not ClaimVerdict.REFUSED


def _by_time(leases: Mapping[str, int]) -> list[str]:
    """Return leases as a sorted set of Redis keeps them: by time, then by name."""
    return sorted(leases, key=lambda lease: (leases[lease], lease))


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
