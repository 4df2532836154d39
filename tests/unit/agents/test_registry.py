"""Tests of the registry: what is found, what is missing, what is broken, and third parties' agents."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from taskexec.agents import AgentMissing, AgentRegistry, Assignment, Outcome, ProcessRunner
from taskexec.agents.noop import NoopAgent
from taskexec.agents.registry import GROUP


class GreetingAgent:
    """A third party's agent; `made` counts its objects."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def check(self, payload: Mapping[str, Any]) -> None:
        return None

    def describe(self, assignment: Assignment) -> str:
        return "greet"

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        return Outcome(succeeded=True, result="hello")


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    module = ModuleType("greeting_plugin")
    module.GreetingAgent = GreetingAgent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "greeting_plugin", module)
    monkeypatch.setattr(GreetingAgent, "made", 0)
    return EntryPoint("greeting", "greeting_plugin:GreetingAgent", GROUP)


def test_built_in_agents_are_installed() -> None:
    assert {"noop", "shell", "python"} <= set(AgentRegistry().names())
    assert isinstance(AgentRegistry().get("noop"), NoopAgent)


def test_third_partys_agent_is_found_by_its_entry_point(third_party: EntryPoint) -> None:
    agent = AgentRegistry([third_party]).get("greeting")

    assert isinstance(agent, GreetingAgent)


def test_agent_is_made_once_and_only_when_it_is_needed(third_party: EntryPoint) -> None:
    registry = AgentRegistry([third_party])
    before = GreetingAgent.made

    first, second = registry.get("greeting"), registry.get("greeting")

    assert first is second
    assert (before, GreetingAgent.made) == (0, 1)


def test_missing_agent_is_told_with_those_that_are_there(third_party: EntryPoint) -> None:
    with pytest.raises(AgentMissing, match=r"`shall`.*greeting"):
        AgentRegistry([third_party]).get("shall")


@pytest.mark.parametrize("target", ["no_such_module:Agent", "os:NoSuchAgent", "os:getcwdb.x", "json:loads"])
def test_broken_agent_is_told_with_its_cause(target: str) -> None:
    registry = AgentRegistry([EntryPoint("broken", target, GROUP)])

    with pytest.raises(AgentMissing, match="`broken` cannot be loaded") as missing:
        registry.get("broken")

    assert missing.value.__cause__ is not None


def test_broken_agent_does_not_hide_the_others(third_party: EntryPoint) -> None:
    registry = AgentRegistry([EntryPoint("broken", "no_such_module:Agent", GROUP), third_party])

    assert registry.names() == ["broken", "greeting"]
    assert registry.get("greeting")
