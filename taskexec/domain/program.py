"""The program of a run, as the compiler makes it and the store keeps it, and what attempts exchange with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskexec.domain.fit import WHOLE, Option
from taskexec.domain.proof import NO_HEAD, SignedHead

__all__ = [
    "PARTED",
    "Begun",
    "Claim",
    "ClaimedMember",
    "Completion",
    "Grant",
    "Member",
    "Program",
    "ProgramTask",
    "Rank",
    "Reaped",
    "RunHead",
    "RunOptions",
    "Standing",
]


@dataclass(frozen=True, slots=True)
class ProgramTask:
    """One task of a program; its index is its position, which is that in the plan."""

    successors: tuple[int, ...]
    """Indexes of the tasks whose latch it counts down; none is satisfied."""
    pending: int
    """Dependencies that its own latch counts; satisfied ones are not among them."""
    dispatch: str
    """Dispatch record: list key, route, agent and label (JSON text without quotes), tab-separated."""
    spec: bytes
    """Dependency indexes (comma-separated), a newline, and the JSON that a worker needs."""
    is_satisfied: bool = False
    """It was done before the run: it is final from the start, and its other fields but the next are empty."""
    reused: bytes = b""
    """For a satisfied task that was taken over from another run: the JSON that the log says of it."""
    result: bytes = b""
    """JSON value for dependents of a task that is final from the start; empty for none."""
    policy: bytes = b""
    """When it is tried again and what time it has (`AttemptPolicy.encode`); empty: never, no limit."""
    state: str = ""
    """State in which an earlier life of this run left it (`TaskState.encode`), if it had ended; such a task is final
    from the start."""
    attempts_before: int = 0
    """Attempts that were started in an earlier life of this run; numbers go on from there."""
    ask: str = ""
    """What it asks of a worker (`fit.Ask.encode`); empty for a task that asks for nothing but a slot."""
    rank: int | None = None
    """Its place in the order of its run, when that is not its index; lower ones are queued and placed before."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; the same for all of its tasks."""

    fail_fast: bool = False
    """The first failure cancels what has not started."""
    dry_run: bool = False
    """Agents describe what they would do instead of doing it."""
    batch_max: int = 32
    """Most members of one message, 1 to 256."""
    batch_target_s: float = 0.05
    """How long a batch should last, in seconds."""
    lost_max: int = 3
    """Attempts of one task that may be lost with their worker before it fails."""
    retention_s: int = 604_800
    """Lifetime of the run's keys after its end, in seconds."""
    timeout_s: float | None = None
    """The run is stopped, and has failed, so many seconds after its start; None never."""
    deadline_at: float | None = None
    """The same at an instant, seconds since the epoch; None never."""
    output_limit_bytes: int = 2**30
    """Most bytes of evidence that the server keeps of the run in chunks; what goes beyond is dropped and marked."""
    user: str = ""
    """Who shares the cluster with others."""
    tag: str = ""
    """What the run is counted under, beside its user."""
    weight: float = 1.0
    """How much of the cluster it may have beside other runs, 0.01 to 100."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a task stands before its run begins, when something was done before: see the fields of `ProgramTask`."""

    state: str = ""
    attempts_before: int = 0
    result: bytes = b""
    reused: bytes = b""

    @property
    def is_done(self) -> bool:
        """Whether it counts as done for what depends on it."""
        return bool(self.reused) or self.state.startswith("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A compiled run, ready to be stored."""

    run_id: str
    tasks: Sequence[ProgramTask]
    template: str
    """Message template with the markers that `lua/prelude.lua` fills in."""
    plan: bytes
    """Compressed plan.json."""
    canvas: bytes
    """Compressed canvas.json."""
    source: str
    """Where the plan was read from, for people."""
    digest: str
    """The plan's digest."""
    options: RunOptions = field(default_factory=RunOptions)
    head: SignedHead = NO_HEAD
    """What its submitter signed; an empty head for none."""
    leaves: bytes = b""
    """The leaves of the specs (`domain.proof`), concatenated; empty when there is no head."""
    is_continued: bool = False
    """It is a further life of a run whose ledger has begun: what is final already is not told again."""


@dataclass(frozen=True, slots=True)
class Member:
    """One attempt at one task, as messages name it."""

    index: int
    """Index of the task in its program."""
    attempt: int
    """Number of the attempt, from 1."""


class Grant(NamedTuple):
    """What was taken of workers for one attempt that asked for something."""

    cpus: int
    """Thousandths of a core, for each rank."""
    memory_mib: int
    """MiB of memory, for each rank; 0 is no limit."""
    disk_mib: int
    gpu_share: int
    """Thousandths of each of its GPUs; 1000 is all of it."""
    gpu_memory_mib: int
    """MiB on each of its GPUs; 0 is no limit of its own."""
    is_exclusive: bool
    ranks: tuple[Rank, ...]
    """Where each rank goes, in their order; one for a task that is not distributed."""

    @classmethod
    def of(cls, option: Option, ranks: tuple[Rank, ...]) -> Grant:
        """Return what an option gives."""
        share = min(option.gpus, WHOLE)
        return cls(option.cpus, option.memory, option.disk, share, option.gpu_memory, option.exclusive, ranks)

    @classmethod
    def decode(cls, text: str) -> Grant | None:
        """Return what a claim says of where an attempt was placed; None for nothing."""
        if not text:
            return None
        amounts, *spots = text.split("|")
        ranks = []
        for spot in spots:
            worker, _, gpus = spot.rpartition(":")
            ranks.append(Rank(worker, tuple(int(gpu) for gpu in gpus.split(",") if gpu)))
        return cls.of(Option.decode(amounts.split(" ", 1)[1]), tuple(ranks))


class Rank(NamedTuple):
    """One rank of an attempt."""

    worker: str
    """Name of its worker."""
    gpus: tuple[int, ...]
    """Positions of its GPUs among the worker's."""


PARTED = "!"
"""Stands for the token of a rank that is over."""


class Begun(NamedTuple):
    """A rank of a distributed attempt that has begun."""

    attempt: int
    token: str
    """The token of its delivery."""
    told: str
    """Where it is to be found, as it said; empty for the one that leads."""


@dataclass(frozen=True, slots=True)
class ClaimedMember:
    """A member that a claim has won."""

    member: Member
    dependencies: tuple[int, ...]
    """Indexes of the tasks it depends on."""
    spec: bytes
    """The JSON that the compiler wrote for the worker."""
    left_s: float | None = None
    """Seconds that the task still has, over all its attempts or until its deadline; None is no limit."""
    memory_ratio: float = 1.0
    """So many times the memory that the plan asks for, after attempts that ran out of it."""
    grant: Grant | None = None
    """What it was given; None for a task that asks for nothing but a slot."""

    @property
    def stored_spec(self) -> bytes:
        """The spec as it is stored, which is what its leaf covers."""
        return ",".join(map(str, self.dependencies)).encode() + b"\n" + self.spec


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim brought."""

    server_us: int
    """Server time of the claim, microseconds since the epoch."""
    members: tuple[ClaimedMember, ...]
    """Those that may run, in message order."""
    results: Mapping[int, bytes]
    """JSON values of what the members depend on, by task index; absent where a task left none."""
    is_denied: bool = False
    """Whether the worker has no slot for them now; their message is back where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """How an attempt ended."""

    member: Member
    token: str
    """The token it was claimed with."""
    succeeded: bool
    reason: str = ""
    """Why it did not succeed (`Reason`); empty for a success."""
    exit_status: int | None = None
    """Exit status of a command that failed by itself; policies may ask for it."""
    record: bytes
    """One line of JSON: the account of the attempt, which becomes `result.json`."""
    result: bytes = b""
    """JSON value for dependents; empty for none."""
    celery_key: str = ""
    """Key of the Celery result; empty for none."""
    celery_result: bytes | str = b""
    """The Celery result if the attempt is the last."""
    celery_retry: bytes | str = b""
    """The Celery result if another attempt follows."""

    @property
    def outcome(self) -> str:
        """How it ended, as the scripts read it: `S`, or `F`, the reason and, if there is one, the exit status."""
        if self.succeeded:
            return "S"
        return f"F {self.reason}" + ("" if self.exit_status is None else f" {self.exit_status}")


class Reaped(NamedTuple):
    """What a round of reaping brought."""

    lapsed: int
    """Attempts that were ended because their lease had lapsed."""
    requeued: int
    """Messages that had been lost and were queued again."""
    due_s: float | None
    """Seconds until a delay is over or the run's time is up; None when nothing is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """Where a run stands, in numbers."""

    run_id: str
    status: str
    tasks: int
    left: int
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    satisfied: int = 0
    source: str = ""
    digest: str = ""
    dry_run: bool = False
    submitted_at: float = 0.0
    """Seconds since the epoch."""
    started_at: float | None = None
    finished_at: float | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> RunHead:
        """Return the head that a run's meta hash describes."""

        def instant(name: str) -> float | None:
            return int(fields[name]) / 1e6 if fields.get(name) else None

        return cls(
            run_id=fields["run"],
            status=fields["status"],
            tasks=int(fields["tasks"]),
            left=int(fields["left"]),
            succeeded=int(fields.get("succeeded", 0)),
            failed=int(fields.get("failed", 0)),
            skipped=int(fields.get("skipped", 0)),
            cancelled=int(fields.get("cancelled", 0)),
            satisfied=int(fields.get("satisfied", 0)),
            source=fields.get("source", ""),
            digest=fields.get("digest", ""),
            dry_run=fields.get("dry_run") == "1",
            submitted_at=instant("submitted_us") or 0.0,
            started_at=instant("started_us"),
            finished_at=instant("finished_us"),
        )
