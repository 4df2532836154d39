"""A task: one unit of work with an id of the user's, as a pure, immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskexec.domain.resources import Needs, Route
from taskexec.domain.retry import DEFAULT_RETRY, RetryPolicy

__all__ = ["JSON", "Task"]

JSON = Any
"""A value that JSON can hold: None, bool, int, float, str, list, dict with str keys."""


class Task(NamedTuple):
    """One unit of work. Equal tasks mean the same; where a task was read from is not part of it.

    A named tuple, since it is made in a third of the time of a frozen dataclass and a plan may have a million.
    """

    id: str
    """The user's id, trimmed, unique in its plan."""
    title: str = ""
    """What a person calls it; empty when the source says nothing."""
    agent: str = "noop"
    """Name of the agent that performs it, as registered."""
    payload: Mapping[str, JSON] = {}
    """Instructions to the agent. shell: `{"commands": [{"argv": […], "cwd": …, "env": {…}}]}`; python:
    `{"call": "module:function", "args": […], "kwargs": {…}}`; noop: anything, ignored."""
    depends_on: tuple[str, ...] = ()
    """Ids of the tasks that must succeed first, without repeats, in source order."""
    lane: str | None = None
    """The label that the SoT calls a queue; has no order of its own."""
    route: Route = Route.CPU
    """The Celery queue it goes to."""
    needs: Needs = Needs()
    """What an attempt asks for."""
    duration_s: float | None = None
    """Declared or observed duration in seconds, for estimates only; None is unknown."""
    timeout_s: float | None = None
    """An attempt is killed after so many seconds; None never."""
    retries: int = 0
    """Further attempts after one that failed by itself (`retry` says when); lost workers have a limit of their own."""
    priority: int = 0
    """0 to 9, higher first; larger numbers count as 9."""
    layer: str | None = None
    """The older kit's layer label, kept and shown."""
    is_satisfied: bool = False
    """It was done before the plan is run: it is not performed and counts as succeeded for its dependents."""
    labels: tuple[str, ...] = ()
    """Words that the source attaches to it, without repeats, in source order; kept and shown."""
    acceptance_criteria: tuple[str, ...] = ()
    """What must hold when it is done, as the source says; kept and shown."""
    requirements: tuple[str, ...] = ()
    """What it answers to, as the source says; kept and shown."""
    metadata: Mapping[str, str] = {}
    """Columns that mean nothing to the system, kept as they are."""
    retry: RetryPolicy = DEFAULT_RETRY
    """When another attempt follows one that failed, after how long, and with what."""
    total_timeout_s: float | None = None
    """All attempts together, and the pauses between them, may take so many seconds from the first start; None is no
    limit."""
    deadline_at: float | None = None
    """Instant (seconds since the epoch) after which no attempt runs; None is never."""
    inputs: tuple[str, ...] = ()
    """Files that it reads: paths relative to the project folder, which may be patterns (`*`, `**`), in source order.
    Their digests are recorded, and a result is used again only while they are the same."""
    outputs: tuple[str, ...] = ()
    """Files that it writes beside its output folder: as `inputs`; they become evidence, and one that is missing at
    the end fails the attempt."""
