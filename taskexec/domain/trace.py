"""The identities of a run's trace: all who take part compute the same ones from what they know, and carry nothing.

A trace is a run; its root span is the run as a whole, and each attempt is a span below it (W3C Trace Context).
"""

from __future__ import annotations

import hashlib

__all__ = ["attempt_span_id", "is_sampled", "root_span_id", "trace_id_of", "traceparent"]


def trace_id_of(run_id: str) -> int:
    """Return the id of a run's trace, 128 bits and never 0."""
    return int.from_bytes(_digest(run_id)[:16], "big") or 1


def root_span_id(run_id: str) -> int:
    """Return the id of the span of a run, 64 bits and never 0."""
    return int.from_bytes(_digest(run_id, "run")[:8], "big") or 1


def attempt_span_id(run_id: str, index: int, attempt: int, rank: int = 0) -> int:
    """Return the id of the span of an attempt, 64 bits and never 0.

    Args:
        run_id: Its run.
        index: Position of its task in the plan.
        attempt: Its number, from 1.
        rank: Which rank of it.
    """
    return int.from_bytes(_digest(run_id, f"{index}.{attempt}.{rank}")[:8], "big") or 1


def is_sampled(trace_id: int, ratio: float) -> bool:
    """Return whether a trace is among a share of all, as OpenTelemetry's `TraceIdRatioBased` decides it."""
    return trace_id & 0xFFFF_FFFF_FFFF_FFFF < round(ratio * 2**64)


def traceparent(trace_id: int, span_id: int, *, sampled: bool) -> str:
    """Return what a process is told of the span that it belongs to."""
    return f"00-{trace_id:032x}-{span_id:016x}-{sampled:02x}"


def _digest(run_id: str, span: str = "") -> bytes:
    return hashlib.sha256(f"taskexec trace {run_id} {span}".encode()).digest()
