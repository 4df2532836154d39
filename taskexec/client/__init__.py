"""The door for Python programs: a client, sync and async, and a builder of workflows."""

from taskexec.client.asynchronous import AsyncClient, AsyncRun
from taskexec.client.builder import Stage, TaskRef, WorkflowBuilder
from taskexec.client.sync import Client, Run
from taskexec.client.values import (
    AttemptInfo,
    Change,
    Checked,
    EvidenceFile,
    LogChunk,
    RunInfo,
    SubmitOptions,
    TaskChange,
    TaskInfo,
    WorkerInfo,
)

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "AttemptInfo",
    "Change",
    "Checked",
    "Client",
    "EvidenceFile",
    "LogChunk",
    "Run",
    "RunInfo",
    "Stage",
    "SubmitOptions",
    "TaskChange",
    "TaskInfo",
    "TaskRef",
    "WorkerInfo",
    "WorkflowBuilder",
]
