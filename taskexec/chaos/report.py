"""What came of the faults: told from the run's ledger, and counted once more without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskexec.chaos.courses import Course, Courses
from taskexec.chaos.faults import Fault, FaultKind
from taskexec.chaos.ground import Done
from taskexec.domain.clock import iso_time
from taskexec.domain.events import TransitionKind
from taskexec.domain.states import LOST_REASONS, Reason

__all__ = ["ChaosReport", "Recovery", "make_report"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a run got over the death of one worker."""

    worker: str
    died_at: float
    """Server time, in seconds since the epoch."""
    held: int
    """Attempts that died with it."""
    released_s: float | None
    """Until the last of them was taken from it; None when it held nothing."""
    claimed_s: float | None
    """Until the last of their tasks was claimed again; None when it held nothing, or not all were."""

    def to_json(self, lease_s: float) -> dict[str, Any]:
        """Return it as `tek chaos` prints it."""
        return {
            "worker": self.worker,
            "died_at": iso_time(self.died_at),
            "held": self.held,
            "released_s": _rounded(self.released_s),
            "claimed_s": _rounded(self.claimed_s),
            "leases": None if self.claimed_s is None else round(self.claimed_s / lease_s, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """What happened to a run under faults."""

    run_id: str
    status: str | None
    """How the run ended; None when it did not."""
    seed: int
    lease_s: float
    faults: tuple[Done, ...]
    not_done: tuple[Fault, ...]
    """Faults that found no time, or nobody to strike."""
    attempts_lost: int
    late_results_refused: int
    reexecuted: tuple[str, ...]
    """Tasks of which more than one attempt was started."""
    lost: tuple[str, ...]
    """Tasks without an accepted completion that no failure of their own explains, or whose completion left no trace."""
    doubled: tuple[str, ...]
    """Tasks with more than one accepted completion, or executed more often than they were started."""
    recoveries: tuple[Recovery, ...]
    verification: Mapping[str, Any]
    """What `tek verify` says of its folder."""

    @property
    def ok(self) -> bool:
        """Whether nothing is lost or doubled and the evidence holds."""
        return not self.lost and not self.doubled and bool(self.verification["ok"]) and self.status is not None

    @property
    def worst_recovery_s(self) -> float | None:
        """The longest time until all that a dead worker held was claimed again; None when none held anything."""
        return max((one.claimed_s for one in self.recoveries if one.claimed_s is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return it as `tek chaos` prints it."""
        worst = self.worst_recovery_s
        return {
            "run_id": self.run_id,
            "status": self.status,
            "ok": self.ok,
            "seed": self.seed,
            "lease_s": self.lease_s,
            "faults": [_fault_json(done) for done in self.faults],
            "faults_not_done": [fault.describe() for fault in self.not_done],
            "attempts_lost": self.attempts_lost,
            "late_results_refused": self.late_results_refused,
            "reexecuted": len(self.reexecuted),
            "reexecuted_tasks": list(self.reexecuted),
            "lost": len(self.lost),
            "lost_tasks": list(self.lost),
            "doubled": len(self.doubled),
            "doubled_tasks": list(self.doubled),
            "recovery": {
                "worst_s": _rounded(worst),
                "worst_leases": None if worst is None else round(worst / self.lease_s, 3),
                "deaths": [one.to_json(self.lease_s) for one in self.recoveries],
            },
            "verify": dict(self.verification),
        }


def _fault_json(done: Done) -> dict[str, Any]:
    fault = done.fault
    told: dict[str, Any] = {"kind": str(fault.kind), "at": iso_time(done.at), "target": done.target}
    if fault.duration_s:
        told["duration_s"] = fault.duration_s
    if fault.kind is FaultKind.CUT_NETWORK:
        told["direction"] = str(fault.direction)
    if done.task is not None:
        told["task"] = done.task
    if done.undone_at is not None:
        told["undone_at"] = iso_time(done.undone_at)
    return told


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def make_report(
    entries: Iterable[Mapping[str, Any]],
    tasks: Sequence[str],
    *,
    run_id: str,
    done: Sequence[Done],
    not_done: Sequence[Fault],
    seed: int,
    lease_s: float,
    successes: Mapping[str, int],
    marks: Mapping[str, int] | None,
    verification: Mapping[str, Any],
) -> ChaosReport:
    """Return what came of the faults.

    Args:
        entries: The ledger's.
        tasks: The ids of all tasks.
        run_id: The run.
        done: The faults that happened.
        not_done: Those that did not.
        seed: What the schedule was made with.
        lease_s: Length of a lease.
        successes: How many records at home say that an attempt of a task has succeeded.
        marks: How often tasks were executed by their own account; None when they leave none.
        verification: What `tek verify` says, with `ok`.
    """
    courses = Courses()
    for entry in entries:
        courses.take(entry)
    killed = {one.task for one in done if one.task is not None}
    return ChaosReport(
        run_id=run_id,
        status=courses.status,
        seed=seed,
        lease_s=lease_s,
        faults=tuple(done),
        not_done=tuple(not_done),
        attempts_lost=sum(len(course.lost_at) for course in courses.of.values()),
        late_results_refused=courses.refused,
        reexecuted=tuple(task for task in tasks if len(courses.of[task].started) > 1),
        lost=tuple(_lost(courses.of, tasks, killed, successes, marks)),
        doubled=tuple(_doubled(courses.of, tasks, successes, marks)),
        recoveries=tuple(_recovery(courses.of, one.at, worker) for one in done for worker in one.workers),
        verification=verification,
    )


def _lost(
    courses: Mapping[str, Course],
    tasks: Sequence[str],
    killed: set[str],
    successes: Mapping[str, int],
    marks: Mapping[str, int] | None,
) -> Iterable[str]:
    for task in tasks:
        course = courses[task]
        if course.end == TransitionKind.SUCCEEDED:
            is_lost = not successes.get(task) or (marks is not None and not marks.get(task))
        else:
            is_lost = _fell_to_faults(courses, task, killed)
        if is_lost:
            yield task


def _fell_to_faults(courses: Mapping[str, Course], task: str, killed: set[str]) -> bool:
    """Return whether a task has no end, or one that a fault and not the task itself has brought about."""
    course = courses[task]
    while course.end == TransitionKind.SKIPPED:
        task = course.because_of
        course = courses[task]
    if course.end == TransitionKind.FAILED:
        return course.reason in LOST_REASONS or (course.reason == Reason.SIGNAL and task in killed)
    return not course.end


def _doubled(
    courses: Mapping[str, Course], tasks: Sequence[str], successes: Mapping[str, int], marks: Mapping[str, int] | None
) -> Iterable[str]:
    for task in tasks:
        course = courses[task]
        is_more = marks is not None and marks.get(task, 0) > len(course.started)
        if course.accepted > 1 or successes.get(task, 0) > 1 or is_more:
            yield task


def _recovery(courses: Mapping[str, Course], died_at: float, worker: str) -> Recovery:
    released, claimed = [], []
    for course in courses.values():
        for attempt, (started_at, holder) in course.started.items():
            lost_at = course.lost_at.get(attempt)
            if holder == worker and lost_at is not None and started_at <= died_at < lost_at:
                released.append(lost_at - died_at)
                again = course.started.get(attempt + 1)
                claimed.append(None if again is None else again[0] - died_at)
    all_claimed = [one for one in claimed if one is not None]
    return Recovery(
        worker,
        died_at,
        len(released),
        max(released, default=None),
        max(all_claimed) if all_claimed and len(all_claimed) == len(claimed) else None,
    )
