"""The summary of a run as `run.json` holds it: the older kit's fields (`status, started, ended, results`) and ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from taskexec.completion.account import RunAccount
from taskexec.domain.clock import iso_time
from taskexec.domain.program import RunHead

__all__ = ["run_summary"]


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
    folders: Mapping[str, str] = plan.get("folders", {})
    results = []
    for task, event, line in zip(plan["tasks"], account.lines(), account.tasks, strict=True):
        evidence = None
        if line.record:
            attempt = line.record.get("attempt", line.attempts)
            evidence = f"tasks/{folders.get(task['id'], task['id'])}/attempt-{attempt}"
        results.append(
            {
                "task": task["id"],
                "queue": task["lane"] or task["route"],
                "evidence": evidence,
                "commands": line.record.get("commands", []),
                **event,
                "agent": task["agent"],
            }
        )
    return {
        "run_id": head.run_id,
        "plan": head.source,
        "digest": head.digest,
        "status": head.status,
        "dry_run": head.dry_run,
        "submitted_at": _instant(head.submitted_at),
        "started": _instant(head.started_at),
        "ended": _instant(head.finished_at),
        "counts": dict(Counter(result["status"] for result in results)),
        "ledger_head": ledger_head,
        "results": results,
    }


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)
