"""What is public is there: every name in an `__all__` can be imported, once, in order."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import taskexec

MODULES = sorted(info.name for info in pkgutil.walk_packages(taskexec.__path__, "taskexec."))


@pytest.mark.parametrize("name", ["taskexec", *MODULES])
def test_public_names_exist(name: str) -> None:
    module = importlib.import_module(name)

    names = getattr(module, "__all__", [])
    missing = [public for public in names if not hasattr(module, public)]
    assert missing == []
    assert len(set(names)) == len(names)


def test_public_face_is_pinned() -> None:
    names = set(getattr(taskexec, "__all__", ()))

    assert names == PUBLIC


PUBLIC = {
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
}
"""What users may import from `taskexec`; adding a name is a promise, so it is written down twice."""
