"""Agents that behave badly; tests register them in place of the built-in ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib.metadata import EntryPoint

from taskexec.agents import Assignment, Outcome, ProcessRunner
from taskexec.agents.registry import GROUP
from taskexec.domain.task import JSON

__all__ = ["STUBBORN", "StubbornAgent"]


class StubbornAgent:
    """Works in the executing process itself and keeps no time limit."""

    released = threading.Event()

    def check(self, payload: Mapping[str, JSON]) -> None:
        """Accept anything."""

    def describe(self, assignment: Assignment) -> str:
        """Say what it would do."""
        return "hang"

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        """Hang until it is released."""
        assert self.released.wait(30.0)
        return Outcome(succeeded=True)


STUBBORN = EntryPoint(name="shell", value="support.agents:StubbornAgent", group=GROUP)
