"""Plans for the tests of the compiler."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from taskexec.domain.resources import Route
from taskexec.domain.task import Task
from taskexec.errors import Place
from taskexec.plan import Graph, Plan

MakePlan = Callable[..., Plan]


def make_plan(
    predecessors: Mapping[str, Sequence[str]],
    routes: Mapping[str, Route] | None = None,
    satisfied: Collection[str] = (),
    **values: Any,
) -> Plan:
    index_of = {name: index for index, name in enumerate(predecessors)}
    tasks = tuple(
        Task(
            id=name,
            depends_on=tuple(before),
            route=(routes or {}).get(name, Route.CPU),
            is_satisfied=name in satisfied,
            **values,
        )
        for name, before in predecessors.items()
    )
    graph = Graph.of([index_of[name] for name in before] for before in predecessors.values())
    return Plan("p.csv", "csv", tasks, tuple(Place("p.csv", 1) for _ in tasks), graph)


@pytest.fixture(scope="session")
def plan_of() -> MakePlan:
    """Return the plan with these predecessors by id, these routes, and these tasks satisfied."""
    return make_plan
