"""Tests of one attempt: its record, its result, and what becomes of everything that can go wrong in an agent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from taskexec.agents import AgentRegistry, Assignment, Outcome
from taskexec.completion.ledger import split_record
from taskexec.domain.program import ClaimedMember, Member
from taskexec.domain.states import Reason
from taskexec.runtime.attempt import AttemptWork, Performed, RunInfo, ServerClock, lost_record
from taskexec.runtime.workplace import Workplace


class FakeAgent:
    """Does what it is told; notes whether it performed."""

    def __init__(self, perform: Callable[[Assignment], Outcome]) -> None:
        self._perform = perform
        self.performed: list[Assignment] = []

    def check(self, payload: Any) -> None:
        return None

    def describe(self, assignment: Assignment) -> str:
        return "greet the \ud800 world"

    def perform(self, assignment: Assignment, runner: Any) -> Outcome:
        self.performed.append(assignment)
        return self._perform(assignment)


def registry_of(agent: FakeAgent) -> AgentRegistry:
    return AgentRegistry([SimpleNamespace(name="fake", load=lambda: lambda: agent)])  # type: ignore[list-item]


def perform(place: Workplace, kept: Any, agent: FakeAgent, *, name: str = "fake", dry_run: bool = False) -> Performed:
    spec: dict[str, Any] = {"id": "t", "agent": name, "payload": {}, "depends_on": ["a", "b"], "timeout_s": None}
    claimed = ClaimedMember(Member(7, 2), (3, 4), orjson.dumps(spec))
    work = AttemptWork(RunInfo("r", dry_run), claimed, {3: b"[1]"}, place=place, evidence=kept.evidence)
    return work.perform(registry_of(agent), ServerClock(1_000_000, 0.0), "w")


def record_of(performed: Performed) -> dict[str, Any]:
    record: dict[str, Any] = orjson.loads(split_record(performed.record.decode())[0])
    return record


def raise_(error: Exception) -> Outcome:
    raise error


def test_agent_gets_the_results_of_the_dependencies_by_id(place: Workplace, kept: Any) -> None:
    agent = FakeAgent(lambda _: Outcome(succeeded=True))

    perform(place, kept, agent)

    assert agent.performed[0].inputs == {"a": [1], "b": None}


def test_record_names_the_results_that_the_attempt_was_given_as_it_got_them(place: Workplace, kept: Any) -> None:
    def spoil(assignment: Assignment) -> Outcome:
        assignment.inputs["a"].append(2)  # type: ignore[union-attr]
        return Outcome(succeeded=True)

    record = record_of(perform(place, kept, FakeAgent(spoil)))

    assert record["given"] == {"a": hashlib.sha256(b"[1]").hexdigest()}


def test_record_tells_how_the_attempt_ended(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: Outcome(succeeded=True, result={"n": 1}, note="hello")))

    record = record_of(performed)
    assert (record["task"], record["attempt"], record["status"], record["result"]) == ("t", 2, "succeeded", {"n": 1})
    assert record["files"]["stdout.log"]["bytes"] == 6
    assert performed.result == b'{"n":1}'


def test_exception_of_an_agent_fails_the_attempt_only(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: raise_(KeyError("x"))))

    assert (performed.outcome.succeeded, performed.outcome.reason) == (False, Reason.EXIT)
    assert record_of(performed)["error"] == "KeyError: 'x'"


def test_missing_agent_refuses_the_attempt(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: Outcome(succeeded=True)), name="none")

    assert performed.outcome.reason is Reason.REFUSED


def test_dry_run_performs_nothing_and_says_what_it_would_do(place: Workplace, kept: Any) -> None:
    agent = FakeAgent(lambda _: Outcome(succeeded=True))

    performed = perform(place, kept, agent, dry_run=True)

    assert agent.performed == []
    assert record_of(performed)["dry_run"] is True
    assert b"dry run: would greet" in kept.content("stdout.log")


@pytest.mark.parametrize("result", [2**70, "\ud800", {1, 2}, {"a": object()}])
def test_result_that_json_cannot_keep_fails_the_attempt(result: Any, place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: Outcome(succeeded=True, result=result)))

    record = record_of(performed)
    assert (record["status"], record["reason"]) == ("failed", "exit")
    assert not performed.outcome.succeeded
    assert performed.result == b""


def test_error_text_that_is_not_unicode_is_told_all_the_same(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: raise_(OSError("caf\udce9"))))

    assert record_of(performed)["error"] == "OSError: caf?"


def test_large_result_stays_in_the_evidence_and_is_not_handed_on(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: Outcome(succeeded=True, result="x" * 70_000)))

    record = record_of(performed)
    assert performed.outcome.succeeded
    assert record["result_omitted_bytes"] == 70_002
    assert "result" not in record
    assert performed.result == b""


def test_record_is_one_line_whatever_is_in_it(place: Workplace, kept: Any) -> None:
    performed = perform(place, kept, FakeAgent(lambda _: Outcome(succeeded=False, error="a\nb\tc\r", note="x\ty\n")))

    record, inline = split_record(performed.record.decode())
    assert b"\n" not in performed.record
    assert orjson.loads(record)["error"] == "a\nb\tc\r"
    assert inline == {"stdout.log": "x\ty\n\n"}


def test_times_are_the_servers(place: Workplace, kept: Any) -> None:
    clock = ServerClock(server_us=5_000_000, monotonic=100.0)

    assert clock.at(101.5) == 6.5


def test_lost_record_names_worker_and_reason() -> None:
    record = orjson.loads(lost_record("gone", worker="w"))

    assert (record["status"], record["reason"], record["worker"]) == ("failed", "lost_worker", "w")
