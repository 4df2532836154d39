"""A plan becomes a run that is ready to be stored: compiled, and signed by its submitter."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson

from taskexec.broker import message_template, queue_key
from taskexec.compiler import compile_canvas, compile_program
from taskexec.completion.keys import Identity
from taskexec.domain.clock import iso_time
from taskexec.domain.program import Program, RunOptions, Standing
from taskexec.domain.proof import SignedHead
from taskexec.domain.secrets import Redactor, is_secret_variable
from taskexec.errors import SecretExposed
from taskexec.plan import Plan, plan_to_json
from taskexec.submission.head import run_head

__all__ = ["Before", "Submission", "new_run_id", "prepare"]


def new_run_id(now: datetime | None = None) -> str:
    """Return a new run id, a plain file name that sorts by time: UTC to the millisecond, and six random hex digits."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Before:
    """What was done before a run begins: tasks taken over from another run, or an earlier life of this one."""

    standing: Mapping[int, Standing] = field(default_factory=dict)
    """Where tasks stand, by position in the plan."""
    plan_json: bytes = b""
    """`plan.json` as the earlier life has it; empty makes one."""
    canvas_json: bytes = b""
    """`canvas.json` as the earlier life has it; empty makes one."""
    ledger_head: str = ""
    """Hash of the last entry of its ledger; empty when none was written."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that is ready to be stored: its program is compiled and its head signed."""

    program: Program
    plan_json: bytes
    """`plan.json` of the evidence."""
    canvas_json: bytes
    """`canvas.json` of the evidence."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.program.run_id


def prepare(
    plan: Plan,
    options: RunOptions,
    *,
    run_id: str | None = None,
    identity: Identity | None = None,
    before: Before | None = None,
) -> Submission:
    """Compile a plan and sign its head.

    Args:
        plan: The plan, admitted.
        options: How it is carried out.
        run_id: Id of the run; None makes one.
        identity: Who signs it; None signs nothing, and workers that ask for signatures refuse its tasks.
        before: What was done before; None for nothing.

    Raises:
        SecretExposed: The plan holds the value of a secret of this environment.
    """
    run_id = run_id or new_run_id()
    before = before or Before()
    canvas = compile_canvas(plan)
    canvas_json = before.canvas_json or orjson.dumps(canvas.to_json())
    plan_json = before.plan_json or _plan_json(plan)
    if not before.plan_json:
        _refuse_secrets(plan_json)
    program = compile_program(
        plan,
        canvas,
        run_id=run_id,
        options=options,
        queue_key=queue_key,
        template=message_template(run_id),
        plan_json=plan_json,
        standing=before.standing,
    )
    head = run_head(program, plan_json, canvas_json, submitted_at=iso_time(time.time()), continues=before.ledger_head)
    signed = SignedHead(head) if identity is None else identity.sign_head(head)
    program = replace(program, head=signed, is_continued=bool(before.ledger_head))
    return Submission(program, plan_json, canvas_json)


def _refuse_secrets(plan_json: bytes) -> None:
    for name, value in os.environ.items():
        if is_secret_variable(name) and Redactor([value], with_patterns=False).holds(plan_json):
            raise SecretExposed(name)


def _plan_json(plan: Plan) -> bytes:
    generated_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return orjson.dumps(plan_to_json(plan, generated_at=generated_at))
