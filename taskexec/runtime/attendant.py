"""The attendant: what a worker does with its messages, in the executing processes and in the main one."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from celery.worker.state import revoked

from taskexec.agents import AgentRegistry
from taskexec.broker import HEADER
from taskexec.domain.program import Claim, Member
from taskexec.domain.states import Reason
from taskexec.runtime.attempt import Performed, RunInfo, lost_record
from taskexec.runtime.authority import Warrant
from taskexec.runtime.carrier import Carrier, CarrierSettings, delivery_token
from taskexec.runtime.gang import Follower, Gang, Leader, told_of
from taskexec.runtime.meter import Board, Meter
from taskexec.runtime.sweep import end_orphans
from taskexec.runtime.watch import Watch
from taskexec.runtime.workplace import Workplace
from taskexec.store.bells import RedisBells
from taskexec.store.connection import Connection, keep_trying
from taskexec.store.nodes import RedisNodes
from taskexec.store.runs import RedisRunStore

__all__ = ["AttemptFailed", "Attendant", "celery_meta", "short_result"]

_RANK = re.compile(r"\.r\d+$")
_KNOWN_RUNS = 64
_SHOWN_CHARACTERS = 200
_ROOM_S = 1.0
"""So long a slot waits at a time for room on its worker."""


class AttemptFailed(Exception):
    """Tells Celery that an attempt failed; the account of it goes another way."""


@dataclass(slots=True)
class _Process:
    """What belongs to one executing process and must not be shared with another."""

    pid: int
    store: RedisRunStore
    nodes: RedisNodes
    bells: RedisBells
    place: Workplace
    watch: Watch
    warrants: dict[str, Warrant]
    deliveries: itertools.count[int]
    meter: Meter | None


class Attendant:
    """Performs messages and completes attempts; implements the broker's `Latch`.

    Made in the worker's main process before its pool; each pool child makes its own connection, scratch folder
    and watch at its first message.
    """

    def __init__(
        self,
        settings: CarrierSettings,
        *,
        connect: Callable[[], Connection],
        agents: AgentRegistry,
        grace_s: float,
        board: Board | None = None,
    ) -> None:
        self._settings = settings
        self._board = board
        self._connect = connect
        self._agents = agents
        self._grace_s = grace_s
        self._own: _Process | None = None

    @property
    def process(self) -> _Process:
        """What belongs to this process, made when it is asked for the first time after a fork."""
        own = self._own
        if own is None or own.pid != os.getpid():
            settings = self._settings
            connection = self._connect()
            meter = None if self._board is None else self._board.meter()
            connection.observe = None if meter is None else meter.called
            own = self._own = _Process(
                os.getpid(),
                RedisRunStore(connection),
                RedisNodes(connection),
                RedisBells(connection),
                Workplace(
                    settings.worker,
                    settings.scratch,
                    grace_s=self._grace_s,
                    confiner=settings.confiner(),
                    trace=settings.trace,
                ),
                Watch(
                    lease_s=settings.lease_s,
                    patience_s=settings.patience_s,
                    grace_s=self._grace_s,
                    worker=settings.worker,
                ),
                {},
                itertools.count(time.time_ns() // 1_000_000),  # a later life of this process id counts on
                meter,
            )
            if own.place.tracer is not None and meter is not None:
                own.place.tracer.observe = meter.dropped
        return own

    def attempt(self, request: Any) -> Performed | None:
        """Claim and perform the attempt of a request; None when it is not this worker's to perform.

        Completing follows when Celery stores the result (`complete`); until then the lease is renewed.
        """
        carrier = self._claim(request)
        if carrier is None:
            return None
        self.process.watch.begin(carrier, _no_result, is_batch=False)
        try:
            performed = carrier.perform_one()
        finally:
            carrier.close()
        request.tek_carrier = carrier
        request.tek_performed = performed
        return performed

    def batch(self, request: Any, encode: Callable[[str, Performed], tuple[str, bytes, bytes]]) -> None:
        """Claim, perform and complete the members of a batch; `encode` gives each member's Celery results."""
        carrier = self._claim(request)
        if carrier is None:
            return
        run_id = getattr(request, HEADER)["run"]

        def encode_member(performed: Performed) -> tuple[str, bytes, bytes]:
            return encode(f"{run_id}.{performed.claimed.member.index}", performed)

        self.process.watch.begin(carrier, encode_member, is_batch=True)
        try:
            carrier.perform_all(encode_member)
        finally:
            self.process.watch.end()

    def rank(self, request: Any) -> None:
        """Perform a rank above 0 of a distributed attempt; its leader completes it.

        Whatever becomes of it, the leader hears of it and must be there to hear it.
        """
        header = getattr(request, HEADER)
        own, member = self.process, Member(*header["members"][0])
        rank = int(request.id.rpartition(".r")[2])
        token = delivery_token(self._settings.worker, own.pid, next(own.deliveries))
        warrant = self._warrant(header["run"])
        claim = keep_trying(
            lambda: own.store.enter(
                warrant.run_id,
                member,
                rank,
                worker=self._settings.worker,
                token=token,
                lease_s=self._settings.lease_s,
                told=told_of(self._settings.address),
            )
        )
        if not claim.members:
            return
        grant = claim.members[0].grant
        gang = Follower(own.bells, token, rank=rank, ranks=len(grant.ranks) if grant else 1)
        refusals = self._refusals(warrant, claim)
        carrier = self._carrier(warrant, claim, token, refusals, gang)
        own.watch.begin(carrier, _no_result, is_batch=False)
        performed = None
        try:
            if warrant.is_dry_run or refusals:
                gang.await_word()
            if not warrant.is_dry_run:
                performed = carrier.perform_rank()
        finally:
            carrier.close()
        record, worker = b"" if performed is None else performed.record, self._settings.worker
        keep_trying(lambda: own.store.part(warrant.run_id, member, rank, worker=worker, token=token, record=record))
        own.watch.end()

    def _claim(self, request: Any) -> Carrier | None:
        header = getattr(request, HEADER)
        own = self.process
        members = [Member(index, attempt) for index, attempt in header["members"]]
        token = delivery_token(self._settings.worker, own.pid, next(own.deliveries))
        warrant = self._warrant(header["run"])
        claim = keep_trying(
            lambda: own.store.claim(
                warrant.run_id, members, worker=self._settings.worker, token=token, lease_s=self._settings.lease_s
            )
        )
        if claim.is_denied:  # it is back in its queue; this slot takes the next message when there is room for it
            own.nodes.await_room(self._settings.worker, wait_s=_ROOM_S)
        if not claim.members:
            return None
        if own.meter is not None:
            waited_s = (claim.server_us - header["tek_at"]) / 1e6
            own.meter.dispatched(request.delivery_info["routing_key"], waited_s, len(claim.members))
        refusals = self._refusals(warrant, claim)
        return self._carrier(warrant, claim, token, refusals, self._leader(warrant, claim, token))

    def _carrier(
        self, warrant: Warrant, claim: Claim, token: str, refusals: Mapping[Member, str], gang: Gang | None
    ) -> Carrier:
        own = self.process
        return Carrier(
            RunInfo(warrant.run_id, warrant.is_dry_run),
            claim,
            token,
            settings=self._settings,
            store=own.store,
            agents=self._agents,
            place=own.place,
            refusals=refusals,
            gang=gang,
            meter=own.meter,
        )

    def _leader(self, warrant: Warrant, claim: Claim, token: str) -> Leader | None:
        """Return the gang of a distributed attempt that was claimed; None for any other."""
        own, first = self.process, claim.members[0]
        if first.grant is None or len(first.grant.ranks) < 2:
            return None
        return Leader(
            own.bells,
            token,
            store=own.store,
            run_id=warrant.run_id,
            member=first.member,
            grant=first.grant,
            address=self._settings.address,
            timeout_s=self._settings.gang_timeout_s,
        )

    def _refusals(self, warrant: Warrant, claim: Claim) -> dict[Member, str]:
        """Return the claimed members that may not be performed, after a second look at a run that was known."""
        refusals = keep_trying(lambda: warrant.refusals(claim.members))
        if not refusals or self.process.warrants.pop(warrant.run_id, None) is None:
            return refusals
        again = self._warrant(warrant.run_id)  # it may have been submitted anew since
        return keep_trying(lambda: again.refusals(claim.members))

    def _warrant(self, run_id: str) -> Warrant:
        own = self.process
        known = own.warrants.get(run_id)
        if known is not None:
            return known
        warrant = keep_trying(lambda: self._settings.authority.warrant(run_id, own.store))
        if not warrant.refusal:  # a refused run is looked at again: its key may be trusted by then
            if len(own.warrants) >= _KNOWN_RUNS:
                own.warrants.pop(next(iter(own.warrants)))
            own.warrants[run_id] = warrant
        return warrant

    def complete(self, request: Any, *, key: str, result: bytes, retry: bytes) -> None:
        """Complete the attempt that `attempt` performed."""
        carrier: Carrier = request.tek_carrier
        try:
            carrier.complete([request.tek_performed], lambda _: (key, result, retry))
        finally:
            self.process.watch.end()

    def lose(self, request: Any, error: BaseException) -> None:
        """End the attempts of a request whose pool child died, after everything that it had started was killed."""
        end_orphans(self._settings.worker)
        header = getattr(request, HEADER)
        members = [Member(index, attempt) for index, attempt in header["members"]]
        what = self.process.place.redactor.text(f"{type(error).__name__}: {error}")
        record = lost_record(what, worker=self._settings.worker, reason=_reason(error))
        keep_trying(
            lambda: self.process.store.lose(header["run"], members, worker=self._settings.worker, record=record)
        )

    def revoke(self, task_id: str) -> bool:
        """Queue again what Celery revoked before it was claimed; return whether it was a task of ours.

        An attempt at work is left alone: if Celery has killed its process, it is released as that of any dead child.
        """
        run_id, _, index = _RANK.sub("", task_id).rpartition(".")
        store = self.process.store
        states = keep_trying(lambda: store.states(run_id))
        if not states:
            return False
        revoked.discard(task_id)  # one id serves all messages of a task: this worker would refuse them for ever
        state = states.get(int(index), "") if index.isdigit() else ""
        if state.startswith("Q"):
            record = lost_record("revoked through Celery", worker=self._settings.worker)
            members = [Member(int(index), int(state[1:]))]
            keep_trying(lambda: store.lose(run_id, members, worker=self._settings.worker, record=record))
        return True

    def close(self) -> None:
        """End what this process has started."""
        if self._own is not None and self._own.pid == os.getpid():
            self._own.place.close()


