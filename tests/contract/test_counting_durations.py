"""How long tasks waited is counted once, by whoever comes first, and goes on where somebody left off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.plays import Play
from support.programs import Spec
from support.stages import ServerStage

from taskexec.cluster import durations
from taskexec.cluster.durations import DurationCounter
from taskexec.domain.events import LogEntry
from taskexec.domain.program import RunOptions
from taskexec.observability.metrics import Histogram
from taskexec.store.connection import Connection
from taskexec.store.durations import RedisDurations
from taskexec.store.keys import DURATIONS, MEASURED, run_key
from taskexec.store.logs import RunLogs

Start = Callable[..., Play]


@pytest.fixture
def counter(connection: Connection) -> DurationCounter:
    counter = DurationCounter(connection)
    counter.count(limit_s=9.0)  # the first call says since when
    return counter


@pytest.fixture
def start(connection: Connection) -> Start:
    stage = ServerStage(connection)

    def begin(run_id: str, *specs: Spec, **options: object) -> Play:
        return Play(stage, run_id, list(specs), RunOptions(**({"batch_max": 1} | options)))  # type: ignore[arg-type]  # options of a test

    return begin


def amounts(found: Mapping[tuple[str, str], Histogram]) -> dict[tuple[str, str], float]:
    """Return how many there were of what there were some."""
    return {name: count for name, histogram in sorted(found.items()) if (count := sum(histogram.counts))}


def test_each_claim_counts_once_by_agent(counter: DurationCounter, start: Start) -> None:
    run = start("one", Spec(), Spec(after=(0,), agent="shell"), Spec(is_satisfied=True), Spec(agent="a b"))
    run.do((0, 1), (1, 1), (3, 1))

    found = [amounts(counter.count(limit_s=9.0)) for _ in range(3)]

    kinds = ("noop", "other", "shell")
    assert found == [{(phase, kind): 1 for phase in ("dispatch", "wait") for kind in kinds}] * 3


def test_agents_of_ours_are_told_before_they_did_anything(counter: DurationCounter) -> None:
    found = counter.count(limit_s=9.0)

    assert {phase for phase, kind in found if kind == "shell"} == {"wait", "dispatch", "work"}
    assert amounts(found) == {}


def test_what_happened_before_anybody_counted_does_not_count(connection: Connection, start: Start) -> None:
    start("old", Spec()).do((0, 1))
    run = start("new", Spec(), Spec())
    run.do((0, 1))
    connection.call("HSET", MEASURED, "*", _last(connection, "new"))

    run.do((1, 1))

    assert amounts(DurationCounter(connection).count(limit_s=9.0))["wait", "noop"] == 1


def test_who_comes_after_goes_on_where_the_other_ended(connection: Connection, start: Start) -> None:
    first = DurationCounter(connection)
    first.count(limit_s=9.0)
    run = start("one", Spec(), Spec(after=(0,)), Spec(after=(1,)))
    run.do((0, 1))
    first.count(limit_s=9.0)
    run.do((1, 1))

    second = DurationCounter(connection)
    found = [amounts(second.count(limit_s=9.0))]
    run.do((2, 1))
    found += [amounts(one.count(limit_s=9.0)) for one in (first, second, first)]

    assert [one["wait", "noop"] for one in found] == [2, 3, 3, 3]


def test_two_that_count_the_same_at_once_count_it_once(
    connection: Connection, counter: DurationCounter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("one", Spec()).do((0, 1))
    add, others = RedisDurations.add, list[object]()

    def slow(self: RedisDurations, *given: object) -> bool:
        monkeypatch.setattr(RedisDurations, "add", add)
        others.append(amounts(DurationCounter(connection).count(limit_s=9.0)))
        return add(self, *given)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(RedisDurations, "add", slow)
    slower = amounts(counter.count(limit_s=9.0))

    assert others == [{("dispatch", "noop"): 1, ("wait", "noop"): 1}]
    assert slower == {}
    assert [amounts(counter.count(limit_s=9.0))] == others


def test_what_there_was_no_time_for_is_counted_next(connection: Connection, start: Start) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    counter = DurationCounter(connection, clock=clock)
    counter.count(limit_s=1.0)
    run = start("one", *(Spec() for _ in range(300)))
    run.do(*((index, 1) for index in range(300)))

    found = [amounts(counter.count(limit_s=1.0)).get(("wait", "noop"), 0) for _ in range(40)]

    assert found == sorted(found)
    assert 0 < found[3] < 300
    assert found[-1] == 300


def test_older_run_that_there_was_no_time_for_is_read_to_its_end(
    connection: Connection, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "_NEWEST", 1)
    monkeypatch.setattr(durations, "_IN_TURN", 0)
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    counter = DurationCounter(connection, clock=clock)
    counter.count(limit_s=1.0)
    start("older", *(Spec() for _ in range(200))).do(*((index, 1) for index in range(200)))
    start("newest", Spec())

    found = [amounts(counter.count(limit_s=1.0)).get(("wait", "noop"), 0) for _ in range(30)]

    assert 0 < found[2] < 200
    assert found[-1] == 200


def test_run_that_is_run_again_counts_again(counter: DurationCounter, start: Start) -> None:
    run = start("one", Spec())
    run.do((0, 1), succeeded=False)
    before = amounts(counter.count(limit_s=9.0))

    run.retry(0)
    run.do((0, 2))

    assert before["wait", "noop"] == 1
    assert amounts(counter.count(limit_s=9.0))["wait", "noop"] == 2


def test_claim_that_was_given_back_does_not_count(counter: DurationCounter, start: Start) -> None:
    run = start("one", Spec())
    run.claim((0, 1))
    claimed = amounts(counter.count(limit_s=9.0))
    run.release((0, 1))
    back = amounts(counter.count(limit_s=9.0))
    run.do((0, 1))

    assert [claimed, back] == [{}, {}]
    assert amounts(counter.count(limit_s=9.0)) == {("dispatch", "noop"): 1, ("wait", "noop"): 1}


def test_runs_that_ended_between_two_looks_count_however_many_newer_ones_there_are(
    counter: DurationCounter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "_NEWEST", 2)
    monkeypatch.setattr(durations, "_IN_TURN", 0)

    for number in range(40):
        start(f"run-{number}", Spec()).do((0, 1))

    assert amounts(counter.count(limit_s=9.0))["wait", "noop"] == 40


def test_older_run_that_was_run_again_counts_when_its_turn_comes(
    connection: Connection, counter: DurationCounter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "_NEWEST", 1)
    monkeypatch.setattr(durations, "_IN_TURN", 2)
    runs = [start(f"run-{number}", Spec()) for number in range(9)]
    for run in runs:
        run.do((0, 1), succeeded=False)
    start("later", Spec()).do((0, 1))
    connection.call("XADD", run_key("later", "log"), "*", "t", 1, "w", "w", "d", "? of a later version")
    start("newest", Spec())
    counter.count(limit_s=9.0)

    found = []
    for run in runs:
        run.retry(0)
        run.do((0, 2))
        found.append([amounts(counter.count(limit_s=9.0))["wait", "noop"] for _ in range(5)][-1])

    assert [count - found[0] for count in found] == [*range(9)]


def test_runs_in_which_nothing_happens_any_more_are_asked_for_in_turn_alone(
    connection: Connection, counter: DurationCounter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "_NEWEST", 1)
    monkeypatch.setattr(durations, "_IN_TURN", 3)
    for number in range(30):
        start(f"run-{number}", Spec()).do((0, 1))
        if number % 2:  # it has expired, and the list of runs was not trimmed since
            connection.call("DEL", *(run_key(f"run-{number}", name) for name in ("meta", "log", "task", "successors")))
    counter.count(limit_s=9.0)
    asked = list[int]()
    read = RunLogs.read

    def noted(self: RunLogs, after: Mapping[str, str], **how: Any) -> dict[str, list[LogEntry]]:
        asked.append(len(after))
        return read(self, after, **how)

    monkeypatch.setattr(RunLogs, "read", noted)
    counter.count(limit_s=9.0)

    assert asked == [4]


def test_run_that_is_not_understood_keeps_nobody_from_counting(
    connection: Connection, counter: DurationCounter, start: Start
) -> None:
    start("later", Spec()).do((0, 1))
    connection.call("XADD", run_key("later", "log"), "*", "t", 1, "w", "w", "d", "? of a later version")
    start("damaged", Spec()).do((0, 1))
    connection.call("HSET", run_key("damaged", "task"), "0", "nonsense")
    start("known", Spec()).do((0, 1))

    counters = [counter, counter, DurationCounter(connection)]
    found = [amounts(one.count(limit_s=9.0))["wait", "noop"] for one in counters]

    assert found == [2, 2, 2]  # what was understood counts, once


def test_agents_are_few_whatever_they_are_called(counter: DurationCounter, start: Start) -> None:
    for number in range(30):
        start(f"run-{number}", Spec(agent=f"agent-{number}")).do((0, 1))
        counter.count(limit_s=9.0)

    found = amounts(counter.count(limit_s=9.0))

    assert len([kind for phase, kind in found if phase == "wait"]) == 21
    assert found["wait", "other"] == 10


def test_runs_that_are_gone_leave_nothing_behind(
    connection: Connection, counter: DurationCounter, start: Start
) -> None:
    start("gone", Spec()).do((0, 1))
    counter.count(limit_s=9.0)
    connection.call("DEL", "tek:runs", *(run_key("gone", name) for name in ("meta", "log", "task", "successors")))

    start("next", Spec()).do((0, 1))
    found = amounts(counter.count(limit_s=9.0))

    assert found["wait", "noop"] == 2
    assert {name.decode() for name in connection.call("HKEYS", MEASURED)} == {"*", "next"}


def test_counts_of_another_version_are_told_as_far_as_they_are_understood(
    connection: Connection, counter: DurationCounter
) -> None:
    connection.call("HSET", DURATIONS, "wait shell 0.3", 2, "wait shell us", 500_000, "sleep shell 1.0", 1)

    found = counter.count(limit_s=9.0)

    assert amounts(found) == {("wait", "shell"): 2}
    assert found["wait", "shell"].total == 0.5


def _last(connection: Connection, run_id: str) -> bytes:
    return bytes(connection.call("XREVRANGE", run_key(run_id, "log"), "+", "-", "COUNT", 1)[0][0])
