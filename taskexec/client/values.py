"""What clients give: runs, tasks, attempts, changes and logs as values, made from the shapes of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskexec.domain.states import FINAL_RUN_STATUSES, RunStatus, TaskStatus

__all__ = [
    "AttemptInfo",
    "Change",
    "Checked",
    "EvidenceFile",
    "LogChunk",
    "RunInfo",
    "SubmitOptions",
    "TaskChange",
    "TaskInfo",
    "WorkerInfo",
]

JSON = Mapping[str, Any]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How a run is carried out."""

    dry_run: bool = False
    """Go the whole way, but only describe what would be executed."""
    fail_fast: bool | None = None
    """Start nothing new after the first failure; None as the settings say, where the run is submitted."""
    tag: str | None = None
    """What the run is counted under beside its user."""
    weight: float | None = None
    """Its share of the cluster beside other runs, 0.01 to 100."""
    timeout_s: float | None = None
    """Time after which the run is stopped, in seconds."""
    wait_for_workers: bool = False
    """Accept what no worker that is known now could run."""
    key: str | None = None
    """The same plan with the same key is the same run, however often it is submitted."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A plan without faults."""

    tasks: int
    digest: str
    """`sha256:` and the digest over all that its tasks mean."""
    critical_path_s: float | None
    """Length of the longest chain of tasks by their declared durations, in seconds; None where none is declared."""
    warnings: tuple[str, ...]
    """What was read, but may not be what was meant."""
    shown: JSON
    """All of it, as `tek plan --output json` shows it."""

    @classmethod
    def of(cls, shown: JSON) -> Checked:
        """Return it from what `tek plan` shows."""
        summary = shown["summary"]
        warnings = tuple(warning["message"] for warning in shown["warnings"])
        return cls(summary["tasks"], shown["digest"], summary["critical_path_s"], warnings, shown)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Where a run stands."""

    run_id: str
    plan: str
    """The file that its plan came from."""
    status: RunStatus
    counts: Mapping[str, int]
    """Tasks by status."""
    tasks: int
    dry_run: bool
    submitted_at: datetime | None
    started: datetime | None
    ended: datetime | None
    user: str
    tag: str

    @classmethod
    def of(cls, row: JSON) -> RunInfo:
        """Return it from a line of `GET /runs`, or from `GET /runs/{run}`."""
        return cls(
            row["run_id"],
            row["plan"],
            RunStatus(row["status"]),
            row["counts"],
            row["tasks"],
            row["dry_run"],
            _instant(row["submitted_at"]),
            _instant(row["started"]),
            _instant(row["ended"]),
            row["user"],
            row["tag"],
        )

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.status in FINAL_RUN_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether every task succeeded."""
        return self.status is RunStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file that an attempt left."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """One try at a task."""

    number: int
    """From 1."""
    outcome: str
    """`queued`, `running`, `succeeded`, `failed`, `lost`, `given_back` or `cancelled`."""
    worker: str | None
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    """Why it failed, as one of the reasons of the glossary."""
    error: str | None
    exit_status: int | None
    files: tuple[EvidenceFile, ...]

    @classmethod
    def of(cls, row: JSON) -> AttemptInfo:
        """Return it from one of the `tries` of a task."""
        files = tuple(EvidenceFile(file["name"], file["bytes"], file["sha256"]) for file in row["files"])
        return cls(
            row["attempt"],
            row["outcome"],
            row["worker"],
            _instant(row["started_at"]),
            _instant(row["finished_at"]),
            row["reason"],
            row["error"],
            row["exit_status"],
            files,
        )


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """Where a task stands."""

    task: str
    """Its id in the plan."""
    title: str
    lane: str
    route: str
    agent: str
    status: TaskStatus
    attempts: int
    """Attempts that were started."""
    worker: str | None
    reason: str | None
    error: str | None
    exit_status: int | None
    because_of: str | None
    """The failed task because of which it was skipped."""
    started_at: datetime | None
    finished_at: datetime | None
    tries: tuple[AttemptInfo, ...] = ()
    """Every attempt, the first one first; empty in lists."""

    @classmethod
    def of(cls, row: JSON) -> TaskInfo:
        """Return it from `GET …/tasks`, or from `GET …/tasks/{task}`."""
        return cls(
            row["task"],
            row["title"],
            row["lane"],
            row["route"],
            row["agent"],
            TaskStatus(row["status"]),
            row["attempts"],
            row["worker"],
            row["reason"],
            row["error"],
            row["exit_status"],
            row["because_of"],
            _instant(row["started_at"]),
            _instant(row["finished_at"]),
            tuple(AttemptInfo.of(one) for one in row.get("tries", ())),
        )


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What became of a task."""

    task: str
    status: TaskStatus
    attempt: int
    """Number of its last attempt; 0 before the first."""
    worker: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What changed in a run at once."""

    id: str
    """Where it stands in the run's log: `events(after=…)` goes on behind it."""
    tasks: Sequence[TaskChange]
    counts: Mapping[str, int]
    status: RunStatus
    is_final: bool
    """Whether the run has ended; the last change says so."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Some text that an attempt wrote."""

    attempt: int
    stream: str
    """`stdout` or `stderr`."""
    text: str
    """UTF-8; what is none is replaced."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker that is there."""

    name: str
    host: str
    state: str
    """`ready`, `cordoned` or `draining`."""
    classes: tuple[str, ...]
    """Routes that it serves."""
    slots: int
    """Tasks that it runs at once."""
    shown: JSON
    """All of it, as `tek workers --output json` shows it."""

    @classmethod
    def of(cls, row: JSON) -> WorkerInfo:
        """Return it from a registration."""
        capacity = row.get("capacity") or {}
        return cls(row["name"], row["host"], row["state"], tuple(row["classes"]), int(capacity.get("slots", 0)), row)
