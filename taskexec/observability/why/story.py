"""What ledger and plan of a run say of its tasks: who depends on whom, what happened when, how long things take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from taskexec.completion.former import transition_of
from taskexec.completion.ledger import SIGNED
from taskexec.observability.estimate import expected_s
from taskexec.observability.timeline import RunTimeline

__all__ = ["DONE", "ENDINGS", "Story", "instant"]

DONE = {"succeeded", "satisfied"}
"""What counts as done for what depends on it."""
ENDINGS = {"succeeded", "failed", "skipped", "cancelled", "satisfied"}


def instant(text: str) -> float:
    """Return an instant of the ledger in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


class Story:
    """A run as its plan and its ledger tell it; tasks are named by their position in the plan."""

    def __init__(self, run_id: str, plan: Mapping[str, Any], ledger: Sequence[Mapping[str, Any]]) -> None:
        """Begin with `plan.json` and the entries of the ledger."""
        self.run_id = run_id
        self._ledger = ledger
        self.tasks: Sequence[Mapping[str, Any]] = plan["tasks"]
        self.ids: list[str] = [task["id"] for task in self.tasks]
        self.index_of = {task_id: index for index, task_id in enumerate(self.ids)}
        self.entries: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        """What the ledger says of each task, in order."""
        self.of_run: list[Mapping[str, Any]] = []
        """What it says of the run."""
        for entry in ledger:
            if "task" in entry:
                self.entries[self.index_of[entry["task"]]].append(entry)
            elif entry["event"] != "signed":
                self.of_run.append(entry)

    def dependencies(self, index: int) -> list[int]:
        """Return what a task depends on."""
        return [self.index_of[name] for name in self.tasks[index]["depends_on"]]

    def status(self, index: int) -> str:
        """Return the status of a task, as far as the ledger tells it: held ones are among the waiting ones."""
        for entry in reversed(self.entries[index]):
            event = entry["event"]
            if event in ENDINGS or event == "running":
                return str(event)
            if event in {"queued", "given_back"}:
                return "queued"
            if event in {"delayed", "attempt_failed", "attempt_lost"}:
                return "ready"
            if event == "retried":
                return "waiting"
        return "satisfied" if self.tasks[index].get("satisfied") and not self.of_run else "waiting"

    def last(self, index: int, *events: str) -> Mapping[str, Any] | None:
        """Return the last entry of a task about one of these events."""
        return next((entry for entry in reversed(self.entries[index]) if entry["event"] in events), None)

    def done_at(self, index: int) -> float | None:
        """Return when a task was done; None when it is not, or was before the run."""
        entry = self.last(index, *ENDINGS)
        return instant(entry["at"]) if entry is not None and entry["event"] == "succeeded" else None

    @cached_property
    def started_at(self) -> float | None:
        """When the run was started, seconds since the epoch."""
        starts = [entry for entry in self.of_run if entry["event"] in {"run_started", "submitted"}]
        return instant(starts[0]["at"]) if starts else None

    @cached_property
    def _timeline(self) -> RunTimeline:
        timeline = RunTimeline({"tasks": self.tasks})
        for entry in self._ledger:
            if entry["event"] != SIGNED:
                timeline.take(transition_of(entry, self.index_of))
        return timeline

    def duration_s(self, index: int) -> float | None:
        """Return how long a task should take, as `observability.estimate` has it."""
        return expected_s(self._timeline, index)

    def left_s(self, index: int, now: float) -> tuple[float, bool]:
        """Return how long it should take until a task is done, and whether all durations on the way are known.

        Waiting for workers is not counted.
        """
        known: dict[int, tuple[float, bool]] = {}
        stack = [index]
        while stack:
            at = stack[-1]
            status = self.status(at)
            before = [] if status in ENDINGS or status == "running" else self.dependencies(at)
            missing = [one for one in before if one not in known]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            known[at] = self._left(at, status, [known[one] for one in before], now)
        return known[index]

    def _left(self, index: int, status: str, before: Sequence[tuple[float, bool]], now: float) -> tuple[float, bool]:
        if status in ENDINGS:
            return 0.0, True
        duration = self.duration_s(index)
        own = duration or 0.0
        if status == "running":
            entry = self.last(index, "running")
            own = max(own - (now - instant(entry["at"])), 0.0) if entry else own
        longest = max((seconds for seconds, _ in before), default=0.0)
        return own + longest, duration is not None and all(is_known for _, is_known in before)

    def name(self, index: int) -> str:
        """Return a task as people read it."""
        return f"`{self.ids[index]}`"
