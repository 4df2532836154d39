"""The account of an attempt that a worker refuses to perform, because of who signed it or of what was changed."""

from __future__ import annotations

import hashlib
import os
import platform

import orjson

from taskexec.agents import Outcome
from taskexec.domain.clock import iso_time
from taskexec.domain.program import ClaimedMember
from taskexec.domain.states import Reason
from taskexec.runtime.attempt import Performed

__all__ = ["refused_attempt"]

_NOTHING = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}


def refused_attempt(run_id: str, claimed: ClaimedMember, why: str, *, at_s: float, worker: str) -> Performed:
    """Return a refused attempt as failed; nothing of its instructions, which may be anybody's, is in its record.

    Args:
        run_id: The run.
        claimed: The attempt.
        why: Why it is refused, and what to do.
        at_s: The server's time, in seconds since the epoch.
        worker: Name of the worker.
    """
    outcome = Outcome(succeeded=False, reason=Reason.REFUSED, error=why)
    record = {
        "run": run_id,
        "index": claimed.member.index,  # the task's id stands in the instructions only
        "attempt": claimed.member.attempt,
        "agent": "",
        "status": "failed",
        "reason": outcome.reason,
        "error": why,
        "exit_status": None,
        "signal": None,
        "started_at": iso_time(at_s),
        "finished_at": iso_time(at_s),
        "worker": worker,
        "host": platform.node(),
        "pid": os.getpid(),
        "commands": [],
        "files": {"stdout.log": _NOTHING, "stderr.log": _NOTHING},
    }
    return Performed(claimed, outcome, orjson.dumps(record) + b"\t", b"", 0.0)
