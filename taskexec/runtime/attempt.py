"""One attempt from start to record: finds the agent, lets it perform, accounts for what happened."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from taskexec.agents import AgentMissing, AgentRegistry, Assignment, Outcome
from taskexec.completion.evidence import AttemptEvidence
from taskexec.domain.clock import iso_time
from taskexec.domain.program import ClaimedMember
from taskexec.domain.proof import given_fields, value_digest
from taskexec.domain.secrets import Redactor
from taskexec.domain.states import Reason
from taskexec.domain.usage import HINT_S, hints
from taskexec.runtime.declared import DeclaredMissing, digests_of, find_declared
from taskexec.runtime.gang import Gang
from taskexec.runtime.limits import NO_ALLOWANCE, Allowance
from taskexec.runtime.workplace import AttemptRunner, Workplace, WorkplaceFailed

__all__ = ["AttemptWork", "Performed", "RunInfo", "ServerClock", "lost_record"]

RESULT_LIMIT_BYTES = 65_536
"""Results above this stay in the evidence and are not handed to dependents."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What an executing process knows of a run."""

    run_id: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ServerClock:
    """The server's time, carried on by the monotonic clock of this process since a claim."""

    server_us: int
    """Server time at the claim, microseconds since the epoch."""
    monotonic: float
    """Monotonic time when the claim's reply arrived."""

    def at(self, monotonic: float) -> float:
        """Return the server's time at a monotonic time, in seconds since the epoch."""
        return self.server_us / 1e6 + (monotonic - self.monotonic)


@dataclass(frozen=True, slots=True)
class Performed:
    """A finished attempt: its outcome and the account of it."""

    claimed: ClaimedMember
    outcome: Outcome
    record: bytes
    """One line: JSON record, a tab, JSON of inline evidence."""
    result: bytes
    """JSON for dependents; empty for none."""
    duration_s: float
    files: Mapping[str, Any] = field(default_factory=dict)
    """What it left, by name, as its record says."""


