"""One run in memory, on plain dictionaries: what Redis keeps under the keys of a run (`store/keys.py`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from taskexec.domain.counts import counted_as
from taskexec.domain.events import LogEntry
from taskexec.domain.fit import Option
from taskexec.domain.program import Begun, Member, Program, Rank
from taskexec.domain.proof import Seal
from taskexec.domain.retry import AttemptPolicy
from taskexec.domain.rules import TaskState
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.store.memory_nodes import MemoryNodes

__all__ = ["NO_RUN", "MemoryRun", "Placed", "PublishedMessage", "Surroundings", "next_id"]


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """What a Celery message of ours says, without its wrapping."""

    id: str
    """Celery id: `<run>.<index>` for one member, `<run>.b<n>` for a batch."""
    run_id: str
    members: tuple[Member, ...]
    route: str
    agent: str
    label: str
    """What people see, as JSON text without its quotes."""
    queued_us: int
    """Time it was published, microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an attempt was placed."""

    attempt: int
    option: Option
    ranks: tuple[Rank, ...]


@dataclass(slots=True)
class Surroundings:
    """What all runs of a store share."""

    queues: dict[str, list[PublishedMessage]] = field(default_factory=dict)
    """Messages by list key, oldest first, until somebody takes them."""
    slots: dict[str, int] = field(default_factory=dict)
    """Slots of live workers by route; a route that is not there has one."""
    celery_results: dict[str, bytes | str] = field(default_factory=dict)
    """Celery results by key, as completions brought them."""
    nodes: MemoryNodes = field(default_factory=MemoryNodes)
    """The workers."""
    runs: dict[str, MemoryRun] = field(default_factory=dict)
    bells: dict[str, list[str]] = field(default_factory=dict)
    """Words to deliveries, by token, oldest first."""
    counted: dict[str, int] = field(default_factory=dict)
    """What is counted for good, by counter (`domain.counts`)."""

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter."""
        name = counted_as(counter, self.counted)
        self.counted[name] = self.counted.get(name, 0) + amount


@dataclass(frozen=True, slots=True)
class _Dispatch:
    """A dispatch record, see `ProgramTask.dispatch`."""

    list_key: str
    route: str
    agent: str
    label: str


