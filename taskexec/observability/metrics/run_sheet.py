"""What a submitter tells Prometheus of one run that it has seen to its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from taskexec.domain.counts import OTHER, is_plain
from taskexec.domain.states import RunStatus
from taskexec.observability.metrics.catalogue import DURATION_BOUNDS
from taskexec.observability.metrics.histogram import Histogram
from taskexec.observability.metrics.sheet import Sheet
from taskexec.observability.timeline import AttemptSpan, RunTimeline, TaskSpan

__all__ = ["run_sheet"]

_KINDS_MOST = 20
_ENDED = {"succeeded", "failed", "lost", "cancelled"}
_PLAN_CHARACTERS = 120


def run_sheet(
    timeline: RunTimeline, *, plan: str, evidence_bytes: int, late: int, scripts: Mapping[str, Histogram]
) -> Sheet:
    """Return what is told of a run.

    Args:
        timeline: The run.
        plan: What its plan is called.
        evidence_bytes: Size of what it left.
        late: Results that were refused because another attempt owned the task.
        scripts: Calls of the store's scripts by the submitter.
    """
    sheet, view = Sheet(), timeline.view
    plan = _shown(plan)
    for status in RunStatus:
        sheet.set("taskexec_run_status", float(view.status == status), plan=plan, status=str(status))
    for name, at_us in ("started", view.started_us), ("ended", view.ended_us):
        if at_us is not None:
            sheet.set(f"taskexec_run_{name}_timestamp_seconds", at_us / 1e6, plan=plan)
    kinds = _kinds(timeline)
    for span, kind in zip(timeline.spans, kinds, strict=True):
        sheet.add("taskexec_run_tasks", 1, plan=plan, state=str(span.status), kind=kind)
        for attempt in span.attempts:
            if attempt.outcome in _ENDED and attempt.claimed_us is not None:
                told = {"plan": plan, "outcome": attempt.outcome, "kind": kind, "reason": attempt.reason or ""}
                sheet.add("taskexec_run_attempts", 1, **told)
    _tell_durations(sheet, timeline, plan, kinds)
    sheet.set("taskexec_run_evidence_bytes", evidence_bytes, plan=plan)
    sheet.set("taskexec_run_late_results_refused", late, plan=plan)
    for script, histogram in scripts.items():
        sheet.set("taskexec_run_script_seconds", histogram, plan=plan, script=script)
    return sheet


def _shown(text: str) -> str:
    """Return the end of a text, as UTF-8 can hold it."""
    return text[-_PLAN_CHARACTERS:].encode(errors="replace").decode()


def _kinds(timeline: RunTimeline) -> list[str]:
    """Return the agent of each task; those beyond some, and those that are no plain words, are `other`."""
    named = [str(task.get("agent") or OTHER) for task in timeline.tasks]
    common = [kind for kind, _ in Counter(filter(is_plain, named)).most_common(_KINDS_MOST)]
    return [kind if kind in common else OTHER for kind in named]


def _tell_durations(sheet: Sheet, timeline: RunTimeline, plan: str, kinds: list[str]) -> None:
    found: dict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(DURATION_BOUNDS))
    for span, kind in zip(timeline.spans, kinds, strict=True):
        if (wait_s := _wait_s(span)) is not None:
            found["wait", kind].add(wait_s)
        for name, seconds in _durations(span):
            found[name, kind].add(seconds)
    for (name, kind), histogram in found.items():
        sheet.set(f"taskexec_run_{name}_seconds", histogram, plan=plan, kind=kind)


def _wait_s(span: TaskSpan) -> float | None:
    """Return how long a task waited for its first attempt, since it was run again if it was."""
    ready_us = span.ready_us
    if ready_us is None:
        return None
    started = (one.started_us for one in _kept(span) if one.claimed_us is not None and one.claimed_us >= ready_us)
    started_us = next(started, None)
    return None if started_us is None else (started_us - ready_us) / 1e6


def _kept(span: TaskSpan) -> Iterator[AttemptSpan]:
    """Yield the attempts that were claimed, without those that were given back: as if nobody had taken them."""
    return (one for one in span.attempts if one.claimed_us is not None and one.outcome != "given_back")


def _durations(span: TaskSpan) -> Iterator[tuple[str, float]]:
    for attempt in _kept(span):
        assert attempt.claimed_us is not None
        if attempt.queued_us is not None:
            yield "dispatch", (attempt.claimed_us - attempt.queued_us) / 1e6
        if _has_worked(attempt) and attempt.started_us is not None and attempt.finished_us is not None:
            yield "work", (attempt.finished_us - attempt.started_us) / 1e6


def _has_worked(attempt: AttemptSpan) -> bool:
    return attempt.outcome in {"succeeded", "failed"}
