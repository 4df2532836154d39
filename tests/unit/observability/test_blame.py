"""Tests of blame: the wall time of a run split without remainder along its critical path, and what would shorten it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.timelines import Played, play, random_tasks, task

from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.blame import Part, blame
from taskexec.observability.timeline import RunTimeline


def seconds(timeline: RunTimeline) -> dict[str, float]:
    return {str(part): amount / 1e6 for part, amount in blame(timeline).parts.items() if amount}


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 6), st.floats(0.1, 40.0))
def test_parts_add_up_to_the_wall_time(seed: int, count: int, slots: int, until_s: float) -> None:
    random = Random(seed)
    tasks = random_tasks(random, count)
    fails = {one["id"]: random.randrange(3) for one in tasks if random.random() < 0.2}

    found = blame(play(tasks, Played(slots=slots, fails=fails, until_s=until_s)))

    assert sum(found.parts.values()) == found.wall_us
    assert min(found.parts.values()) >= 0
    assert sum(sum(link.parts.values()) for link in found.chain) <= found.wall_us
    assert found.parts[Part.DEPENDENCIES] == 0


@given(st.lists(st.tuples(st.sampled_from("QRSTLBHXCGOEAFP"), st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_parts_add_up_whatever_the_log_says(said: list[tuple[str, int, int]]) -> None:
    letters = dict(zip("QRSTLBHXCGOEAFP", _KINDS, strict=True))
    timeline = RunTimeline({"tasks": [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")]})
    at_us = 1_000_000
    timeline.take(Transition(TransitionKind.STARTED, at_us, "", -1, 0, ""))
    for letter, index, step in said:
        at_us += step * 100_000
        kind = letters[letter]
        of_run = kind in {TransitionKind.REOPENED, TransitionKind.ENDED, TransitionKind.STARTED}
        detail = "failed" if kind is TransitionKind.ENDED else "0" if kind is TransitionKind.SKIPPED else ""
        timeline.take(Transition(kind, at_us, "w", -1 if of_run else index, 0 if of_run else 1 + step % 2, detail))

    found = blame(timeline)

    assert sum(found.parts.values()) == found.wall_us
    assert min(found.parts.values()) >= 0


_KINDS = (
    TransitionKind.QUEUED,
    TransitionKind.RUNNING,
    TransitionKind.SUCCEEDED,
    TransitionKind.TRIED,
    TransitionKind.LOST,
    TransitionKind.GIVEN_BACK,
    TransitionKind.DELAYED,
    TransitionKind.SKIPPED,
    TransitionKind.CANCELLED,
    TransitionKind.RETRIED,
    TransitionKind.REOPENED,
    TransitionKind.ENDED,
    TransitionKind.STARTED,
    TransitionKind.FAILED,
    TransitionKind.SATISFIED,
)


def test_chain_goes_back_through_the_dependency_that_was_done_last() -> None:
    tasks = [task("a"), task("long", "a", s=5.0), task("short", "a"), task("end", "long", "short")]

    assert blame(play(tasks, Played(slots=4))).ids == ("a", "long", "end")


def test_chain_of_tasks_spends_its_time_on_work_and_what_is_around_it() -> None:
    found = seconds(play([task("a", s=1.0), task("b", "a", s=2.0)]))

    assert found["work"] == pytest.approx(3.0)
    assert found["dispatch"] == pytest.approx(0.5 + 2 * 0.01)  # a worker comes, and each is started
    assert found["overhead"] == pytest.approx(2 * 0.01)
    assert "resources" not in found


def test_waiting_while_all_slots_are_taken_is_waiting_for_resources() -> None:
    found = seconds(play([task(f"t{one}", s=1.0) for one in range(6)], Played(slots=2)))

    assert found["work"] == pytest.approx(1.0)
    assert found["resources"] == pytest.approx(2.04, abs=0.05)


def log_of(*said: tuple[float, TransitionKind, int]) -> RunTimeline:
    """Return a run of tasks without dependencies on one worker: what happened after so many seconds."""
    count = 1 + max(index for _, _, index in said)
    timeline = RunTimeline({"tasks": [task(f"t{one}") for one in range(count)]})
    timeline.take(Transition(TransitionKind.STARTED, 0, "", -1, 0, ""))
    for index in range(count):
        timeline.take(Transition(TransitionKind.QUEUED, 0, "", index, 1, ""))
    for at_s, kind, index in said:
        timeline.take(Transition(kind, round(at_s * 1e6), "w", index, 1, ""))
    timeline.take(Transition(TransitionKind.ENDED, round(said[-1][0] * 1e6), "", -1, 0, "succeeded"))
    return timeline


def test_what_was_given_back_had_no_slot() -> None:
    timeline = log_of(
        (0.0, TransitionKind.RUNNING, 0),
        (0.0, TransitionKind.RUNNING, 1),
        (0.5, TransitionKind.GIVEN_BACK, 1),
        (0.5, TransitionKind.QUEUED, 1),
        (4.0, TransitionKind.SUCCEEDED, 0),
        (4.0, TransitionKind.RUNNING, 1),
        (5.0, TransitionKind.SUCCEEDED, 1),
    )

    assert seconds(timeline) == {"work": pytest.approx(1.0), "resources": pytest.approx(4.0)}


def test_next_task_that_begins_before_the_end_of_the_last_was_recorded_has_its_slot() -> None:
    timeline = log_of(
        (0.0, TransitionKind.RUNNING, 0),
        (4.0, TransitionKind.RUNNING, 1),
        (4.01, TransitionKind.SUCCEEDED, 0),
        (8.0, TransitionKind.SUCCEEDED, 1),
        (8.0, TransitionKind.RUNNING, 2),
        (9.0, TransitionKind.SUCCEEDED, 2),
    )

    assert seconds(timeline)["resources"] == pytest.approx(8.0)


def test_failed_attempts_and_what_comes_between_are_retries() -> None:
    found = seconds(play([task("a", s=2.0)], Played(fails={"a": 2})))

    assert found["retries"] == pytest.approx(2 * 2.02 + 0.5)
    assert found["work"] == pytest.approx(2.0)


def test_time_until_somebody_had_it_run_again_is_waiting_for_people() -> None:
    timeline = play([task("a", s=1.0)])
    ended = timeline.view.ended_us
    assert ended is not None
    for kind, after_s, index in (
        (TransitionKind.REOPENED, 60, -1),
        (TransitionKind.RETRIED, 60, 0),
        (TransitionKind.QUEUED, 60, 0),
        (TransitionKind.RUNNING, 61, 0),
        (TransitionKind.SUCCEEDED, 64, 0),
    ):
        timeline.take(Transition(kind, ended + after_s * 1_000_000, "w", index, 2 * (index + 1), ""))
    timeline.take(Transition(TransitionKind.ENDED, ended + 64_000_000, "", -1, 0, "succeeded"))

    found = seconds(timeline)

    assert found["people"] == pytest.approx(60.0)
    assert found["work"] == pytest.approx(3.0)


def test_run_that_goes_on_is_split_until_now() -> None:
    found = blame(play([task("a", s=1.0), task("b", "a", s=50.0)], Played(until_s=10.0)))

    assert not found.is_final
    assert found.ids == ("a", "b")
    assert sum(found.parts.values()) == found.wall_us


def test_run_that_has_not_started_has_nothing_to_split() -> None:
    found = blame(RunTimeline({"tasks": [task("a")]}))

    assert (found.wall_us, found.ids, found.remedies) == (0, (), ())


def test_faster_task_saves_until_another_path_is_the_longest() -> None:
    tasks = [task("a", s=10.0), task("b", s=9.5), task("end", "a", "b", s=1.0)]

    found = blame(play(tasks, Played(slots=2, come_s=0.0)))

    remedy = next(one for one in found.remedies if one.task == "a")
    assert remedy.saves_us == pytest.approx(500_000, abs=1)  # not the 2 s by which it is faster
    assert remedy.then == ("b",)
    assert remedy.text == "20 % faster `a` saves 0.5 s; then the path goes through `b`"


def test_more_slots_are_named_when_tasks_waited_for_them() -> None:
    found = blame(play([task(f"t{one}", s=1.0) for one in range(20)], Played(slots=2)))

    more = next(one for one in found.remedies if one.kind == "slots")
    assert more.slots == 4
    assert more.saves_us == pytest.approx(found.wall_us / 2, rel=0.1)


def test_json_tells_all_in_microseconds() -> None:
    found = blame(play([task("a"), task("b", "a")]))

    told = found.to_json()

    assert sum(told["parts_us"].values()) == told["wall_us"]
    assert [link["task"] for link in told["critical_path"]] == ["a", "b"]
    assert set(told["parts_us"]) == {str(part) for part in Part}
