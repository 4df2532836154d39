"""The summary of a run as `run.json` holds it: the older kit's fields (`status, started, ended, results`) and ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from taskexec.completion.account import RunAccount
from taskexec.completion.outline import RunOutline
from taskexec.domain.clock import iso_time
from taskexec.domain.program import RunHead
from taskexec.plan import evidence_folder

__all__ = ["home_summary", "run_summary"]


def run_summary(
    head: RunHead, plan: Mapping[str, Any], account: RunAccount, *, ledger_head: str | None
) -> dict[str, Any]:
    """Return the summary of a run.

    Args:
        head: Where the run stands.
        plan: Its `plan.json`.
        account: What became of its tasks.
        ledger_head: Hash of the ledger's last entry; None when no ledger was written.
    """
    results = []
    for task, event, line in zip(plan["tasks"], account.lines(), account.tasks, strict=True):
        evidence = None
        if line.record:
            attempt = line.record.get("attempt", line.attempts)
            evidence = f"tasks/{evidence_folder(task['id'])}/attempt-{attempt}"
        results.append(
            {
                "task": task["id"],
                "queue": task["lane"] or task["route"],
                "evidence": evidence,
                "commands": line.record.get("commands", []),
                **event,
                "agent": task["agent"],
                **({"truncated_bytes": line.truncated_bytes} if line.truncated_bytes else {}),
                **({"hints": line.record["hints"]} if "hints" in line.record else {}),
            }
        )
    return {
        "run_id": head.run_id,
        "plan": plan.get("source") or head.source,  # the folder alone makes it again
        "digest": head.digest,
        "status": head.status,
        "dry_run": head.dry_run,
        "submitted_at": _instant(head.submitted_at),
        "started": _instant(head.started_at),
        "ended": _instant(head.finished_at),
        "counts": dict(Counter(result["status"] for result in results)),
        "ledger_head": ledger_head,
        "truncated": sum(1 for line in account.tasks if line.truncated_bytes),
        "results": results,
    }


def home_summary(
    outline: RunOutline, unproved: Mapping[str, str], pending_files: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the summary in a run's folder says beside `run_summary`, of the folder itself.

    Args:
        outline: What the ledger says of the run as a whole.
        unproved: What attempts left that no signed record speaks of: path -> SHA-256.
        pending_files: Files of evidence that are still with their workers.
    """
    return {
        "pending_files": list(pending_files),
        "unproved": dict(unproved),
        "replay_hash": None if outline.status is None else outline.replay.hash(),
    }


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)
