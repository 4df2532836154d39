"""What of a run is worth telling: a fold of its log that gives notices, each with a key that names it for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from taskexec.completion.ledger import split_record
from taskexec.domain.clock import iso_time
from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.secrets import Redactor
from taskexec.observability.estimate import estimate_end
from taskexec.observability.progress import RunView
from taskexec.observability.timeline import RunTimeline

__all__ = ["DeadlineWatch", "Notice", "NoticeKind", "RunWatch"]

_SHOWN_FAILURES = 10
_TEXT_LIMIT = 2000
_LOOK_US = 5_000_000
"""So often the end of a run is estimated."""


class NoticeKind(StrEnum):
    """What is told. `approval_wanted` may be asked for, and is told once tasks can wait for people."""

    RUN_ENDED = "run_ended"
    TASK_FAILED = "task_failed"
    DEADLINE_IN_DANGER = "deadline_in_danger"
    APPROVAL_WANTED = "approval_wanted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that is told; without secrets."""

    kind: NoticeKind
    key: str
    """Names it within its run, the same whenever it is found."""
    run_id: str
    title: str
    """One line for people."""
    text: str
    """A few more."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What programs get beside `event`, `run_id`, `title` and `text`."""
    stakeholders: tuple[str, ...] = ()
    """Who is told beside those that the settings name, as the plan names them; not yet allowed."""

    def to_json(self) -> dict[str, Any]:
        """Return it as webhooks and commands get it."""
        told = {"event": str(self.kind), "run_id": self.run_id, "title": self.title, "text": self.text}
        return {**told, **self.fields}


class RunWatch:
    """Watches one run; fed with its log, after its view was."""

    def __init__(
        self,
        run_id: str,
        plan: Mapping[str, Any],
        view: RunView,
        *,
        failures_max: int,
        redactor: Redactor,
        deadline: DeadlineWatch | None = None,
    ) -> None:
        """Begin at an end of the log.

        Args:
            run_id: The run.
            plan: Its `plan.json`.
            view: Where it stands; kept up to date by whoever feeds this.
            failures_max: So many failed tasks are told one by one; the end of the run tells of all.
            redactor: What knows the secrets.
            deadline: Watches its deadline; None for a run without.
        """
        self._run_id = run_id
        self._plan = plan
        self._view = view
        self._failures_left = failures_max
        self._redactor = redactor
        self._deadline = deadline
        self._source = str(plan.get("source") or run_id)
        self._stakeholders: tuple[str, ...] | None = None

    def hear(self, entries: Sequence[LogEntry], now_us: int) -> list[Notice]:
        """Return what new entries, and the time, are worth telling."""
        found = [notice for entry in entries if _may_tell(entry) for notice in self._tell(entry)]
        if self._deadline is not None and not self._view.is_final:
            estimate = self._deadline.hear(entries, now_us)
            if estimate is not None:
                found.append(self._in_danger(*estimate))
        return found

    def _tell(self, entry: LogEntry) -> Iterable[Notice]:
        for transition in parse_entry(entry):
            if transition.kind is TransitionKind.FAILED and self._failures_left > 0:
                self._failures_left -= 1
                yield self._failed(transition)
            elif transition.kind is TransitionKind.ENDED:
                yield self._ended(transition)

    def _failed(self, transition: Transition) -> Notice:
        task = self._plan["tasks"][transition.index]
        record = _object(split_record(transition.detail)[0]) if transition.detail else {}
        error = self._clean(record.get("error") or record.get("reason") or "it failed")
        fields = {
            "plan": self._source,
            "at": iso_time(transition.at_us / 1e6),
            "task": task["id"],
            "task_title": self._clean(task.get("title", "")),
            "attempt": transition.attempt,
            "reason": record.get("reason"),
            "error": error,
            "exit_status": record.get("exit_status"),
            "worker": transition.worker,
        }
        return Notice(
            kind=NoticeKind.TASK_FAILED,
            key=f"task_failed/{transition.index}/{transition.attempt}",
            run_id=self._run_id,
            title=f"task {task['id']} of {self._source} has failed",
            text=f"{error}\nattempt {transition.attempt}, run {self._run_id}\ntek logs {self._run_id} {task['id']}",
            fields=fields,
            stakeholders=tuple(_stakeholders_of(task)),
        )

    def _ended(self, transition: Transition) -> Notice:
        view, status = self._view, transition.detail
        counts = view.tally()
        failed = [self._plan["tasks"][index]["id"] for index in view.failed[:_SHOWN_FAILURES]]
        took_s = (transition.at_us - view.started_us) / 1e6 if view.started_us else None
        lines = [", ".join(f"{count} {name}" for name, count in counts.items())]
        if failed:
            more = len(view.failed) - len(failed)
            lines.append(f"failed: {', '.join(failed)}{f' and {more} more' if more else ''}")
        return Notice(
            kind=NoticeKind.RUN_ENDED,
            key=f"run_ended/{transition.at_us}",
            run_id=self._run_id,
            title=f"run {self._run_id} of {self._source}: {status}",
            text="\n".join([*lines, f"tek status {self._run_id}"]),
            fields={
                "plan": self._source,
                "at": iso_time(transition.at_us / 1e6),
                "status": status,
                "counts": counts,
                "failed": failed,
                "duration_s": took_s,
            },
            stakeholders=self._all_stakeholders(),
        )

    def _in_danger(self, deadline_us: int, end_us: int) -> Notice:
        deadline, end = iso_time(deadline_us / 1e6), iso_time(end_us / 1e6)
        return Notice(
            kind=NoticeKind.DEADLINE_IN_DANGER,
            key=f"deadline_in_danger/{deadline_us}",
            run_id=self._run_id,
            title=f"run {self._run_id} of {self._source} may miss its deadline",
            text=f"it has to end by {deadline}, and is expected to end at {end}\ntek watch {self._run_id}",
            fields={"plan": self._source, "deadline_at": deadline, "expected_end": end},
            stakeholders=self._all_stakeholders(),
        )

    def _all_stakeholders(self) -> tuple[str, ...]:
        if self._stakeholders is None:
            names = (name for task in self._plan["tasks"] for name in _stakeholders_of(task))
            self._stakeholders = tuple(dict.fromkeys(names))
        return self._stakeholders

    def _clean(self, text: object) -> str:
        return self._redactor.text(str(text))[:_TEXT_LIMIT]


