"""Tests of estimates: durations by what tasks are like, when a run should end, and how sure that is."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from support.timelines import START_US, Played, play, random_tasks, task

from taskexec.observability.estimate import estimate_end, estimate_lanes, estimate_tasks, expected_s
from taskexec.observability.hindsight import look_back
from taskexec.observability.timeline import RunTimeline


def fresh(tasks: list[dict[str, Any]]) -> RunTimeline:
    return RunTimeline({"tasks": tasks})


def test_declared_duration_counts_while_nothing_was_seen() -> None:
    timeline = fresh([task("a", duration_s=7.0), task("b")])

    assert (expected_s(timeline, 0), expected_s(timeline, 1)) == (7.0, None)


def test_tasks_are_expected_to_take_what_others_like_them_took() -> None:
    build = {"payload": {"commands": [{"argv": ["make", "target-1"]}]}}
    alike = {"payload": {"commands": [{"argv": ["make", "target-2"]}]}}
    other = {"payload": {"commands": [{"argv": ["deploy"]}]}}
    timeline = play([task("a", s=2.0, **build), task("b", "a", s=9, **other), task("c", "b", **alike)], Played())

    assert expected_s(timeline, 2) == pytest.approx(1.5)  # a and c are of one kind
    assert expected_s(timeline, 1) == pytest.approx(9.0)


def test_what_asks_for_more_is_another_kind() -> None:
    small, large = {"cpus": 1}, {"cpus": 8}
    first = [task("a", s=1.0, **small), task("b", s=4.0, **large)]
    timeline = play([*first, task("c", "a", "b", s=1.0, **large)], Played(until_s=5.0))

    assert expected_s(timeline, 2) == pytest.approx(4.0)


def test_declared_durations_are_corrected_by_how_far_they_were_off() -> None:
    tasks = [task(f"t{one}", s=0.5, duration_s=5.0) for one in range(6)]
    timeline = play([*tasks, task("last", *(one["id"] for one in tasks), s=1.0, duration_s=10.0)], Played(until_s=3.0))

    assert expected_s(timeline, 6) == pytest.approx(1.0)


def test_durations_of_an_earlier_run_count_for_more_than_the_plan() -> None:
    timeline = fresh([task("a", duration_s=7.0)])
    timeline.pace.earlier_s = {"a": 3.0}

    assert expected_s(timeline, 0) == 3.0


def test_end_is_estimated_from_the_graph_and_the_slots() -> None:
    wide = fresh([task(f"t{one}", duration_s=10.0) for one in range(8)])
    chain = fresh([task(f"t{one}", *([f"t{one - 1}"] if one else []), duration_s=10.0) for one in range(8)])

    ends = [estimate_end(one, START_US, slots=4) for one in (wide, chain)]

    assert [one.left_s(START_US)[0] for one in ends if one] == [pytest.approx(20.0), pytest.approx(80.0)]


def test_nothing_is_said_of_what_is_unknown_or_over() -> None:
    assert estimate_end(fresh([task("a")]), START_US) is None
    assert estimate_end(play([task("a")]), START_US + 10_000_000) is None


def test_interval_holds_the_estimate_and_says_what_it_rests_on() -> None:
    timeline = play([task(f"t{one}", s=1.0) for one in range(40)], Played(until_s=6.0))

    estimate = estimate_end(timeline, timeline.view.last_us)

    assert estimate is not None
    assert timeline.view.last_us <= estimate.earliest_us <= estimate.at_us <= estimate.latest_us
    assert estimate.basis == "observed"
    assert set(estimate.to_json()) == {"at", "earliest", "latest", "basis"}


def test_interval_narrows_as_more_is_seen() -> None:
    tasks = [task(f"t{one}", s=1.0) for one in range(200)]
    widths = []
    for until_s in (3.0, 50.0):
        timeline = play(tasks, Played(until_s=until_s))
        estimate = estimate_end(timeline, timeline.view.last_us)
        assert estimate is not None
        left, least, most = estimate.left_s(timeline.view.last_us)
        widths.append((most - least) / left)

    assert widths[1] < widths[0] / 1.5


def test_what_runs_longer_than_expected_does_not_end_in_the_past() -> None:
    timeline = play([task("a", s=100.0, duration_s=5.0)], Played(until_s=20.0))

    estimate = estimate_end(timeline, START_US + 60_000_000)

    assert estimate is not None
    assert estimate.at_us > START_US + 60_000_000


def test_interval_widens_the_longer_a_task_overruns() -> None:
    tasks = [task(f"t{one}", s=1.0) for one in range(30)]
    timeline = play([*tasks, task("last", *(one["id"] for one in tasks), s=1000.0)], Played(until_s=20.0))
    begun_us = timeline.view.running[30]
    widths = []
    for seconds in (1, 10, 100):
        now_us = begun_us + seconds * 1_000_000
        estimate = estimate_end(timeline, now_us)
        assert estimate is not None
        assert now_us <= estimate.earliest_us <= estimate.at_us <= estimate.latest_us
        widths.append(estimate.left_s(now_us)[2])

    assert widths[0] < 2.0
    assert widths[1] > 9.0
    assert widths[2] > 90.0


def test_tasks_and_lanes_have_ends_of_their_own() -> None:
    tasks = [task("a", duration_s=1.0, lane="first"), task("b", "a", duration_s=2.0, lane="second")]
    timeline = fresh(tasks)

    ends = {name: one.left_s(START_US)[0] for name, one in estimate_lanes(timeline, START_US, slots=1).items()}

    assert ends == {"first": pytest.approx(1.0), "second": pytest.approx(3.0)}
    assert set(estimate_tasks(timeline, START_US, slots=1)) == {0, 1}


def test_estimates_on_the_way_are_held_against_the_real_end() -> None:
    found = look_back(play([task(f"t{one}", s=1.0) for one in range(60)], Played(slots=4)))

    assert [one.share for one in found.said] == [0.25, 0.5, 0.75]
    assert found.mean_error_ratio is not None
    assert found.mean_error_ratio < 0.2
    assert all(one.is_within for one in found.said)


def test_four_of_five_runs_end_within_their_intervals() -> None:
    said = []
    for seed in range(40):
        random = Random(seed)
        tasks = random_tasks(random, 80, reach=40)
        said += look_back(play(tasks, Played(slots=random.choice([2, 4, 8])))).said

    within = sum(one.is_within for one in said) / len(said)
    assert 0.7 <= within <= 0.97
