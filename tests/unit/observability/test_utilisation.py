from __future__ import annotations

import pytest

from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.timeline import RunTimeline
from taskexec.observability.utilisation import utilisation

SECOND = 1_000_000


def happened(kind: TransitionKind, at_s: int, index: int = -1) -> Transition:
    return Transition(kind, at_s * SECOND, "w", index, 0 if index < 0 else 1, "")


def timeline_of(*attempts: tuple[int, int, dict[str, float]]) -> RunTimeline:
    """Return a run with an attempt for each task, from one second to another (0: it runs), and what it used."""
    timeline = RunTimeline({"tasks": [{"id": f"t{index}"} for index in range(len(attempts))]})
    timeline.take(happened(TransitionKind.STARTED, 0))
    for index, (begun, ended, usage) in enumerate(attempts):
        timeline.take(happened(TransitionKind.QUEUED, 0, index))
        timeline.take(happened(TransitionKind.RUNNING, begun, index))
        if ended:
            timeline.take(happened(TransitionKind.SUCCEEDED, ended, index))
            timeline.spans[index].attempts[-1].usage = usage
    return timeline


def test_attempts_count_in_the_steps_in_which_they_ran() -> None:
    found = utilisation(timeline_of((0, 4, {}), (3, 10, {})), 10, 10 * SECOND)

    assert found.lines["running"] == pytest.approx([1, 1, 1, 2, 1, 1, 1, 1, 1, 1])


def test_a_step_that_is_partly_used_counts_partly() -> None:
    found = utilisation(timeline_of((0, 5, {}), (5, 10, {})), 4, 10 * SECOND)
    alone = utilisation(timeline_of((1, 2, {}), (9, 10, {})), 2, 10 * SECOND)

    assert found.lines["running"] == pytest.approx([1, 1, 1, 1])
    assert alone.lines["running"] == pytest.approx([0.2, 0.2])


def test_cpu_time_is_spread_over_the_time_it_ran() -> None:
    found = utilisation(timeline_of((0, 5, {"cpu_s": 10.0, "gpu_s": 2.5}), (5, 10, {})), 10, 10 * SECOND)

    assert found.lines["cpus"] == pytest.approx([2] * 5 + [0] * 5)
    assert found.lines["gpus"] == pytest.approx([0.5] * 5 + [0] * 5)


def test_peaks_of_memory_add_up() -> None:
    found = utilisation(
        timeline_of((0, 10, {"peak_memory_mib": 100}), (5, 10, {"peak_memory_mib": 50})), 2, 10 * SECOND
    )

    assert found.lines["memory_mib"] == pytest.approx([100, 150])


def test_it_says_of_how_many_it_knows() -> None:
    found = utilisation(timeline_of((0, 4, {"cpu_s": 1.0}), (3, 0, {})), 10, 10 * SECOND)

    assert (found.attempts, found.known) == (2, 1)
    assert found.span_s == 10
    assert found.lines["running"][-1] == pytest.approx(1)


def test_a_run_that_has_not_started_used_nothing() -> None:
    found = utilisation(RunTimeline({"tasks": [{"id": "a"}]}), 3, 5)

    assert found.to_json() == {
        "span_s": 0.0,
        "attempts": 0,
        "known": 0,
        **{name: [0.0] * 3 for name in ("running", "cpus", "memory_mib", "gpus", "gpu_memory_mib")},
    }