@dataclass(slots=True)
class MemoryRun:
    """What Redis keeps under the keys of one run; the fields are named as those keys are."""

    program: Program
    submitted_us: int
    dispatches: dict[int, _Dispatch] = field(default_factory=dict)
    """Where messages for each task that is performed go, read from the program."""
    pending: list[int] = field(init=False)
    """Dependencies of each task that have not succeeded: the latches."""
    state: dict[int, TaskState] = field(default_factory=dict)
    queued: dict[int, int] = field(default_factory=dict)
    backlog: dict[str, set[int]] = field(default_factory=dict)
    """Tasks by route that may be queued once fewer are."""
    placed: dict[int, Placed] = field(default_factory=dict)
    assigned: dict[int, int] = field(default_factory=dict)
    where: dict[int, str] = field(default_factory=dict)
    gang: dict[tuple[int, int], Begun] = field(default_factory=dict)
    """Ranks of distributed tasks that have begun, by index and rank."""
    delayed: dict[int, int] = field(default_factory=dict)
    suspects: dict[int, int] = field(default_factory=dict)
    trial: Member | None = None
    """The attempt on trial, of those that have lost all others; None when there is none."""
    policy: dict[int, AttemptPolicy] = field(default_factory=dict)
    """When each task that is performed is tried again, read from the program."""
    tried: Counter[int] = field(default_factory=Counter)
    first: dict[int, int] = field(default_factory=dict)
    starved: Counter[int] = field(default_factory=Counter)
    lease: dict[str, int] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    result: dict[int, bytes] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    output: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    output_bytes: int = 0
    average_us: dict[str, int] = field(default_factory=dict)
    """Measured duration of a task, by agent."""
    count: Counter[TaskStatus] = field(default_factory=Counter)
    """Tasks that have ended, by status."""
    status: RunStatus = RunStatus.PENDING
    is_stopping: bool = False
    is_expired: bool = False
    deadline_us: int | None = None
    """When the run's time is up; None never."""
    deadline_at_us: int | None = None
    """Instant at which it is up whenever it starts; None never."""
    retry_request: str = ""
    """The request that had tasks run again last."""
    retried: tuple[int, ...] = ()
    """What it came to."""
    batches: int = 0
    reaped_us: int = 0
    calm_us: int = 0
    looked: Counter[str] = field(default_factory=Counter)
    """How far the turn of `_long_queued` has come, by route."""
    started_us: int | None = None
    finished_us: int | None = None
    expires_us: float = math.inf
    """When the run is forgotten."""

    def __post_init__(self) -> None:
        """Read what the program says of each task."""
        for index, task in enumerate(self.program.tasks):
            if task.is_satisfied:
                self._settle(index, TaskState(TaskStatus.SATISFIED, 0))
            else:
                self.dispatches[index] = _Dispatch(*task.dispatch.split("\t", 3))
                self.policy[index] = AttemptPolicy.decode(task.policy)
            if task.state:
                self._settle(index, TaskState.decode(task.state))
            if task.result:
                self.result[index] = task.result
            self.tried[index] = task.attempts_before
        self.pending = [task.pending for task in self.program.tasks]
        deadline_at = self.program.options.deadline_at
        self.deadline_at_us = None if deadline_at is None else int(deadline_at * 1e6)

    def _settle(self, index: int, state: TaskState) -> None:
        """Give a task its state from the start."""
        self.state[index] = state
        self.count[state.status] += 1

    def rank(self, index: int) -> tuple[int, str]:
        """Return the place of a task in the order of the run."""
        rank = self.program.tasks[index].rank
        return index if rank is None else rank, str(index)

    def queued_on(self, route: str) -> dict[int, int]:
        """Return what is queued on a route, with the times."""
        return {index: at_us for index, at_us in self.queued.items() if self.dispatches[index].route == route}

    def before(self, index: int) -> tuple[int, ...]:
        """Return the tasks that a task depends on, as its spec says."""
        indexes = self.program.tasks[index].spec.partition(b"\n")[0]
        return tuple(int(one) for one in indexes.split(b",") if one)

    def behind(self, index: int) -> tuple[int, ...]:
        """Return the tasks that depend on a task."""
        return self.program.tasks[index].successors

    def next_due_us(self) -> int | None:
        """Return when the next delay is over or the run's time is up; None when nothing is due."""
        due = list(self.delayed.values())
        if self.deadline_us is not None and self.status is RunStatus.RUNNING:
            due.append(self.deadline_us)
        return min(due, default=None)

    def is_overdue(self, now_us: int) -> bool:
        """Return whether the time of the run is up: nothing more starts."""
        return self.deadline_us is not None and now_us >= self.deadline_us

    def new_deadline_us(self, now_us: int) -> int | None:
        """Return when the run's time is up if it starts now."""
        timeout_s = self.program.options.timeout_s
        ends = [] if timeout_s is None else [now_us + int(timeout_s * 1e6)]
        if self.deadline_at_us is not None:
            ends.append(self.deadline_at_us)
        return min(ends, default=None)

    def append(self, now_us: int, worker: str, lines: Sequence[str], seal: Seal | None = None) -> None:
        """Append an entry to its log."""
        entry_id = next_id(self.log[-1].id if self.log else "", now_us)
        self.log.append(LogEntry(entry_id, now_us, worker, "\n".join(lines), seal))

    @property
    def has_log(self) -> bool:
        """Whether its log has begun: with the head, also that of a further life."""
        return self.status is not RunStatus.PENDING

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return len(self.program.tasks) - self.count.total()

    def is_running(self, member: Member) -> bool:
        """Return whether this very attempt runs."""
        return self.state.get(member.index) == TaskState(TaskStatus.RUNNING, member.attempt)

    def is_queued(self, member: Member) -> bool:
        """Return whether this very attempt is queued."""
        return self.state.get(member.index) == TaskState(TaskStatus.QUEUED, member.attempt)


NO_RUN = MemoryRun(Program(run_id="", tasks=(), template="", plan=b"", canvas=b"", source="", digest=""), 0)
"""What a change is of that is not about one run."""


def next_id(last: str, now_us: int) -> str:
    """Return a stream id that is greater than the last one, as Redis gives them: milliseconds and a number."""
    milliseconds, number = (int(part) for part in last.split("-")) if last else (0, -1)
    if now_us // 1000 > milliseconds:
        return f"{now_us // 1000}-0"
    return f"{milliseconds}-{number + 1}"
