"""A workplace, evidence that is only collected, and runners of attempts on them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskexec.agents import Assignment
from taskexec.completion.evidence import AttemptEvidence, EvidenceLimits
from taskexec.runtime.workplace import AttemptRunner, Workplace


class Kept:
    """Evidence, with all chunks that it sent."""

    def __init__(self, limits: EvidenceLimits | None = None) -> None:
        self.chunks: list[dict[str, Any]] = []
        self.evidence = AttemptEvidence(self.chunks.append, limits or EvidenceLimits())

    def content(self, name: str) -> bytes:
        """Return all of a stream or file that was kept."""
        _, inline = self.evidence.close()
        sent = b"".join(chunk["d"] for chunk in self.chunks if chunk["f"] == name)
        return sent + str(inline.get(name, "")).encode()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture(autouse=True)
def no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEK_REDIS_URL", "redis://:secret@there")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    workplace = Workplace("tek-test@here", scratch, grace_s=5.0)
    yield workplace
    workplace.close()


@pytest.fixture
def runner_of(place: Workplace, kept: Kept) -> Callable[..., AttemptRunner]:
    """Return a runner for attempt 2 at task `t` of run `r`, with these inputs."""

    def runner(timeout_s: float | None = 30.0, grace_s: float | None = None, **inputs: Any) -> AttemptRunner:
        if grace_s is not None:
            place.grace_s = grace_s
        assignment = Assignment(run_id="r", task_id="t", attempt=2, payload={}, inputs=inputs)
        return AttemptRunner(place, assignment, kept.evidence, timeout_s=timeout_s)

    return runner


@pytest.fixture
def ends() -> Iterator[Callable[[int], bool]]:
    """Return whether a process ends within seconds; those that do not are killed."""
    left: list[int] = []

    def process_ends(pid: int) -> bool:
        left.append(pid)
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        with contextlib.closing(os.fdopen(descriptor)):
            return bool(select.select([descriptor], [], [], 5.0)[0])

    yield process_ends
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
