"""Carrying out one message in an executing process: claim its members, perform them, complete them.

States of a member here: claimed -> started -> done -> completed; or claimed -> given back, when a member before
it takes long; or claimed -> dropped, when its lease was lost. All of this is decided in `Carrier`, by the thread
that performs and by the watch (`runtime.watch`), under one lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from taskexec.agents import AgentRegistry
from taskexec.completion.evidence import CHUNK_BYTES, AttemptEvidence, EvidenceLimits
from taskexec.completion.spool import RunSpool, Spool
from taskexec.domain.program import Claim, ClaimedMember, Completion, Member
from taskexec.domain.states import Reason
from taskexec.observability.logs import log_fields
from taskexec.observability.tracing import TracePolicy
from taskexec.runtime.attempt import AttemptWork, Performed, RunInfo, ServerClock
from taskexec.runtime.authority import Authority
from taskexec.runtime.confinement import Confiner, cores_file
from taskexec.runtime.control_group import ControlGroups
from taskexec.runtime.gang import Gang
from taskexec.runtime.limits import LimitPolicy
from taskexec.runtime.meter import Meter
from taskexec.runtime.refusal import refused_attempt
from taskexec.runtime.spans import span_of
from taskexec.runtime.workplace import Workplace
from taskexec.store.connection import keep_trying
from taskexec.store.port import lease_name
from taskexec.store.runs import RedisRunStore

__all__ = ["Carrier", "CarrierSettings", "child_of", "delivery_token", "number_of"]


@dataclass(frozen=True, slots=True)
class CarrierSettings:
    """How messages are carried out."""

    worker: str
    """Name of the worker."""
    scratch: Path
    """Folder for the files of attempts at work; its supervisor removes it."""
    authority: Authority
    """Which attempts it may perform, and who signs what it completes."""
    lease_s: float = 10.0
    """Length of a lease, in seconds."""
    patience_s: float = 0.05
    """Longest time a finished member waits for its batch, and a claimed one for the member before it."""
    limits: EvidenceLimits = field(default_factory=EvidenceLimits)
    """How much evidence an attempt may leave."""
    spool: Spool | None = None
    """Where large files are kept until they are fetched; None sends them in chunks like small ones."""
    retention_s: float = 604_800.0
    """How long they are kept at most, in seconds."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the worker's GPUs, by position."""
    policy: LimitPolicy = field(default_factory=LimitPolicy)
    """How attempts are held to what they were given."""
    groups: ControlGroups | None = None
    """Where control groups of attempts can be made; None where they cannot."""
    address: str = "127.0.0.1"
    """Where ranks on other hosts find those on this one."""
    gang_timeout_s: float = 60.0
    """How long the first rank of a distributed task waits for the others, in seconds."""
    trace: TracePolicy | None = None
    """Where the spans of attempts go; None makes none."""

    def confiner(self) -> Confiner:
        """Return what confines the attempts of one executing process."""
        return Confiner(self.worker, self.policy, self.groups, cores_file(self.scratch), self.gpus)


def delivery_token(worker: str, child: int, number: int) -> str:
    """Return the token of one delivery to a pool child; it names who holds the leases taken with it."""
    return f"{worker}/{child}-{number}"


def child_of(token: str) -> int:
    """Return the process id of the pool child that a token names."""
    return int(token.rpartition("/")[2].partition("-")[0])


def number_of(token: str) -> int:
    """Return the number of the delivery that a token names; later ones of a process id have higher ones."""
    return int(token.rpartition("-")[2])


