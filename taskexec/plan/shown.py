"""A checked plan as programs are shown it: what `tek plan --output json` prints, and the API answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskexec.errors import Fault
from taskexec.plan.estimate import Estimates, summarize
from taskexec.plan.plan import Plan, task_to_json

__all__ = ["plan_shown", "warnings_shown"]


def plan_shown(plan: Plan, estimates: Estimates | None = None) -> dict[str, Any]:
    """Return the shape that scripts may rely on.

    Args:
        plan: The plan.
        estimates: How long its tasks take; None takes what it says itself.
    """
    estimates = estimates or Estimates(plan)
    return {
        "summary": summarize(plan, estimates).to_json(),
        "tasks": [
            task_to_json(task)
            | {"level": estimate.level, "slack_s": estimate.slack_s, "critical": estimate.is_critical}
            for task, estimate in zip(plan.tasks, estimates, strict=True)
        ],
        "warnings": warnings_shown(plan.warnings),
        "reading": plan.reading.to_json(),
        "digest": plan.digest,
    }


def warnings_shown(warnings: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return what may not be meant, with its places as texts."""
    return [
        {
            "code": fault.code,
            "message": fault.message,
            "places": [str(place) for place in fault.places],
            "hint": fault.hint,
        }
        for fault in warnings
    ]
