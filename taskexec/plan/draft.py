"""A plan as read, not yet checked: every value knows the file, line and column it stands at.

Readers in `sources` fill drafts and only report what they cannot read at all; whether the tasks make sense
together (unknown or duplicate ids, cycles) is judged once, in `plan.validation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from taskexec.domain.resources import Route
from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place

__all__ = ["DraftAlternative", "DraftTask", "Instant", "Located", "PlanDraft", "Reading"]

T = TypeVar("T")


class Located(NamedTuple, Generic[T]):
    """A value and where it stands."""

    value: T
    place: Place


class Instant(NamedTuple):
    """An instant, and how sure it is."""

    at: float
    """Seconds since the epoch."""
    written: str = ""
    """The text that it was read from."""
    lacks_zone: bool = False
    """Whether the text names no time zone, so that UTC was taken."""


@dataclass(slots=True, kw_only=True)
class DraftAlternative:
    """Something else that a task could run with, as read; None means the default of `Needs`, not the task's amount."""

    place: Place
    """Where it stands as a whole."""
    weight: Located[float] | None = None
    """None: 1."""
    cpus: Located[float] | None = None
    memory_mib: Located[int] | None = None
    gpus: Located[float] | None = None
    gpu_memory_mib: Located[int] | None = None
    disk_mib: Located[int] | None = None
    has: tuple[Located[str], ...] | None = None
    """As written, repeats included; the next one as well."""
    has_not: tuple[Located[str], ...] | None = None
    exclusive: Located[bool] | None = None


@dataclass(slots=True, kw_only=True)
class DraftTask:
    """One task as read; None means that the source says nothing. Meanings and units are those of `Task`."""

    id: Located[str]
    """As written, trimmed; may be empty or repeated."""
    title: Located[str] | None = None
    agent: Located[str] | None = None
    """None: `shell` when there are commands, else `noop`."""
    payload: Mapping[str, JSON] = field(default_factory=dict)
    depends_on: list[Located[str]] = field(default_factory=list)
    """Ids as written, repeats included."""
    lane: Located[str] | None = None
    route: Located[Route] | None = None
    cpus: Located[float] | None = None
    memory_mib: Located[int] | None = None
    gpus: Located[float] | None = None
    duration_s: Located[float] | None = None
    timeout_s: Located[float] | None = None
    retries: Located[int] | None = None
    priority: Located[int] | None = None
    layer: Located[str] | None = None
    gpu_memory_mib: Located[int] | None = None
    satisfied: Located[bool] | None = None
    """True: done before the plan is run."""
    labels: tuple[str, ...] = ()
    """As written, repeats included; the next two as well."""
    acceptance_criteria: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    retry: Mapping[str, Located[Any]] | None = None
    """What is said of `Task.retry`, by fields of `RetryPolicy`; `backoff` is `fixed` or `exponential`. Never changed in
    place: tasks may share it."""
    total_timeout_s: Located[float] | None = None
    deadline_at: Located[Instant] | None = None
    inputs: tuple[Located[str], ...] = ()
    """Paths as written, repeats included; the next one as well."""
    outputs: tuple[Located[str], ...] = ()
    disk_mib: Located[int] | None = None
    has: tuple[Located[str], ...] | None = None
    """Labels as written, repeats included; the next one as well. An empty one says that none are asked for."""
    has_not: tuple[Located[str], ...] | None = None
    exclusive: Located[bool] | None = None
    nodes: Located[int] | None = None
    packed: Located[bool] | None = None
    alternatives: tuple[DraftAlternative, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Reading:
    """How a source was understood, for people; no part of a plan's meaning."""

    form: str = ""
    """What the file is, with its encoding and dialect, such as `CSV, UTF-16, tabs between cells`."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """For each field of a task that a table has: the columns it is read from, as they are written."""
    metadata: list[str] = field(default_factory=list)
    """Columns or fields that mean nothing here and are kept with each task, as they are written."""
    defaults: list[str] = field(default_factory=list)
    """What was supposed where the source says nothing: `agent noop: no column says what to run`."""
    left_out: list[str] = field(default_factory=list)
    """What stands in the source and is no task, with its number: `2 summary rows`."""
    files: list[str] = field(default_factory=list)
    """Other files that were read for the plan: hooks, manifest, included files."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class PlanDraft:
    """All that a reader found."""

    source: str
    """The file the plan was read from, as the user gave it."""
    kind: str
    """`csv`, `sot`, `workflow` (YAML) or `plan` (JSON)."""
    tasks: list[DraftTask] = field(default_factory=list)
    """In source order."""
    faults: list[Fault] = field(default_factory=list)
    """What could not be read; a draft with faults never becomes a plan."""
    warnings: list[Fault] = field(default_factory=list)
    """What was read, but may not be what was meant."""
    reading: Reading = field(default_factory=Reading)
    """How the source was understood."""