class Carrier:
    """One message at work. `perform_all` runs in the executing thread; the watch calls `tend` beside it."""

    def __init__(
        self,
        run: RunInfo,
        claim: Claim,
        token: str,
        *,
        settings: CarrierSettings,
        store: RedisRunStore,
        agents: AgentRegistry,
        place: Workplace,
        refusals: Mapping[Member, str] = MappingProxyType({}),
        gang: Gang | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Carry out what a claim brought.

        `refusals` are its members that are not to be performed, and why; `gang` is that of a distributed attempt;
        `meter` counts what comes of it, where somebody watches.
        """
        self._meter = meter
        self._gang = gang
        self._run = run
        self._claim = claim
        self._token = token
        self._settings = settings
        self._store = store
        self._agents = agents
        self._place = place
        self._refusals = refusals
        self._clock = ServerClock(claim.server_us, time.monotonic())
        self._lock = threading.Lock()
        self._todo: deque[ClaimedMember] = deque(claim.members)
        self._done: list[Performed] = []
        self._current: AttemptWork | None = None
        self._lost: set[Member] = set()
        self._since = time.monotonic()

    def perform_all(self, encode: Callable[[Performed], tuple[str, bytes, bytes]]) -> None:
        """Perform and complete every member; `encode` gives key, Celery result and Celery retry of each."""
        while (performed := self._perform_next()) is not None:
            with self._lock:
                self._current = None
                self._done.append(performed)  # one whose lease was lost as well: it is refused, and that is recorded
            if time.monotonic() - self._since >= self._settings.patience_s:
                self.complete_done(encode)
        self.complete_done(encode)

    def perform_one(self) -> Performed:
        """Perform the only member. Completing it is the caller's; one whose lease was lost is refused and recorded."""
        performed = self.perform_rank()
        assert performed is not None
        return performed

    def perform_rank(self) -> Performed | None:
        """Perform the only member, or a rank of it; None when its lease was lost before it began."""
        performed = self._perform_next()
        with self._lock:
            self._current = None
        return performed

    def _perform_next(self) -> Performed | None:
        with self._lock:
            if not self._todo:
                return None
            claimed = self._todo.popleft()
            why = self._refusals.get(claimed.member)
            work = self._current = self._work(claimed) if why is None else None
        if work is None:
            return refused_attempt(
                self._run.run_id, claimed, why or "", at_s=self.server_now(), worker=self._settings.worker
            )
        with log_fields(run=self._run.run_id, task=work.task_id, attempt=claimed.member.attempt):
            performed = work.perform(self._agents, self._clock, self._settings.worker)
        if self._place.tracer is not None:
            rank = 0 if self._gang is None else self._gang.rank
            self._place.tracer.send(span_of(performed, self._run.run_id, rank=rank))
        return performed

    def complete_done(self, encode: Callable[[Performed], tuple[str, bytes, bytes]]) -> None:
        """Complete what is done; retried for ever, which is safe because completions are fenced."""
        with self._lock:
            done, self._done = self._done, []
            self._since = time.monotonic()
        if done:
            self.complete(done, encode)

    def complete(self, done: Sequence[Performed], encode: Callable[[Performed], tuple[str, bytes, bytes]]) -> None:
        """Complete attempts, grouped as they are; late ones are refused and recorded by the script."""
        completions = []
        for performed in done:
            key, result, retry = encode(performed)
            completions.append(
                Completion(
                    member=performed.claimed.member,
                    token=self._token,
                    succeeded=performed.outcome.succeeded,
                    reason=performed.outcome.reason or "",
                    exit_status=performed.outcome.exit_status,
                    record=performed.record,
                    result=performed.result,
                    celery_key=key,
                    celery_result=result,
                    celery_retry=retry,
                )
            )
        spent = sum(performed.duration_s for performed in done)
        agent = next(filter(None, map(_agent_of, done)), "")  # one that was refused names none
        seal = self._settings.authority.seal(self._run.run_id, [done.record for done in completions])
        accepted = keep_trying(
            lambda: self._store.complete(
                self._run.run_id, completions, worker=self._settings.worker, agent=agent, spent_s=spent, seal=seal
            )
        )
        if self._meter is not None:
            _count(self._meter, done, accepted)

    def close(self) -> None:
        """Listen no more to the other ranks of a distributed attempt."""
        if self._gang is not None:
            self._gang.close()

    def held(self) -> list[Member]:
        """Return the members whose leases are to be renewed."""
        with self._lock:
            members = [claimed.member for claimed in self._todo]
            members += [performed.claimed.member for performed in self._done]
            if self._current is not None:
                members.append(self._current.claimed.member)
            return [member for member in members if member not in self._lost]

    def renew(self) -> None:
        """Renew all leases; what was lost is stopped and never completed."""
        members = self.held()
        if not members:
            return
        leases = [lease_name(member, self._token) for member in members]
        gone = self._store.renew(self._run.run_id, leases, worker=self._settings.worker, lease_s=self._settings.lease_s)
        for position in gone:
            self._drop(members[position])

    def _drop(self, member: Member) -> None:
        with self._lock:
            if any(performed.claimed.member == member for performed in self._done):
                return  # done in the meantime: completing it finds out whether it still counts
            self._lost.add(member)
            if self._gang is not None:
                self._gang.give_up()
            is_waiting = any(claimed.member == member for claimed in self._todo)
            self._todo = deque(claimed for claimed in self._todo if claimed.member != member)
            current = self._current
        if is_waiting:
            self._release([member])  # nobody else says that this one is over
        if current is not None and current.claimed.member == member:
            current.runner.abort(Reason.CANCELLED)

    def tend(self, encode: Callable[[Performed], tuple[str, bytes, bytes]]) -> None:
        """Keep the promise to others: complete what is done, give back what has not started behind a long member."""
        with self._lock:
            started = None if self._current is None else self._current.started
            is_late = started is not None and time.monotonic() - started >= self._settings.patience_s
            rest = [claimed.member for claimed in self._todo] if is_late else []
            if rest:
                self._todo.clear()
        if rest:
            self._release(rest)
        self.complete_done(encode)

    def _release(self, members: Sequence[Member]) -> None:
        """Give back members that were not started, and what they hold."""
        keep_trying(
            lambda: self._store.release(self._run.run_id, members, worker=self._settings.worker, token=self._token)
        )

    def overdue(self, margin_s: float) -> AttemptWork | None:
        """Return the attempt that runs longer than its timeout and a margin, if its agent works in this process.

        One that has started a process is limited by its supervision, and may take longer to send what it wrote.
        """
        current = self._current
        if self._gang is not None or current is None or current.started is None or current.timeout_s is None:
            return None
        if current.runner.has_processes or not current.is_performing:
            return None
        late = time.monotonic() - current.started - current.timeout_s
        return current if late >= margin_s else None

    def server_now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        return self._clock.at(time.monotonic())

    def server_time_of(self, monotonic: float) -> float:
        """Return the server's time at a monotonic time of this process."""
        return self._clock.at(monotonic)

    def _work(self, claimed: ClaimedMember) -> AttemptWork:
        member = claimed.member
        spool, gang, limits = self._settings.spool, self._gang, self._settings.limits
        if gang is not None and gang.rank:  # its record is the leader's: whatever there is travels in chunks
            limits = replace(limits, inline_bytes=0, total_bytes=max(limits.total_bytes // gang.ranks, CHUNK_BYTES))
        evidence = AttemptEvidence(
            lambda chunk: self._send(member, chunk),
            limits,
            keeper=None if spool is None else RunSpool(spool, self._run.run_id),
            redactor=self._place.redactor,
        )
        return AttemptWork(self._run, claimed, self._claim.results, place=self._place, evidence=evidence, gang=gang)

    def _send(self, member: Member, chunk: dict[str, Any]) -> bool:
        fields = {"i": member.index, "a": member.attempt, **chunk}
        if self._gang is not None and self._gang.rank:
            fields["f"] = f"rank-{self._gang.rank}/{chunk['f']}"
        return keep_trying(lambda: self._store.append_output(self._run.run_id, fields))


def _count(meter: Meter, done: Sequence[Performed], accepted: Sequence[bool]) -> None:
    for performed, is_accepted in zip(done, accepted, strict=True):
        kind, outcome = _agent_of(performed), performed.outcome
        size = sum(file["bytes"] for file in performed.files.values())
        ended = "late" if not is_accepted else "succeeded" if outcome.succeeded else "failed"
        meter.ended(kind, ended, outcome.reason or "", performed.duration_s, size)


def _agent_of(performed: Performed) -> str:
    return performed.record.split(b'"agent":"', 1)[1].split(b'"', 1)[0].decode()
