"""What is told of a run that was seen to its end: how long its tasks waited, by the attempts that were kept."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.timelines import Played, play, task

from taskexec.domain.events import Transition, TransitionKind
from taskexec.observability.metrics.run_sheet import run_sheet
from taskexec.observability.timeline import RunTimeline


def lasted(timeline: RunTimeline, phase: str) -> tuple[float, float]:
    """Return how many there were of a phase, and how long they were together."""
    text = run_sheet(timeline, plan="p", evidence_bytes=0, late=0, scripts={}).text().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [
        sum(sample.value for sample in samples if sample.name == f"taskexec_run_{phase}_seconds_{part}")
        for part in ("count", "sum")
    ]
    return found[0], found[1]


def test_claims_that_were_given_back_end_no_waiting() -> None:
    how = Played(slots=1, come_s=0.5, claim_s=0.25, given_back_s=8.0, gives_back={"a": 2})

    timeline = play([task("a", s=4.0)], how)

    assert lasted(timeline, "wait") == (1, pytest.approx(16.75))
    assert lasted(timeline, "dispatch") == (1, 0)
    assert lasted(timeline, "work") == (1, pytest.approx(4.0))


def test_task_that_is_run_again_waits_from_then_on() -> None:
    timeline = play([task("a", s=4.0)], Played(come_s=0.5))
    at_us = timeline.view.last_us
    for kind, after_s in (TransitionKind.RETRIED, 100), (TransitionKind.QUEUED, 100), (TransitionKind.RUNNING, 107):
        timeline.take(Transition(kind, at_us + after_s * 1_000_000, "w", 0, 2, ""))

    assert lasted(timeline, "wait") == (1, pytest.approx(7.0))
