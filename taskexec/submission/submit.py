"""Submitting: a plan becomes a stored, started run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from taskexec.broker import message_template, queue_key
from taskexec.compiler import compile_canvas, compile_program
from taskexec.domain.program import RunOptions
from taskexec.plan import Plan, plan_to_json
from taskexec.store.runs import RunStore

__all__ = ["SubmittedRun", "new_run_id", "submit"]


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """What was submitted."""

    run_id: str
    tasks: int
    plan_json: bytes
    """`plan.json` of the evidence."""
    canvas_json: bytes
    """`canvas.json` of the evidence."""


def new_run_id(now: datetime | None = None) -> str:
    """Return a new run id, a plain file name that sorts by time: UTC to the millisecond, and six random hex digits."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{secrets.token_hex(3)}"


def submit(plan: Plan, store: RunStore, options: RunOptions, *, run_id: str | None = None) -> SubmittedRun:
    """Compile a plan, store its program and queue what waits for nothing.

    Raises:
        ConnectionLost: The server did not answer; a run that was not started is never carried out.
    """
    run_id = run_id or new_run_id()
    generated_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    plan_json = orjson.dumps(plan_to_json(plan, generated_at=generated_at))
    canvas = compile_canvas(plan)
    program = compile_program(
        plan,
        canvas,
        run_id=run_id,
        options=options,
        queue_key=queue_key,
        template=message_template(run_id),
        plan_json=plan_json,
    )
    store.put(program)
    store.start(run_id)
    return SubmittedRun(run_id, len(plan.tasks), plan_json, orjson.dumps(canvas.to_json()))
