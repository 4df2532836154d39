"""Drafts and graphs for tests."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.plan import DraftTask, Located, Plan, PlanDraft, build_plan

WORKLOADS = Path(__file__).resolve().parents[4] / "shared" / "workloads"

PLAIN = ("payload", "metadata", "labels", "acceptance_criteria", "requirements")


def at(value: Any, line: int = 1, column: int = 1) -> Located[Any]:
    return Located(value, Place("p.csv", line, column))


def task(task_id: str, *depends_on: str, line: int = 1, **values: Any) -> DraftTask:
    """Return a draft task; those of `PLAIN` are taken as they are, others get the line; None says nothing."""
    plain = {name: values.pop(name) for name in PLAIN if name in values}
    if "retry" in values:
        plain["retry"] = {name: at(value, line, 30) for name, value in values.pop("retry").items()}
    for name in ("inputs", "outputs"):
        plain[name] = tuple(at(path, line, 40) for path in values.pop(name, ()))
    located = {name: at(value, line) for name, value in values.items() if value is not None}
    dependencies = [at(name, line, 20 + column) for column, name in enumerate(depends_on)]
    return DraftTask(id=at(task_id, line), depends_on=dependencies, **plain, **located)


def draft(*tasks: DraftTask, source: str = "p.csv") -> PlanDraft:
    return PlanDraft(source=source, kind="csv", tasks=list(tasks))


def plan_of(graph: Mapping[str, Sequence[str]], **durations: float) -> Plan:
    """Return the plan with these dependencies; each id stands on a line of its own."""
    tasks = []
    for line, (name, before) in enumerate(graph.items(), 2):
        values = {"duration_s": durations[name]} if name in durations else {}
        tasks.append(task(name, *before, line=line, **values))
    return build_plan(draft(*tasks))


def read_workload(path: Path) -> Plan:
    """Return a plan of `shared/workloads/plans`."""
    tasks = []
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            values = {"duration_s": float(row["duration_s"])} if row["duration_s"] else {}
            before = [name for name in row["depends_on"].split(";") if name]
            tasks.append(task(row["id"], *before, line=line, lane=row["queue"], **values))
    return build_plan(draft(*tasks, source=str(path)))


@st.composite
def acyclic(draw: st.DrawFn, most: int = 12) -> list[list[int]]:
    """Draw the predecessors of a random acyclic graph whose numbering is not topological."""
    size = draw(st.integers(0, most))
    names = draw(st.permutations(range(size)))
    predecessors: list[list[int]] = [[] for _ in range(size)]
    for later in range(size):
        for earlier in range(later):
            if draw(st.booleans()):
                predecessors[names[later]].append(names[earlier])
    return predecessors


@st.composite
def any_graph(draw: st.DrawFn, most: int = 8) -> list[list[int]]:
    """Draw the predecessors of a random graph, cycles and self-loops included."""
    size = draw(st.integers(1, most))
    nodes = st.lists(st.integers(0, size - 1), max_size=2, unique=True)
    return draw(st.lists(nodes, min_size=size, max_size=size))
