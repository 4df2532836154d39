"""Plans and clusters to simulate, small enough that tasks compete."""

from __future__ import annotations

from hypothesis import strategies as st

from taskexec.domain.resources import Alternative, Capacity, Gpu, Needs, Route
from taskexec.domain.task import Task
from taskexec.errors import Place
from taskexec.plan.graph import Graph
from taskexec.plan.plan import Plan
from taskexec.simulation import ClusterSpec, WorkerGroup

__all__ = ["clusters", "plans"]

GROUPS = st.builds(
    WorkerGroup,
    name=st.just("w"),
    count=st.integers(1, 3),
    capacity=st.builds(
        Capacity,
        cpus=st.sampled_from([1, 2, 4, 6.5]),
        memory_mib=st.sampled_from([0, 1000, 4096]),
        gpus=st.sampled_from([(), (Gpu("a", "", 100),), (Gpu("a", "", 100), Gpu("b", "", 200), Gpu("c", "", 100))]),
        slots=st.integers(1, 5),
        disk_mib=st.sampled_from([0, 500]),
        labels=st.sampled_from([frozenset(), frozenset({"ssd"})]),
    ),
    routes=st.sampled_from([frozenset(Route), frozenset({Route.CPU}), frozenset({Route.CPU, Route.GPU})]),
    join_at_s=st.sampled_from([0.0, 0.0, 0.0, 3.0]),
    leave_at_s=st.sampled_from([None, None, None, 6.0]),
)
OPTIONS = st.builds(
    Needs,
    cpus=st.sampled_from([0, 0.5, 1, 1, 2, 4]),
    memory_mib=st.sampled_from([0, 0, 300, 1000, 3000]),
    gpus=st.sampled_from([0, 0, 0, 0.3, 0.5, 1, 2]),
    gpu_memory_mib=st.sampled_from([0, 0, 50, 150]),
    disk_mib=st.sampled_from([0, 0, 0, 300]),
    has=st.sampled_from([(), (), ("ssd",)]),
    has_not=st.sampled_from([(), (), ("ssd",)]),
    exclusive=st.sampled_from([False, False, False, True]),
)


@st.composite
def asked(draw: st.DrawFn) -> Needs:
    """Return what a task asks for."""
    if draw(st.integers(0, 3)) == 0:
        return Needs()
    needs = draw(OPTIONS)
    alternatives = tuple(Alternative(weight, draw(OPTIONS)) for weight in draw(st.sampled_from([[], [], [0.5], [2.0]])))
    nodes = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    packed = draw(st.booleans())
    return Needs(
        needs.cpus, needs.memory_mib, needs.gpus, needs.gpu_memory_mib, needs.disk_mib, needs.has, needs.has_not,
        needs.exclusive, nodes, packed, alternatives,
    )  # fmt: skip


@st.composite
def plans(draw: st.DrawFn, most: int = 40) -> Plan:
    """Return a plan whose tasks ask for what one of a few asks says, so that equal ones compete."""
    kinds = draw(st.lists(asked(), min_size=1, max_size=4))
    count = draw(st.integers(1, most))
    tasks, before = [], []
    for index in range(count):
        needs = draw(st.sampled_from(kinds))
        earlier = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        before.append(earlier if draw(st.integers(0, 2)) == 0 else [])
        route = Route.DISTRIBUTED if needs.nodes > 1 else Route.GPU if needs.gpus else Route.CPU
        tasks.append(
            Task(
                id=str(index),
                route=draw(st.sampled_from([route, Route.CPU])),
                needs=needs,
                priority=draw(st.sampled_from([0, 0, 5])),
                duration_s=draw(st.sampled_from([0.5, 1.0, 1.0, 2.0, 5.0])),
            )
        )
    return Plan("p", "plan", tuple(tasks), tuple(Place("p", 1) for _ in tasks), Graph.of(before))


@st.composite
def clusters(draw: st.DrawFn) -> ClusterSpec:
    """Return a few workers of a few kinds."""
    groups = draw(st.lists(GROUPS, min_size=1, max_size=4))
    named = [
        WorkerGroup(
            name=f"w{at}", capacity=group.capacity, count=group.count, routes=group.routes,
            join_at_s=group.join_at_s, leave_at_s=group.leave_at_s,
        )
        for at, group in enumerate(groups)
    ]  # fmt: skip
    return ClusterSpec(tuple(named))
