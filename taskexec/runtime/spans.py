"""The span of an attempt, as its record tells of it."""

from __future__ import annotations

from datetime import datetime

import orjson

from taskexec.observability.tracing import SpanFacts
from taskexec.runtime.attempt import Performed

__all__ = ["span_of"]


def span_of(performed: Performed, run_id: str, *, rank: int = 0) -> SpanFacts:
    """Return the span of an attempt that was performed, or of a rank of it."""
    record, member = orjson.loads(performed.record.partition(b"\t")[0]), performed.claimed.member
    failed = record["status"] != "succeeded"
    return SpanFacts(
        name=record.get("task") or f"task {member.index}",
        run_id=run_id,
        index=member.index,
        attempt=member.attempt,
        rank=rank,
        start_s=_seconds(record["started_at"]),
        end_s=_seconds(record["finished_at"]),
        attributes={
            "taskexec.run": run_id,
            "taskexec.task": record.get("task"),
            "taskexec.attempt": member.attempt,
            "taskexec.agent": record["agent"],
            "taskexec.status": record["status"],
            "taskexec.reason": record["reason"],
            "taskexec.exit_status": record["exit_status"],
            "taskexec.rank": rank or None,
        },
        error=(record["error"] or record["reason"] or "failed") if failed else None,
    )


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