def _no_result(_: Performed) -> tuple[str, bytes, bytes]:
    return "", b"", b""


def _reason(error: BaseException) -> Reason:
    lost = {"WorkerLostError", "Terminated", "TimeLimitExceeded"}
    return Reason.LOST_WORKER if type(error).__name__ in lost else Reason.INFRASTRUCTURE


_META: dict[str, Any] = {"traceback": None, "children": [], "date_done": None}


def short_result(result: Any) -> Any:
    """Return what Celery keeps of a result and Flower shows: itself if it is small, else a beginning or its type."""
    if isinstance(result, str) and len(result) > _SHOWN_CHARACTERS:
        return result[:_SHOWN_CHARACTERS] + "…"
    return result if isinstance(result, str | int | float | bool | None) else type(result).__name__


def celery_meta(task_id: str, performed: Performed) -> tuple[str, bytes, bytes]:
    """Return key, result and retry of a batch member, as Celery's backend would have stored them."""
    outcome = performed.outcome
    key = f"celery-task-meta-{task_id}"
    meta: dict[str, Any] = {"task_id": task_id, "status": "SUCCESS", "result": None, **_META}
    if outcome.succeeded:
        if outcome.result is not None:
            meta["result"] = short_result(outcome.result)
        return key, orjson.dumps(meta), b""
    failure = {"exc_type": "AttemptFailed", "exc_message": [outcome.error], "exc_module": AttemptFailed.__module__}
    failed = orjson.dumps(meta | {"status": "FAILURE", "result": failure})
    return key, failed, orjson.dumps(meta | {"status": "RETRY", "result": failure})
