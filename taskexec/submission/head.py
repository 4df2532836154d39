"""The head of a run: what its submitter signs of the plan, of what workers are told, and of how it is carried out."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from taskexec.domain.program import Program, RunOptions
from taskexec.domain.proof import blocks_digest, canonical_json, root_of_blocks, taken_digest

__all__ = ["run_head"]


def run_head(
    program: Program, plan_json: bytes, canvas_json: bytes, *, submitted_at: str, continues: str = ""
) -> bytes:
    """Return the head of a run as canonical JSON (fields: `domain.proof.SignedHead`).

    Args:
        program: The compiled run; its leaves make the root, and it says what was taken over from other runs.
        plan_json: `plan.json` as it is kept in the evidence.
        canvas_json: `canvas.json`, the same.
        submitted_at: When it was submitted, ISO 8601 in UTC.
        continues: For a further life of a run, the hash of the last entry of its ledger so far.
    """
    fields: dict[str, Any] = {
        "run": program.run_id,
        "plan": program.digest,
        "plan_sha256": hashlib.sha256(plan_json).hexdigest(),
        "canvas_sha256": hashlib.sha256(canvas_json).hexdigest(),
        "root": root_of_blocks(blocks_digest(program.leaves)),
        "tasks": len(program.tasks),
        "dry_run": program.options.dry_run,
        "options": _options(program.options),
        "submitted_at": submitted_at,
    }
    reused = ((index, task.reused) for index, task in enumerate(program.tasks) if task.reused)
    taken = {index: canonical_json(orjson.loads(origin)) for index, origin in reused}
    if taken:
        fields["taken_sha256"] = taken_digest(taken)
    if continues:
        fields["continues"] = continues
    return canonical_json(fields)


def _options(options: RunOptions) -> dict[str, Any]:
    """Return the options that change what is carried out; sizes of batches and lifetimes of keys do not."""
    return {
        "fail_fast": options.fail_fast,
        "lost_max": options.lost_max,
        "timeout_s": options.timeout_s,
        "deadline_at": options.deadline_at,
    }
