"""The agent of tasks without instructions: does nothing and leaves an evidence stub."""

from __future__ import annotations

from collections.abc import Mapping

from taskexec.agents.base import Assignment, Outcome, ProcessRunner
from taskexec.domain.task import JSON

__all__ = ["NoopAgent"]


class NoopAgent:
    """Succeeds at once; the stub says that nothing was executed."""

    def check(self, payload: Mapping[str, JSON]) -> None:
        """Accept anything: the instructions are ignored."""

    def describe(self, assignment: Assignment) -> str:
        """Return that nothing would be done."""
        return "do nothing"

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        """Leave the stub."""
        return Outcome(succeeded=True, note="noop: nothing was executed")
