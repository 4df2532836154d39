"""What the reading routes answer, as the specification states it.

Instants are ISO 8601 in UTC, or milliseconds since the epoch where the name ends in `_ms`; `_s` are seconds.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

__all__ = [
    "Attempt",
    "Attempts",
    "BlameModel",
    "CompareModel",
    "EtaModel",
    "EvidenceFile",
    "GraphModel",
    "LedgerPage",
    "Queue",
    "Queues",
    "Run",
    "RunLine",
    "Runs",
    "Task",
    "TaskDetail",
    "Tasks",
    "TimelineModel",
    "Why",
    "Worker",
    "Workers",
]


class EtaModel(BaseModel):
    """When something should end: with 80 % probability between the earliest and the latest."""

    at: str
    earliest: str
    latest: str
    basis: str = Field(description="`declared`, `observed` or `declared and observed` durations.")


class RunLine(BaseModel):
    """A run in a list."""

    run_id: str
    plan: str = Field(description="Where the plan came from.")
    status: str
    dry_run: bool
    submitted_at: str
    started: str | None
    ended: str | None
    counts: dict[str, int] = Field(description="Tasks by status; those that never occur are left out.")
    tasks: int
    user: str
    tag: str
    links: dict[str, str]


class Runs(BaseModel):
    """Runs, the newest first."""

    runs: list[RunLine]
    next: str | None = Field(description="`cursor` of the next page.")


class Failure(BaseModel):
    """A task that failed for good."""

    task: str
    reason: str | None
    error: str | None
    attempts: int


class Run(RunLine):
    """A run."""

    digest: str
    deadline_at: str | None
    is_stopping: bool
    is_at_home: bool = Field(description="Whether it is read from its folder: no server knows it any more.")
    rate_per_s: float
    left_s: float | None
    eta: EtaModel | None
    failures: list[Failure] = Field(description="The first 50.")
    workers: list[str]
    flower: str | None


class Task(BaseModel):
    """A task in a list."""

    id: str = Field(description="`run:task`.")
    task: str
    title: str
    lane: str
    route: str
    agent: str
    status: str
    attempts: int
    worker: str | None
    reason: str | None
    error: str | None
    exit_status: int | None
    because_of: str | None = Field(description="The failed task because of which it was skipped.")
    priority: int
    ready_at: str | None
    queued_at: str | None
    started_at: str | None
    finished_at: str | None
    duration_s: float | None
    expected_s: float | None


class Tasks(BaseModel):
    """Tasks of a run, in the order of its plan."""

    tasks: list[Task]
    next: str | None


class EvidenceFile(BaseModel):
    """A file that an attempt left."""

    name: str
    bytes: int
    sha256: str
    href: str


class Attempt(BaseModel):
    """One attempt at a task."""

    attempt: int
    outcome: str = Field(description="`queued`, `running`, `succeeded`, `failed`, `lost`, `given_back`, `cancelled`.")
    worker: str | None
    placed_on: list[str]
    queued_at: str | None
    claimed_at: str | None
    started_at: str | None = Field(description="None as well where it was given back, which is before it started.")
    finished_at: str | None
    reason: str | None
    error: str | None
    exit_status: int | None
    signal: int | None
    usage: dict[str, Any]
    files: list[EvidenceFile]


class Attempts(BaseModel):
    """The attempts at a task, in the order in which they were queued."""

    attempts: list[Attempt]


class TaskDetail(Task):
    """A task in full."""

    instructions: Any = Field(description="What its agent is told to do; secrets are not shown.")
    needs: dict[str, Any]
    depends_on: list[str]
    dependents: list[str]
    tries: list[Attempt]
    links: dict[str, str]


class Why(BaseModel):
    """Why a task stands where it stands, as `tek why --output json` tells it."""

    run_id: str
    task: str
    why: Any
    changes: list[dict[str, Any]]


class LedgerPage(BaseModel):
    """Entries of a run's ledger, in order."""

    entries: list[dict[str, Any]]
    next: int | None = Field(description="`after` of the next page.")


class GraphModel(BaseModel):
    """The graph of a run, one list a property; tasks are meant by their position."""

    run_id: str
    plan: str
    digest: str
    tasks: int
    ids: list[str]
    titles: list[str]
    lanes: list[str]
    lane: list[int]
    routes: list[str]
    route: list[int]
    level: list[int]
    deps: list[list[int]]
    duration_s: list[float | None]
    critical: list[int]


class TimelineModel(BaseModel):
    """Every task and attempt of a run; instants are milliseconds since `origin_ms`."""

    run_id: str
    last_id: str
    origin_ms: int
    now_ms: int
    status: str
    counts: dict[str, int]
    done: int
    started_ms: int | None
    ended_ms: int | None
    workers: list[str]
    statuses: str = Field(
        description="A letter a task: `w` waiting, `r` ready, `q` queued, `R` running, `S` succeeded, `F` failed, "
        "`X` skipped, `C` cancelled, `P` satisfied."
    )
    ready: list[int | None]
    attempts: list[list[Any]] = Field(
        description="`[task, number, queued, claimed, started, finished, worker, outcome, reason]`; workers by "
        "position, -1 is none; outcomes by their first letter."
    )
    rate_per_s: float
    left_s: float | None
    eta: EtaModel | None


class BlameModel(BaseModel):
    """Where the wall time of a run went, as `tek blame --output json` tells it."""

    model_config = {"extra": "allow"}

    run_id: str


class Difference(BaseModel):
    """A task in two runs."""

    task: str
    status: list[str]
    duration_s: list[float | None]
    attempts: list[int]
    worker: list[str | None]
    difference_s: float | None = Field(description="By how much it took longer in the second one.")


class Differences(BaseModel):
    """How many tasks differ, and how."""

    ended_otherwise: int = Field(description="Tasks of both with another status.")
    other_attempts: int = Field(description="Tasks of both whose last attempt has another number.")
    slower: int = Field(description="Tasks of both that took a fifth longer in the second run, 50 ms at least.")
    faster: int = Field(description="Tasks of both that took a fifth less, 50 ms at least.")
    only_in: list[int] = Field(description="Tasks that only the first has, and only the second.")


class Point(BaseModel):
    """How long a task took in both runs."""

    duration_s: list[float]
    status: list[str]


class CompareModel(BaseModel):
    """Two runs beside each other; lists of two have the first run first."""

    runs: list[dict[str, Any]]
    is_same_plan: bool
    differences: Differences
    tasks: list[Difference] = Field(description="What differs, in status or most in duration, first, unless asked for.")
    points: list[Point] = Field(description="Durations to be drawn, as many as were asked for.")
    only_in: list[list[str]] = Field(description="The first 100 tasks that only one of them has.")


class Worker(BaseModel):
    """A worker."""

    model_config = {"extra": "allow"}

    name: str
    state: str
    classes: list[str]
    capacity: dict[str, Any]


class Workers(BaseModel):
    """The workers that are there."""

    workers: list[Worker]


class Queue(BaseModel):
    """What waits for workers of one route."""

    route: str
    messages: int = Field(description="Messages in the route's lists; one may be for many tasks.")
    queued: int = Field(description="Tasks that wait for a slot.")
    held: int = Field(description="Tasks that are queued once fewer are.")
    wanting: int = Field(description="Tasks that wait for a place that has what they ask for.")
    oldest_s: float | None = Field(description="How long the first of those that are queued has waited.")
    consumers: int = Field(description="Workers that take new tasks of it.")
    slots: int = Field(description="Slots of these.")


class Queues(BaseModel):
    """What waits, by route."""

    queues: list[Queue]