class AttemptWork:
    """One attempt at work in this process; made for one claimed member, used once."""

    def __init__(
        self,
        run: RunInfo,
        claimed: ClaimedMember,
        results: Mapping[int, bytes],
        *,
        place: Workplace,
        evidence: AttemptEvidence,
        gang: Gang | None = None,
    ) -> None:
        spec = orjson.loads(claimed.spec)
        self.claimed = claimed
        self.started: float | None = None
        self.is_performing = False
        """Whether the agent is at work; bringing its evidence on the way may outlast the task's time limit."""
        self.timeout_s = _shorter(spec["timeout_s"], claimed.left_s)
        self._gang = gang
        grant, rank = claimed.grant, 0 if gang is None else gang.rank
        self._allowance = NO_ALLOWANCE if grant is None else Allowance.of(grant, place.confiner.gpus, rank=rank)
        self._memory_mib = self._allowance.memory_mib
        if grant is None:
            self._memory_mib = math.ceil(spec.get("memory_mib", 0) * claimed.memory_ratio)
        self._run = run
        self.task_id: str = spec["id"]
        self._agent_name: str = spec["agent"]
        self._evidence = evidence
        self._redactor = place.redactor
        self._declared_inputs: Sequence[str] = spec.get("inputs", ())
        self._declared_outputs: Sequence[str] = () if rank else spec.get("outputs", ())
        self._input_digests: dict[str, str] = {}
        inputs = {
            task_id: orjson.loads(results[index]) if index in results else None
            for task_id, index in zip(spec["depends_on"], claimed.dependencies, strict=True)
        }
        # now, and not afterwards: what an agent is given it may change
        self._given = given_fields({name: value_digest(value) for name, value in inputs.items() if value is not None})
        self._assignment = Assignment(
            run_id=run.run_id,
            task_id=spec["id"],
            attempt=claimed.member.attempt,
            payload=spec["payload"],
            inputs=inputs,
        )
        self.runner = AttemptRunner(
            place,
            self._assignment,
            evidence,
            timeout_s=self.timeout_s,
            memory_mib=self._memory_mib,
            allowance=self._allowance,
            parent=None
            if place.trace is None
            else place.trace.parent_of(run.run_id, claimed.member.index, claimed.member.attempt, rank),
        )

    def perform(self, agents: AgentRegistry, clock: ServerClock, worker: str) -> Performed:
        """Perform the attempt and return its account; what the agent raises becomes a failed outcome."""
        self.started = time.monotonic()
        outcome = self._meet()
        self.started = begun = time.monotonic()
        outcome = outcome or self._lacks_time() or self._lacks_inputs()
        if outcome is None:
            self.is_performing = True
            outcome = self._outcome(agents)
            self.is_performing = False
        try:
            self.runner.collect()
            if self._declared_outputs and not self._run.dry_run:
                outcome = self._with_outputs(outcome)
        except OSError as error:  # a success without its evidence is none
            what = f"evidence could not be kept: {error.strerror or error}"
            outcome = Outcome(succeeded=False, reason=Reason.INFRASTRUCTURE, error=what, commands=outcome.commands)
        ended = time.monotonic()
        if self._gang is not None:
            outcome = self._gang.conclude(outcome, (clock.at(begun), clock.at(ended)))
            ended = time.monotonic()
        return self.account(outcome, (clock.at(begun), clock.at(ended)), worker)

    def _meet(self) -> Outcome | None:
        """Wait for the other ranks of a distributed attempt; return the outcome of one that does not begin."""
        if self._gang is None or self._run.dry_run:
            return None
        found = self._gang.meet(self.runner)
        if isinstance(found, Outcome):
            return found
        try:
            self.runner.place_in(found, self._gang.rank)
        except WorkplaceFailed as error:
            return Outcome(succeeded=False, reason=Reason.INFRASTRUCTURE, error=str(error))
        return None

    def account(self, outcome: Outcome, span: tuple[float, float], worker: str) -> Performed:
        """Return the account of an outcome that spanned two server times (seconds since the epoch)."""
        outcome = _without_secrets(outcome, self._redactor)
        if outcome.note:
            self._evidence.write("stdout.log", outcome.note.encode(errors="replace") + b"\n")
        files, inline = self._evidence.close()
        outcome, result = _with_result(outcome)
        omitted = len(result) > RESULT_LIMIT_BYTES
        record = {
            "run": self._run.run_id,
            "task": self._assignment.task_id,
            "attempt": self._assignment.attempt,
            "agent": self._agent_name,
            "status": "succeeded" if outcome.succeeded else "failed",
            "reason": outcome.reason,
            "error": _valid(outcome.error),
            "exit_status": outcome.exit_status,
            "signal": outcome.signal,
            "started_at": iso_time(span[0]),
            "finished_at": iso_time(span[1]),
            "worker": worker,
            "host": _HOST,
            "pid": os.getpid(),
            "commands": outcome.commands,
            "files": files,
        }
        if self._memory_mib:
            record["memory_mib"] = self._memory_mib
        record |= self._usage_fields(span[1] - span[0])
        if self._input_digests:
            record["inputs"] = self._input_digests
        if self._given:
            record |= self._given
        if omitted:
            record["result_omitted_bytes"] = len(result)
        elif result:
            record["result"] = outcome.result
        if self._run.dry_run:
            record["dry_run"] = True
        elif self._gang is not None:
            self._gang.add_to(record, inline)
        line = orjson.dumps(record) + b"\t" + (orjson.dumps(inline) if inline else b"")
        return Performed(self.claimed, outcome, line, b"" if omitted else result, span[1] - span[0], files)

    def _usage_fields(self, duration_s: float) -> dict[str, Any]:
        """Return what the record says of what was used; nothing when no process was started."""
        usage = self.runner.usage
        if usage is None:
            return {}
        fields: dict[str, Any] = {"usage": usage.to_record()}
        is_telling = duration_s > HINT_S or usage.peak_memory_mib > 0  # else nothing is said: spare the call
        if is_telling and (told := hints(usage, self._allowance.asked, duration_s)):
            fields["hints"] = told
        return fields

    def _lacks_time(self) -> Outcome | None:
        """Return the outcome of an attempt that was claimed when the time of its task was up."""
        if self.claimed.left_s is None or self.claimed.left_s > 0:
            return None
        return Outcome(
            succeeded=False, reason=Reason.TIMEOUT, error="the time of its task was up before it could start"
        )

    def _lacks_inputs(self) -> Outcome | None:
        """Note the digests of the declared inputs; return the outcome of an attempt that cannot start without them."""
        if not self._declared_inputs or self._run.dry_run:
            return None
        try:
            self._input_digests = digests_of(find_declared(self._declared_inputs, "input"))
        except DeclaredMissing as error:
            return Outcome(succeeded=False, reason=Reason.REFUSED, error=str(error))
        except OSError as error:
            what = f"declared input `{error.filename}` cannot be read: {error.strerror or error}"
            return Outcome(succeeded=False, reason=Reason.INFRASTRUCTURE, error=what)
        return None

    def _with_outputs(self, outcome: Outcome) -> Outcome:
        """Take the declared outputs as evidence; an attempt that should have left them and did not has failed.

        Raises:
            OSError: One cannot be read, or not be kept.
        """
        found = []
        for pattern in self._declared_outputs:
            try:
                found += find_declared([pattern], "output")
            except DeclaredMissing as error:
                if outcome.succeeded:
                    outcome = replace(outcome, succeeded=False, reason=Reason.EXIT, error=str(error), result=None)
        self._evidence.add_outputs(dict.fromkeys(found))
        return outcome

    def _outcome(self, agents: AgentRegistry) -> Outcome:
        try:
            agent = agents.get(self._agent_name)
        except AgentMissing as error:
            return Outcome(succeeded=False, reason=Reason.REFUSED, error=str(error))
        try:
            if self._run.dry_run:
                return Outcome(succeeded=True, note=f"dry run: would {agent.describe(self._assignment)}")
            return agent.perform(self._assignment, self.runner)
        except WorkplaceFailed as error:
            return Outcome(succeeded=False, reason=Reason.INFRASTRUCTURE, error=str(error))
        except Exception as error:  # whatever an agent raises is the attempt's failure, not the worker's
            return Outcome(succeeded=False, reason=Reason.EXIT, error=f"{type(error).__name__}: {error}")


