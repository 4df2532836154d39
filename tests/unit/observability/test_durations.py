"""How long tasks waited and worked, as their log tells it entry by entry: what a timeline of the whole run knows."""

from __future__ import annotations

from collections import Counter
from random import Random

import orjson
import pytest
from support.timelines import Played, play, random_tasks

from taskexec.domain.clock import iso_time
from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.metrics import Lasted, Phase, RunDurations
from taskexec.observability.timeline import RunTimeline

Told = list[tuple[Phase, int, float]]


def step(kind: TransitionKind, at_s: float, index: int = -1, attempt: int = 0, detail: str = "") -> Transition:
    return Transition(kind, round(at_s * 1e6), "w", index, attempt, detail)


def worked(begun_s: float, ended_s: float) -> str:
    return orjson.dumps({"started_at": iso_time(begun_s), "finished_at": iso_time(ended_s)}).decode() + '\t{"x":"y"}'


def told(durations: RunDurations, *steps: Transition) -> Told:
    return [(one.phase, one.index, one.seconds) for one in durations.take(steps)]


def test_task_waits_for_its_last_dependency_and_works_as_long_as_its_record_says() -> None:
    durations = RunDurations(3, {0: (2,), 1: (2,)})

    waited = told(durations, step(TransitionKind.STARTED, 10))
    for index, at_s in (0, 12), (1, 15):
        waited += told(durations, step(TransitionKind.RUNNING, 11, index, 1))
        told(durations, step(TransitionKind.SUCCEEDED, at_s, index, 1, worked(11, at_s)))
    found = told(
        durations,
        step(TransitionKind.QUEUED, 17, 2, 1),
        step(TransitionKind.RUNNING, 20, 2, 1),
        step(TransitionKind.SUCCEEDED, 30, 2, 1, worked(21.5, 29)),
        step(TransitionKind.ENDED, 30, detail="succeeded"),
    )

    assert waited == []  # whoever took them may give them back
    assert found == [(Phase.DISPATCH, 2, 3), (Phase.WAIT, 2, 5), (Phase.WORK, 2, 7.5)]


def test_run_is_over_from_its_end_until_it_is_reopened() -> None:
    durations = RunDurations(1, {})
    over = []

    for kind, index in (
        (TransitionKind.STARTED, -1),
        (TransitionKind.ENDED, -1),
        (TransitionKind.REFUSED, 0),
        (TransitionKind.REOPENED, -1),
    ):
        told(durations, step(kind, 1, index))
        over.append(durations.is_over)

    assert over == [False, True, True, False]


def test_task_waits_once_however_often_it_is_tried_and_again_when_it_is_run_again() -> None:
    durations = RunDurations(1, {})

    told(durations, step(TransitionKind.STARTED, 1), step(TransitionKind.RUNNING, 2, 0, 1))
    first = told(durations, step(TransitionKind.TRIED, 4, 0, 1, worked(2, 3)))
    second = told(
        durations,
        step(TransitionKind.QUEUED, 5, 0, 2),
        step(TransitionKind.RUNNING, 6, 0, 2),
        step(TransitionKind.FAILED, 7, 0, 2, "{}"),
    )
    third = told(
        durations,
        step(TransitionKind.RETRIED, 10, 0),
        step(TransitionKind.QUEUED, 11, 0, 3),
        step(TransitionKind.RUNNING, 15, 0, 3),
        step(TransitionKind.CANCELLED, 16, 0, 3),
    )

    assert first == [(Phase.WAIT, 0, 1), (Phase.WORK, 0, 1)]
    assert second == [(Phase.DISPATCH, 0, 1)]
    assert third == [(Phase.DISPATCH, 0, 4), (Phase.WAIT, 0, 5)]


def test_attempt_that_was_lost_waited_and_did_not_work() -> None:
    durations = RunDurations(1, {})
    told(durations, step(TransitionKind.STARTED, 1), step(TransitionKind.RUNNING, 2, 0, 1))

    found = told(durations, step(TransitionKind.LOST, 3, 0, 1, '{"reason":"lost_worker"}'))

    assert found == [(Phase.WAIT, 0, 1)]


def test_task_that_was_given_back_waits_until_it_is_claimed_for_good() -> None:
    durations = RunDurations(1, {})

    back = told(
        durations,
        step(TransitionKind.STARTED, 1),
        step(TransitionKind.QUEUED, 1, 0, 1),
        step(TransitionKind.RUNNING, 2, 0, 1),
        step(TransitionKind.GIVEN_BACK, 30, 0, 1, worked(2, 3)),
        step(TransitionKind.QUEUED, 31, 0, 1),
    )
    kept = told(
        durations, step(TransitionKind.RUNNING, 41, 0, 1), step(TransitionKind.SUCCEEDED, 44, 0, 1, worked(42, 44))
    )

    assert back == []
    assert kept == [(Phase.DISPATCH, 0, 10), (Phase.WAIT, 0, 40), (Phase.WORK, 0, 2)]


def test_what_waits_in_a_further_life_waits_from_when_it_was_queued() -> None:
    durations = RunDurations(2, {0: (1,)})  # the first was done on a server that was lost

    found = told(
        durations,
        step(TransitionKind.SUBMITTED, 1),
        step(TransitionKind.STARTED, 2),
        step(TransitionKind.QUEUED, 3, 1, 1),
        step(TransitionKind.RUNNING, 7, 1, 1),
        step(TransitionKind.SUCCEEDED, 8, 1, 1),
    )

    assert found == [(Phase.DISPATCH, 1, 4), (Phase.WAIT, 1, 4)]


@pytest.mark.parametrize(
    "detail", ["", "nonsense", "[]", "{}", '{"started_at":1}', '{"started_at":"x","finished_at":"y"}']
)
def test_record_that_says_nothing_is_no_work(detail: str) -> None:
    durations = RunDurations(1, {})

    found = told(durations, step(TransitionKind.RUNNING, 2, 0, 1), step(TransitionKind.SUCCEEDED, 3, 0, 1, detail))

    assert found == []


@pytest.mark.parametrize("seed", range(20))
def test_random_run_waits_and_works_as_its_timeline_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random, steps = Random(seed), list[Transition]()
    take = RunTimeline.take
    monkeypatch.setattr(RunTimeline, "take", lambda self, step: (steps.append(step), take(self, step))[1])
    tasks = random_tasks(random, 60)

    back = {f"t{index}": random.randrange(1, 4) for index in random.sample(range(60), 12)}
    how = Played(slots=random.randrange(1, 6), fails={"t3": 2, "t7": 1}, gives_back=back)
    timeline = play(tasks, how)
    durations = RunDurations(len(tasks), dict(enumerate(timeline.successors)))
    found = Counter(durations.take(steps))

    expected = Counter[Lasted]()
    for index, span in enumerate(timeline.spans):
        kept = [attempt for attempt in span.attempts if attempt.outcome != "given_back"]
        assert len(span.attempts) - len(kept) == back.get(f"t{index}", 0)
        assert kept[0].claimed_us is not None
        assert span.ready_us is not None
        expected[Lasted(Phase.WAIT, index, (kept[0].claimed_us - span.ready_us) / 1e6)] += 1
        for attempt in kept:
            assert None not in (attempt.claimed_us, attempt.queued_us, attempt.started_us, attempt.finished_us)
            expected[Lasted(Phase.DISPATCH, index, (attempt.claimed_us - attempt.queued_us) / 1e6)] += 1
            expected[Lasted(Phase.WORK, index, (attempt.finished_us - attempt.started_us) / 1e6)] += 1
    assert found == expected
