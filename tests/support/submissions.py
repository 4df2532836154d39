"""A run submitted straight to a store, of whichever kind, with no journal."""

from __future__ import annotations

from taskexec.completion.keys import Identity
from taskexec.domain.program import RunOptions
from taskexec.plan import Plan
from taskexec.store.port import RunStore
from taskexec.submission.submit import Submission, prepare

__all__ = ["submit"]


def submit(
    plan: Plan, store: RunStore, options: RunOptions, *, run_id: str | None = None, identity: Identity | None = None
) -> Submission:
    """Compile a plan, sign its head if somebody does, store its program and start it."""
    submission = prepare(plan, options, run_id=run_id, identity=identity)
    store.put(submission.program)
    store.start(submission.run_id)
    return submission
