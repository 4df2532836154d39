"""Whether the agents that a plan names are installed, and accept their instructions; asked before anything starts."""

from __future__ import annotations

from collections.abc import Collection

from taskexec.agents.registry import AgentMissing, AgentRegistry
from taskexec.errors import Fault, PlanRejected
from taskexec.plan import Plan

__all__ = ["check_agents"]


def check_agents(plan: Plan, agents: AgentRegistry, *, elsewhere: Collection[str] = ()) -> None:
    """Check that every agent is installed here, and accepts its instructions, or is known `elsewhere`.

    Tasks that are not performed need no agent.

    Raises:
        PlanRejected: With one fault a task.
    """
    faults = []
    accepted: set[tuple[str, int]] = set()  # tasks that were read alike share their payload
    for task, place in zip(plan.tasks, plan.places, strict=True):
        alike = (task.agent, id(task.payload))
        if task.is_satisfied or alike in accepted:
            continue
        try:
            agents.get(task.agent).check(task.payload)
            accepted.add(alike)
        except AgentMissing as error:
            if task.agent in elsewhere:
                continue
            faults.append(Fault("agent.missing", f"task `{task.id}`: {error}", (place,)))
        except ValueError as error:
            faults.append(Fault("agent.instructions", f"task `{task.id}`: {error}", (place,)))
    if faults:
        raise PlanRejected(faults)