_HOST = platform.node()


def _shorter(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two limits of time; None is no limit."""
    limits = [limit for limit in (one, other) if limit is not None]
    return min(limits, default=None)


def _without_secrets(outcome: Outcome, redactor: Redactor) -> Outcome:
    """Return an outcome whose error, commands and result hold no secret; its note goes through the evidence."""
    if outcome.error is None and outcome.result is None and not outcome.commands:
        return outcome
    try:
        told = orjson.dumps([outcome.error, outcome.result, outcome.commands])
    except TypeError:  # told below, of the result; what is odd in it may be anything
        told = str((outcome.error, outcome.result, outcome.commands)).encode(errors="replace")
    if not redactor.may_change(told):
        return outcome
    return replace(
        outcome,
        error=None if outcome.error is None else redactor.text(outcome.error),
        result=redactor.json(outcome.result),
        commands=redactor.json(outcome.commands),
    )


def _with_result(outcome: Outcome) -> tuple[Outcome, bytes]:
    """Return an outcome with its result as JSON (empty for none); one whose result cannot be kept has failed."""
    if outcome.result is None:
        return outcome, b""
    try:
        return outcome, orjson.dumps(outcome.result)
    except TypeError as error:  # half a surrogate pair, an integer above 64 bits, what is not JSON at all
        what = f"its result cannot be kept as JSON: {error}"
        return replace(outcome, succeeded=False, reason=Reason.EXIT, error=what, result=None), b""


def _valid(text: str | None) -> str | None:
    """Return a text that UTF-8 can hold; messages of exceptions may quote anything."""
    return None if text is None else text.encode(errors="replace").decode()


def lost_record(error: str, *, worker: str, reason: Reason = Reason.LOST_WORKER, tasks: Sequence[str] = ()) -> bytes:
    """Return the record of attempts that nobody finished; the log line beside it names the attempt."""
    record: dict[str, Any] = {"status": "failed", "reason": reason, "error": error, "worker": worker, "host": _HOST}
    if tasks:
        record["tasks"] = list(tasks)
    return orjson.dumps(record)
