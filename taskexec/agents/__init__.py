"""What performs tasks: the contract, the registry and the built-in agents."""

from taskexec.agents.base import Agent, Assignment, Exit, Outcome, ProcessRunner
from taskexec.agents.checking import check_agents
from taskexec.agents.registry import AgentMissing, AgentRegistry

__all__ = ["Agent", "AgentMissing", "AgentRegistry", "Assignment", "Exit", "Outcome", "ProcessRunner", "check_agents"]