class DeadlineWatch:
    """Estimates now and then whether a run ends before its deadline."""

    def __init__(self, timeline: RunTimeline, *, timeout_s: float | None, deadline_at: float | None) -> None:
        """Begin with what a run's timeline has taken in so far.

        Args:
            timeline: Its timeline.
            timeout_s: So long after its start it is stopped; None never.
            deadline_at: Then it is stopped, in seconds since the epoch; None never.
        """
        self._timeline = timeline
        self._timeout_s = timeout_s
        self._deadline_at = deadline_at
        self._looked_us = 0
        self._has_told = False

    def hear(self, entries: Sequence[LogEntry], now_us: int) -> tuple[int, int] | None:
        """Return deadline and expected end (microseconds since the epoch) when the latter is later, once."""
        self._timeline.apply(entries)
        deadline_us = self._deadline_us()
        if self._has_told or deadline_us is None or now_us - self._looked_us < _LOOK_US:
            return None
        self._looked_us = now_us
        estimate = estimate_end(self._timeline, now_us)
        if estimate is None or estimate.at_us <= deadline_us:
            return None
        self._has_told = True
        return deadline_us, estimate.at_us

    def _deadline_us(self) -> int | None:
        started = self._timeline.view.started_us
        ends = [self._deadline_at * 1e6] if self._deadline_at is not None else []
        if self._timeout_s is not None and started is not None:
            ends.append(started + self._timeout_s * 1e6)
        return round(min(ends)) if ends else None


def _may_tell(entry: LogEntry) -> bool:
    """Return whether an entry could be worth telling: nearly none is, and taking all apart would take time."""
    lines = entry.lines
    return lines.startswith(("F ", "E ")) or "\nF " in lines or "\nE " in lines


def _stakeholders_of(task: Mapping[str, Any]) -> list[str]:
    metadata: Mapping[str, str] = task.get("metadata") or {}
    return [text for name, text in metadata.items() if name.casefold() in {"stakeholders", "stakeholder"}]


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
