"""taskexec: run a graph of tasks on a cluster, each exactly once in effect, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.client import (
        AsyncClient,
        AsyncRun,
        AttemptInfo,
        Change,
        Checked,
        Client,
        EvidenceFile,
        LogChunk,
        Run,
        RunInfo,
        Stage,
        SubmitOptions,
        TaskChange,
        TaskInfo,
        TaskRef,
        WorkerInfo,
        WorkflowBuilder,
    )
    from taskexec.domain.states import RunStatus, TaskStatus
    from taskexec.domain.task import Task
    from taskexec.plan import Plan

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "AttemptInfo",
    "Change",
    "Checked",
    "Client",
    "EvidenceFile",
    "LogChunk",
    "Plan",
    "Run",
    "RunInfo",
    "RunStatus",
    "Stage",
    "SubmitOptions",
    "Task",
    "TaskChange",
    "TaskInfo",
    "TaskRef",
    "TaskStatus",
    "WorkerInfo",
    "WorkflowBuilder",
]

_HOMES = {
    "Plan": "taskexec.plan",
    "RunStatus": "taskexec.domain.states",
    "Task": "taskexec.domain.task",
    "TaskStatus": "taskexec.domain.states",
}
"""Where names live that are not the client's; nothing is imported before somebody asks for it."""


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: `tek --help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module `taskexec` has no attribute `{name}`")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES.get(name, "taskexec.client")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return what is public."""
    return sorted({*globals(), *__all__})
