"""Whether the agents that a plan names are installed, and accept their instructions; asked before anything starts."""

from __future__ import annotations

from collections.abc import Collection

from taskexec.agents.registry import AgentMissing, AgentRegistry
from taskexec.errors import Fault, PlanRejected
from taskexec.plan import Plan

__all__ = ["check_agents"]


def check_agents(plan: Plan, agents: AgentRegistry, *, elsewhere: Collection[str] = ()) -> None:
    """Check that every agent is installed here, and accepts its instructions, or is known `elsewhere`.

    Raises:
        PlanRejected: With one fault a task.
    """
    faults = []
    for task, place in zip(plan.tasks, plan.places, strict=True):
        try:
            agents.get(task.agent).check(task.payload)
        except AgentMissing as error:
            if task.agent in elsewhere:
                continue
            faults.append(Fault("agent.missing", f"task `{task.id}`: {error}", (place,)))
        except ValueError as error:
            faults.append(Fault("agent.instructions", f"task `{task.id}`: {error}", (place,)))
    if faults:
        raise PlanRejected(faults)
