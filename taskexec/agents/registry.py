"""The registry of agents: found as entry points of the group `taskexec.agents`, loaded at first use."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from taskexec.agents.base import Agent

__all__ = ["GROUP", "AgentMissing", "AgentRegistry"]

GROUP = "taskexec.agents"


class AgentMissing(LookupError):
    """No agent of that name is installed, or it cannot be loaded."""


class AgentRegistry:
    """Agents by name; each is loaded and made once."""

    def __init__(self, entries: Iterable[EntryPoint] | None = None) -> None:
        """Take the entry points given, or those of all installed packages."""
        found = entry_points(group=GROUP) if entries is None else entries
        self._entries = {entry.name: entry for entry in found}
        self._agents: dict[str, Agent] = {}

    def names(self) -> list[str]:
        """Return the names of all registered agents, sorted."""
        return sorted(self._entries)

    def get(self, name: str) -> Agent:
        """Return the agent of that name.

        Raises:
            AgentMissing: It is not registered or cannot be loaded; the text says which and why.
        """
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = self._load(name)
        return agent

    def _load(self, name: str) -> Agent:
        entry = self._entries.get(name)
        if entry is None:
            raise AgentMissing(f"no agent `{name}` is installed; there are: {', '.join(self.names())}")
        try:
            factory: Any = entry.load()
            made: Agent = factory()
        except Exception as error:
            raise AgentMissing(f"the agent `{name}` cannot be loaded: {type(error).__name__}: {error}") from error
        return made
