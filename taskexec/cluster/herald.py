"""The herald of a run that is brought home: tells who is to be told of it, and sends the spans that no worker sends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.secrets import Redactor
from taskexec.domain.states import RunStatus
from taskexec.observability import RunView
from taskexec.observability.notify import Notice, Notifier, RunWatch, Target, allowed_stakeholders
from taskexec.observability.notify.addresses import targets_of
from taskexec.observability.notify.notices import DeadlineWatch
from taskexec.observability.notify.notifier import Memory
from taskexec.observability.timeline import RunTimeline
from taskexec.observability.tracing import SpanFacts, TracePolicy, Tracer
from taskexec.settings import NotifySettings

if TYPE_CHECKING:
    from taskexec.cluster.client import Cluster
    from taskexec.submission import Collector

__all__ = ["NoticeListener", "SpanListener", "listen"]

log = logging.getLogger("taskexec.herald")

_LAST_SPANS_S = 1.0


def listen(cluster: Cluster, collector: Collector, *, tells: bool = True) -> None:
    """Have a collector's run told of (if `tells`) and traced, as far as the settings ask for it; without, it is free.

    Raises:
        ConnectionLost: The server did not answer.
    """
    settings, folder = cluster.settings, collector.folder.path
    memory = Memory(folder)
    redactor = Redactor.of(os.environ)
    notify = settings.notify
    if notify.is_wanted and tells:
        deadline = _deadline(cluster, collector) if "deadline_in_danger" in notify.events.split(",") else None
        watch = RunWatch(
            collector.run_id,
            collector.folder.plan,
            collector.view,
            failures_max=notify.failures_max,
            redactor=redactor,
            deadline=deadline,
        )
        collector.listeners.append(NoticeListener(watch, collector.view, cluster.notifier, notify, memory))
    trace = settings.trace
    policy = TracePolicy.of(trace.endpoint, trace.sample_ratio, trace.timeout_s, os.environ)
    if policy is not None and policy.takes(collector.run_id):
        tracer = Tracer(policy, "taskexec")
        plan = collector.folder.plan
        collector.listeners.append(SpanListener(collector.run_id, plan, collector.view, tracer, memory, redactor))


def _deadline(cluster: Cluster, collector: Collector) -> DeadlineWatch | None:
    """Return what watches the deadline of a run; None for one that has none, or has ended."""
    head = cluster.runs.signed_head(collector.run_id).head
    options = orjson.loads(head).get("options", {}) if head else {}
    timeout_s, deadline_at = options.get("timeout_s"), options.get("deadline_at")
    if collector.view.is_final or (timeout_s is None and deadline_at is None):
        return None
    timeline = RunTimeline(collector.folder.plan)
    for transition in collector.folder.former:
        timeline.take(transition)
    return DeadlineWatch(timeline, timeout_s=timeout_s, deadline_at=deadline_at)


class NoticeListener:
    """Has a notifier tell what a run's watch finds."""

    def __init__(
        self, watch: RunWatch, view: RunView, notifier: Notifier, settings: NotifySettings, memory: Memory
    ) -> None:
        self._watch = watch
        self._view = view
        self._notifier = notifier
        self._settings = settings
        self._memory = memory
        self._events = frozenset(settings.events.split(","))
        self._targets = targets_of(settings.targets, settings.command)
        self._heard_at = time.monotonic()
        self._is_well = True

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Tell what is worth it; what fails here is logged, and ends the telling, not the run."""
        if not self._is_well:
            return
        now = time.monotonic()
        if entries:
            self._heard_at = now
        now_us = self._view.last_us + round((now - self._heard_at) * 1e6)
        try:
            for notice in self._watch.hear(entries, now_us):
                if notice.kind in self._events:
                    self._notifier.tell(notice, self._whom(notice), self._memory)
        except Exception:
            log.exception("nothing more is told of this run")
            self._is_well = False

    def _whom(self, notice: Notice) -> tuple[Target, ...]:
        allowed = allowed_stakeholders(notice.stakeholders, self._settings.stakeholders.split())
        return tuple(dict.fromkeys((*self._targets, *allowed)))

    def close(self, patience_s: float | None) -> None:
        """Wait for what is not yet told, as long as the settings say, or `patience_s`."""
        wait_s = self._settings.patience_s if patience_s is None else patience_s
        left = self._notifier.wait(wait_s)
        if left and wait_s:
            log.warning("the time to tell it is up", extra={"untold": left})


class SpanListener:
    """Sends the span of a run when it has ended, and those of attempts that were lost with their workers."""

    def __init__(
        self,
        run_id: str,
        plan: Mapping[str, Any],
        view: RunView,
        tracer: Tracer,
        memory: Memory,
        redactor: Redactor,
    ) -> None:
        self._run_id = run_id
        self._plan = plan
        self._view = view
        self._tracer = tracer
        self._memory = memory
        self._redactor = redactor
        self._running: dict[int, Transition] = {}
        self._is_well = True

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Send what has come to an end."""
        if not self._is_well:
            return
        try:
            for entry in entries:
                for transition in parse_entry(entry):
                    self._take(transition)
        except Exception:
            log.exception("nothing more of this run is traced here")
            self._is_well = False

    def _take(self, transition: Transition) -> None:
        if transition.kind is TransitionKind.RUNNING:
            self._running[transition.index] = transition
        elif transition.kind is TransitionKind.ENDED:
            self._send_run(transition)
        elif transition.index >= 0:
            begun = self._running.pop(transition.index, None)
            if begun is not None and transition.kind is TransitionKind.LOST:
                self._send_lost(begun, transition)

    def _send_lost(self, begun: Transition, lost: Transition) -> None:
        task = self._plan["tasks"][begun.index]
        self._tracer.send(
            SpanFacts(
                name=task["id"],
                run_id=self._run_id,
                index=begun.index,
                attempt=begun.attempt,
                start_s=begun.at_us / 1e6,
                end_s=lost.at_us / 1e6,
                attributes={
                    "taskexec.run": self._run_id,
                    "taskexec.task": task["id"],
                    "taskexec.attempt": begun.attempt,
                    "taskexec.agent": task["agent"],
                    "taskexec.worker": begun.worker,
                    "taskexec.status": "lost",
                },
                error="lost with its worker",
            )
        )

    def _send_run(self, ended: Transition) -> None:
        key = f"trace/{ended.at_us}"
        if self._memory.knows(key):
            return
        view = self._view
        source = self._redactor.text(str(self._plan.get("source") or ""))
        counts = {f"taskexec.tasks.{status}": count for status, count in view.tally().items()}
        self._tracer.send(
            SpanFacts(
                name=f"run {Path(source or self._run_id).name}",
                run_id=self._run_id,
                start_s=(view.started_us or ended.at_us) / 1e6,
                end_s=ended.at_us / 1e6,
                attributes={
                    "taskexec.run": self._run_id,
                    "taskexec.plan": source,
                    "taskexec.status": ended.detail,
                    "taskexec.tasks": len(self._plan["tasks"]),
                    **counts,
                },
                error=None if ended.detail == RunStatus.SUCCEEDED else ended.detail,
                caused_by=os.environ.get("TRACEPARENT", ""),
            )
        )
        self._memory.add(key)

    def close(self, patience_s: float | None) -> None:
        """Wait a moment for the receiver."""
        self._tracer.close(wait_s=_LAST_SPANS_S if patience_s is None else patience_s)
        if self._tracer.dropped:
            log.warning("spans dropped", extra={"run": self._run_id, "dropped": self._tracer.dropped})
