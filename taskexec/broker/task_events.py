"""What happened to the tasks of a run, told as Celery's events: made from its log, for who monitors Celery.

Workers send no events: the log has said the same already, of each member of a batch by itself, and more exactly than
a worker could (whether a failed attempt is tried again, what was skipped, what a dead worker left).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from taskexec.domain.events import Transition, TransitionKind
from taskexec.domain.flower_links import celery_id

__all__ = ["NOBODY", "OTHER_KIND", "Kinds", "TaskEvents"]

NOBODY = "taskexec"
"""Host name of events that no worker caused: tasks queued, and cancelled before one had them."""
OTHER_KIND = "tek.other"
"""Name of tasks whose agent came after so many others that it gets no name of its own."""

_MOST_KINDS = 64
_SHOWN_CHARACTERS = 200

_TOLD = {
    TransitionKind.RETRIED: "run again",
    TransitionKind.GIVEN_BACK: "given back by its worker, which has not started it",
}
"""Why tasks are tried again of whose attempt there is no record that says it."""

_BEGINNINGS = {TransitionKind.QUEUED, TransitionKind.RUNNING}
"""What may be overtaken among transitions that are told together."""


class Kinds:
    """The names of tasks, one an agent: names are labels of metrics, so there are not more than some."""

    def __init__(self, most: int = _MOST_KINDS) -> None:
        self._most = most
        self._names: dict[str, str] = {}

    def name_of(self, agent: str) -> str:
        """Return the name of tasks of an agent."""
        name = self._names.get(agent)
        if name is None:
            if len(self._names) >= self._most:
                return OTHER_KIND
            name = self._names[agent] = f"tek.{agent}"
        return name


class TaskEvents:
    """Makes events of one run's transitions, taken in order."""

    def __init__(self, run_id: str, plan: Mapping[str, Any], kinds: Kinds) -> None:
        """Begin with a run's `plan.json`."""
        self.run_id = run_id
        self.task_ids: list[str] = [task["id"] for task in plan["tasks"]]
        self._agents: list[str] = [task["agent"] for task in plan["tasks"]]
        self._routes: list[str] = [task["route"] for task in plan["tasks"]]
        self._source = plan.get("source") or ""
        self._kinds = kinds
        self._workers: dict[int, str] = {}
        """Who performs each task that runs."""
        self._former: dict[int, str] = {}
        """Who had each task whose attempt is over without an end of the task."""
        self._held: dict[int, Transition] = {}
        """Beginning of each task that is not told yet."""
        self._makers: dict[TransitionKind, Callable[[Transition], Iterator[dict[str, Any]]]] = {
            TransitionKind.QUEUED: self._sent,
            TransitionKind.RUNNING: self._begun,
            TransitionKind.SUCCEEDED: self._succeeded,
            TransitionKind.SATISFIED: self._satisfied,
            TransitionKind.FAILED: self._failed,
            TransitionKind.TRIED: self._retried,
            TransitionKind.LOST: self._retried,
            TransitionKind.GIVEN_BACK: self._retried,
            TransitionKind.RETRIED: self._retried,
            TransitionKind.SKIPPED: self._revoked,
            TransitionKind.CANCELLED: self._revoked,
        }

    def take(self, transition: Transition) -> Iterator[dict[str, Any]]:
        """Yield the events of the next transition; none for one that Celery has no event for."""
        make = self._makers.get(transition.kind)
        if make is not None and transition.index >= 0:
            yield from make(transition)

    def take_together(self, transitions: Iterable[Transition]) -> Iterator[dict[str, Any]]:
        """Yield the events of the next transitions, fewer than one by one: what is soon overtaken is held back.

        That a task was sent is left out once it has begun. One that has succeeded by the time its beginning would be
        told is one event, a success with all that the beginning says and `received` and `started` as fields: the state
        that Celery makes of it is the same. Call `release` before the next wait.
        """
        for transition in transitions:
            kind, index = transition.kind, transition.index
            last = self._held.pop(index, None)
            if last is not None and last.kind is TransitionKind.RUNNING and kind is TransitionKind.SUCCEEDED:
                yield self._whole(last, transition)
                continue
            if last is not None and (last.kind is TransitionKind.RUNNING or kind is not TransitionKind.RUNNING):
                yield from self.take(last)
            if kind in _BEGINNINGS:
                self._held[index] = transition
            else:
                yield from self.take(transition)

    def release(self) -> Iterator[dict[str, Any]]:
        """Yield the events that were held back."""
        held, self._held = self._held, {}
        for transition in held.values():
            yield from self.take(transition)

    def _whole(self, beginning: Transition, end: Transition) -> dict[str, Any]:
        self._workers[end.index] = beginning.worker
        self._former.pop(end.index, None)
        record = _record(end.detail)
        begun_at = beginning.at_us / 1e6
        return self._event(
            "succeeded",
            end,
            beginning.worker,
            **self._naming(beginning),
            received=begun_at,
            started=begun_at,
            result=_short(record.get("result")),
            runtime=_runtime_s(record),
        )

    def _event(self, kind: str, transition: Transition, worker: str = "", **fields: Any) -> dict[str, Any]:
        at_s = transition.at_us / 1e6
        return {
            "type": f"task-{kind}",
            "uuid": celery_id(self.run_id, transition.index),
            "hostname": worker or self._workers.get(transition.index) or transition.worker or NOBODY,
            "timestamp": at_s,
            "local_received": at_s,
            "utcoffset": 0,
            "pid": 0,
            **fields,
        }

    def _naming(self, transition: Transition) -> dict[str, Any]:
        """Return what an event says that may be the first of its task."""
        index = transition.index
        task_id = self.task_ids[index]
        return {
            "name": self._kinds.name_of(self._agents[index]),
            "args": repr((task_id,)),
            "kwargs": repr({"run": self.run_id, "plan": self._source, "task": task_id}),
            "root_id": self.run_id,
            "parent_id": None,
            "retries": max(transition.attempt - 1, 0),
            "eta": None,
            "expires": None,
        }

    def _sent(self, transition: Transition) -> Iterator[dict[str, Any]]:
        route = self._routes[transition.index]
        yield self._event(
            "sent", transition, NOBODY, **self._naming(transition), queue=route, exchange="", routing_key=route
        )

    def _begun(self, transition: Transition) -> Iterator[dict[str, Any]]:
        self._workers[transition.index] = transition.worker
        self._former.pop(transition.index, None)
        yield self._event("received", transition, transition.worker, **self._naming(transition))
        yield self._event("started", transition, transition.worker)

    def _succeeded(self, transition: Transition) -> Iterator[dict[str, Any]]:
        record = _record(transition.detail)
        yield self._event("succeeded", transition, result=_short(record.get("result")), runtime=_runtime_s(record))

    def _satisfied(self, transition: Transition) -> Iterator[dict[str, Any]]:
        yield self._event(
            "succeeded", transition, NOBODY, **self._naming(transition), result="satisfied: done before", runtime=0.0
        )

    def _failed(self, transition: Transition) -> Iterator[dict[str, Any]]:
        record = _record(transition.detail)
        fields = {"exception": _why(record)} if record else {}
        worker = self._former.pop(transition.index, "")  # of an attempt that was lost, and was the last one
        yield self._event("failed", transition, worker, **fields, runtime=_runtime_s(record))

    def _retried(self, transition: Transition) -> Iterator[dict[str, Any]]:
        told = _TOLD.get(transition.kind) or _why(_record(transition.detail))
        event = self._event("retried", transition, **self._naming(transition), exception=told)
        worker = self._workers.pop(transition.index, None)  # whatever becomes of the task now, it has no part in it
        if worker is not None:
            self._former[transition.index] = worker
        yield event

    def _revoked(self, transition: Transition) -> Iterator[dict[str, Any]]:
        told = "cancelled"
        if transition.kind is TransitionKind.SKIPPED:
            told = f"skipped: {self.task_ids[int(transition.detail)]} failed"
        worker = self._workers.get(transition.index, NOBODY)
        yield self._event(
            "revoked",
            transition,
            worker,
            **self._naming(transition),
            exception=told,
            terminated=worker != NOBODY,
            signum=None,
            expired=False,
        )


def _record(detail: str) -> Mapping[str, Any]:
    """Return the record of an attempt; empty for what has none."""
    text = detail.partition("\t")[0]
    try:
        record = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _why(record: Mapping[str, Any]) -> str:
    parts = [str(part) for part in (record.get("reason"), record.get("error")) if part]
    return _cut(": ".join(parts) or "failed")


def _short(result: Any) -> str | None:
    if result is None:
        return None
    return _cut(result if isinstance(result, str) else orjson.dumps(result).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _runtime_s(record: Mapping[str, Any]) -> float | None:
    try:
        span = datetime.fromisoformat(record["finished_at"]) - datetime.fromisoformat(record["started_at"])
    except (KeyError, TypeError, ValueError):
        return None
    return max(span.total_seconds(), 0.0)
