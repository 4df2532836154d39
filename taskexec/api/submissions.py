"""Plans that are sent: how they are read, checked and made runs of, in the name of a caller.

Nothing of the server's is read for them: a plan that includes other files is refused, and hooks and a manifest count
only when they are sent with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from taskexec.api.access import Caller
from taskexec.api.paths import link_to
from taskexec.api.problems import Problem
from taskexec.api.services import Services
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.errors import Fault
from taskexec.plan import Plan, build_plan, warnings_shown
from taskexec.settings import RunSettings, Settings
from taskexec.sources import ReadOptions, SentPlan, parse_columns, read_sent_plan

__all__ = ["Wishes", "read_for", "submit_plan"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a run is to be carried out, where that is not what the settings say."""

    dry_run: bool = False
    fail_fast: bool | None = None
    tag: str | None = None
    weight: float | None = None
    timeout_s: float | None = None
    wait_for_workers: bool = False

    def applied_to(self, run: RunSettings, caller: Caller) -> RunSettings:
        """Return the settings of a run that somebody submits."""
        said = {"tag": self.tag, "weight": self.weight, "timeout_s": self.timeout_s}
        return run.model_copy(update={"user": caller.name} | {name: v for name, v in said.items() if v is not None})


def read_for(caller: Caller, sent: SentPlan, settings: Settings, *, kind: str | None = None) -> Plan:
    """Return the checked plan that somebody sent.

    Args:
        caller: Who did.
        sent: The plan.
        settings: Those of the server: defaults and names of columns are theirs.
        kind: One of `sources.kinds.KINDS`; None finds out by the content.

    Raises:
        PlanRejected: It has faults; all of them are listed.
        Problem: It names agents or routes that the caller may not (403).
    """
    options = ReadOptions(
        kind=kind,
        columns=parse_columns(tuple(text for text in (settings.plan.columns,) if text)),
        allow_outside=settings.plan.allow_outside,
        defaults=settings.plan.defaults,
        queues=settings.plan.queues,
    )
    plan = build_plan(read_sent_plan(sent, options), is_strict=settings.plan.strict)
    faults = _beyond(caller, plan)
    if faults:
        count = f"{len(faults):,} tasks name" if len(faults) > 1 else "a task names"
        detail = f"{count} an agent or a route that token `{caller.name}` may not name"
        raise Problem(403, "access.plan", detail, hint="ask whoever made the token", faults=faults)
    return plan


def _beyond(caller: Caller, plan: Plan) -> Sequence[Fault]:
    """Return what a plan names that its sender may not."""
    found = []
    for task, place in zip(plan.tasks, plan.places, strict=True):
        for what, name, allowed in (("agent", task.agent, caller.agents), ("route", task.route.value, caller.routes)):
            if allowed is not None and name not in allowed and not task.is_satisfied:
                may = ", ".join(f"`{one}`" for one in sorted(allowed)) or "none"
                message = f"task `{task.id}` names the {what} `{name}`, and the token may name {may}"
                found.append(Fault(f"access.{what}", message, (place,)))
    return found


def submit_plan(services: Services, caller: Caller, plan: Plan, wishes: Wishes, key: str | None) -> dict[str, Any]:
    """Make a run of a plan; return what is said of it.

    Raises:
        NeedsUnmet, PlanRejected, ProtocolUnknown, SettingsRejected: As `Cluster.admit`; nothing was submitted.
        Refused, KeyUnusable, EvidenceUnwritable, ConnectionLost: As `Cluster.submit`.
    """
    cluster = services.cluster
    waiting = cluster.admit(plan, wait_for_workers=wishes.wait_for_workers)
    run = wishes.applied_to(services.settings.run, caller)
    submission = cluster.submit(plan, dry_run=wishes.dry_run, fail_fast=wishes.fail_fast, key=key, run=run)
    satisfied = sum(task.is_satisfied for task in plan.tasks)
    counts = {TaskStatus.WAITING: len(plan.tasks) - satisfied, TaskStatus.SATISFIED: satisfied}
    return {
        "run_id": submission.run_id,
        "status": str(RunStatus.RUNNING if counts[TaskStatus.WAITING] else RunStatus.SUCCEEDED),
        "counts": {str(status): count for status, count in counts.items() if count},
        "tasks": len(plan.tasks),
        "warnings": warnings_shown([*plan.warnings, *waiting]),
        "links": {
            "self": link_to("runs", submission.run_id),
            "page": f"/runs/{quote(submission.run_id, safe='')}",
            "events": link_to("runs", submission.run_id, "events"),
        },
    }
