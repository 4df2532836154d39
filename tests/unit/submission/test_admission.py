"""Tests of admission: what could never run is refused before anything starts, all of it at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from taskexec.agents import AgentRegistry, check_agents
from taskexec.agents.noop import NoopAgent
from taskexec.agents.shell import ShellAgent
from taskexec.domain.resources import Alternative, Capacity, Gpu, Needs, Route, choose_route
from taskexec.domain.task import Task
from taskexec.errors import Fault, NeedsUnmet, Place, PlanRejected
from taskexec.plan import Graph, Plan
from taskexec.submission import KnownWorker, admit, unmet

SMALL = KnownWorker("small", frozenset({Route.CPU}), Capacity(cpus=2, memory_mib=1024))
LARGE = KnownWorker("large", frozenset({Route.CPU}), Capacity(cpus=8, memory_mib=4096))
GPU = KnownWorker("gpu", frozenset({Route.GPU}), Capacity(cpus=4, memory_mib=4096, gpus=(Gpu("0"),)))


def plan_of(**tasks: dict[str, Any]) -> Plan:
    """Return a plan of unconnected tasks; each stands on a line of its own, from 2."""
    built = tuple(Task(id=name, **values) for name, values in tasks.items())
    places = tuple(Place("p.csv", line) for line, _ in enumerate(built, 2))
    return Plan("p.csv", "csv", built, places, Graph.of([] for _ in built))


def faults_of(plan: Plan, *workers: KnownWorker) -> list[Fault]:
    with pytest.raises(NeedsUnmet) as unmet:
        admit(plan, workers)
    return list(unmet.value.faults())


def test_tasks_that_fit_some_worker_are_admitted() -> None:
    plan = plan_of(a={}, b={"needs": Needs(cpus=8, memory_mib=4096)}, c={"route": Route.GPU, "needs": Needs(gpus=1)})

    admit(plan, [SMALL, LARGE, GPU])


def test_task_must_fit_one_worker_not_their_sum() -> None:
    tall, wide = Needs(cpus=1, memory_mib=4000), Needs(cpus=4, memory_mib=1)
    odd = KnownWorker("odd", frozenset({Route.CPU}), Capacity(cpus=1, memory_mib=8192))

    admit(plan_of(a={"needs": tall}, b={"needs": wide}), [odd, KnownWorker("w", SMALL.routes, Capacity(8, 100))])
    faults = faults_of(plan_of(c={"needs": Needs(cpus=4, memory_mib=8000)}), odd, LARGE)

    assert [fault.code for fault in faults] == ["needs.unmet"]


def test_all_tasks_that_cannot_run_are_named_with_their_places() -> None:
    plan = plan_of(a={"needs": Needs(cpus=16)}, b={}, c={"needs": Needs(cpus=16)})

    faults = faults_of(plan, SMALL)

    assert [fault.places for fault in faults] == [(Place("p.csv", 2),), (Place("p.csv", 4),)]
    assert all("16 cpus of 2" in fault.message for fault in faults)
    assert all(fault.hint for fault in faults)


def test_nearest_miss_is_told() -> None:
    (fault,) = faults_of(plan_of(a={"needs": Needs(cpus=4, memory_mib=8192)}), SMALL, LARGE)

    assert "`large`" in fault.message
    assert "`small`" not in fault.message


def test_route_that_nobody_serves_is_told() -> None:
    (fault,) = faults_of(plan_of(a={"route": Route.DISTRIBUTED}), SMALL, GPU)

    assert "`distributed`" in fault.message


def test_without_workers_nothing_is_admitted() -> None:
    assert len(faults_of(plan_of(a={}, b={}))) == 2


def test_satisfied_tasks_need_no_worker() -> None:
    admit(plan_of(a={"is_satisfied": True, "needs": Needs(cpus=16)}, b={"is_satisfied": True}), [])


ROUTES = frozenset(Route)
NODES = [
    KnownWorker("g1", ROUTES, Capacity(16, 65_536, (Gpu("a", "", 24_576), Gpu("b", "", 24_576)), 4, 1000)),
    KnownWorker("c1", ROUTES, Capacity(32, 131_072, (), 8, 9000, frozenset({"ssd"}))),
    KnownWorker("c2", ROUTES, Capacity(32, 131_072, (), 8, 9000, frozenset({"slow"}))),
]


@pytest.mark.parametrize(
    "needs",
    [
        Needs(gpus=2, gpu_memory_mib=24_576),
        Needs(gpus=0.5, gpu_memory_mib=20_000),
        Needs(cpus=32, exclusive=True, has=("ssd",)),
        Needs(cpus=20, has_not=("slow",)),
        Needs(disk_mib=9000),
        Needs(cpus=16, nodes=3),
        Needs(cpus=16, nodes=5, packed=True),
        Needs(gpus=8, alternatives=(Alternative(0.5, Needs(cpus=32)),)),
        Needs(cpus=20, gpus=1, alternatives=(Alternative(2.0, Needs(cpus=99)), Alternative(0.5, Needs(cpus=8)))),
    ],
)
def test_everything_that_can_be_asked_for_is_admitted_where_it_fits(needs: Needs) -> None:
    admit(plan_of(a={"needs": needs, "route": choose_route(None, needs)}), NODES)


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (Needs(gpus=3), "it asks for 3 gpus of 2 on the nearest worker, `g1`"),
        (Needs(gpus=1, gpu_memory_mib=30_000), "30,000 MiB of GPU memory of 24,576 on the nearest worker, `g1`"),
        (Needs(cpus=40), "40 cpus of 32 on the nearest worker, `c1`"),
        (Needs(cpus=20, has=("nvme",)), "no label nvme on the nearest worker, `c1`"),
        (Needs(has=("ssd",), has_not=("ssd",)), "the label ssd on the nearest worker, `c1`"),
        (Needs(disk_mib=10_000), "10,000 MiB of disk of 9,000 on the nearest worker, `c1`"),
        (Needs(cpus=20, nodes=3), "it asks for 3 workers, and there is room for 2; a rank asks for 20 cpus of 16"),
        (Needs(cpus=2, nodes=4), "it asks for 4 workers, and there is room for 3"),
        (Needs(cpus=30, nodes=3, packed=True), "it asks for 3 ranks that may share workers, and there is room for 2"),
        (Needs(gpus=8, alternatives=(Alternative(0.5, Needs(cpus=36)),)), "36 cpus of 32 on the nearest worker, `c1`"),
    ],
)
def test_refusal_tells_the_nearest_miss_in_amounts(needs: Needs, said: str) -> None:
    (fault,) = faults_of(plan_of(a={"needs": needs, "route": choose_route(None, needs)}), *NODES)

    assert said in fault.message


def test_agent_must_be_on_a_worker_that_fits() -> None:
    with_agent = KnownWorker("small", ROUTES, Capacity(2, 1024), frozenset({"noop", "mine"}))
    without = KnownWorker("large", ROUTES, Capacity(8, 1024), frozenset({"noop"}))

    admit(plan_of(a={"agent": "mine", "needs": Needs(cpus=2, memory_mib=1)}), [with_agent, without])
    (fault,) = faults_of(plan_of(a={"agent": "mine", "needs": Needs(cpus=4)}), with_agent, without)

    assert fault.message.startswith("task `a` can never run: it asks for")


def test_task_without_needs_takes_any_slot_however_small() -> None:
    admit(plan_of(a={}), [KnownWorker("tiny", ROUTES, Capacity(0.5, 100))])


def test_waiting_for_workers_tells_what_none_could_run() -> None:
    faults = unmet(plan_of(a={"needs": Needs(cpus=64)}, b={}), NODES)

    assert [fault.code for fault in faults] == ["needs.unmet"]


def test_plan_of_gpu_jobs_is_admitted_on_declared_workers() -> None:
    jobs = {f"gpu-{number}": {"needs": Needs(gpus=1), "route": Route.GPU} for number in range(16)}
    builds = {f"build-{number}": {"needs": Needs(cpus=16)} for number in range(4)}
    declared = tuple(Gpu(f"declared-{number}") for number in range(16))

    admit(plan_of(**jobs, **builds), [KnownWorker("virtual", ROUTES, Capacity(16, 65_536, declared, 16))])


def registry() -> AgentRegistry:
    entries: list[Any] = [
        SimpleNamespace(name="noop", load=lambda: NoopAgent),
        SimpleNamespace(name="shell", load=lambda: ShellAgent),
    ]
    return AgentRegistry(entries)


def test_agents_that_accept_their_instructions_are_accepted() -> None:
    check_agents(plan_of(a={}, b={"agent": "shell", "payload": {"commands": [{"argv": ["true"]}]}}), registry())


def test_missing_agents_and_bad_instructions_are_told_at_once() -> None:
    plan = plan_of(a={"agent": "shall"}, b={}, c={"agent": "shell", "payload": {}})

    with pytest.raises(PlanRejected) as rejected:
        check_agents(plan, registry())

    faults = rejected.value.faults()
    assert [(fault.code, fault.places[0].line) for fault in faults] == [("agent.missing", 2), ("agent.instructions", 4)]


def test_agents_of_satisfied_tasks_are_not_asked() -> None:
    done = {"is_satisfied": True}

    check_agents(plan_of(a={"agent": "none", **done}, b={"agent": "shell", "payload": {}, **done}), registry())
