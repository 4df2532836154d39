"""How many nodes of each class are wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.autoscale import NodeClass, Standing, Waiting, class_of, wanted_nodes
from taskexec.domain.fit import Ask, Option, Spot, agent_trait, route_trait, traits_of, vector_of
from taskexec.domain.resources import Capacity, Gpu

CPU = NodeClass(name="cpu", capacity=Capacity(16.0, 65_536, (), 16, 1000), routes=("cpu",), least=0, most=10)
GPU = NodeClass(
    name="gpu",
    capacity=Capacity(32.0, 262_144, tuple(Gpu(f"g{n}", "", 81_920) for n in range(4)), 32, 1000),
    routes=("gpu",),
    most=3,
)
CLASSES = [CPU, GPU]


def ask(route: str = "cpu", *, cpus: int = 1, gpus: int = 0, ranks: int = 1, memory: int = 0) -> Ask:
    has = (route_trait(route), agent_trait("shell"))
    return Ask((Option(cpus * 1000, memory, 0, gpus * 1000, 0, False, has),), ranks=ranks)


def there(each: NodeClass, name: str, *, busy_cpus: int = 0, idle_s: float = 0.0, is_ready: bool = True) -> Standing:
    total = vector_of(each.capacity)
    free = list(total)
    free[0] -= busy_cpus * 1000
    spot = Spot(name, total, free, traits_of(each.capacity, each.routes, ["shell"], is_ready=is_ready))
    return Standing(spot=spot, class_name=each.name, idle_s=idle_s)


def figures(
    *asks: Ask,
    standing: tuple[Standing, ...] = (),
    classes: list[NodeClass] = CLASSES,
    idle_s: float = 300.0,
    **slots: int,
) -> dict[str, tuple[int, int]]:
    found = wanted_nodes(classes, standing, Waiting(asks, slots), idle_s=idle_s, agents=["shell"])
    return {name: (figure.now, figure.wanted) for name, figure in found.items()}


def test_nothing_is_wanted_where_nothing_waits() -> None:
    assert figures() == {"cpu": (0, 0), "gpu": (0, 0)}


def test_what_is_free_is_used_before_further_nodes_are_wanted() -> None:
    assert figures(ask(cpus=8), standing=(there(CPU, "w", busy_cpus=8),)) == {"cpu": (1, 1), "gpu": (0, 0)}


def test_as_many_nodes_are_wanted_as_let_everything_start_now() -> None:
    assert figures(*[ask(cpus=8)] * 5, standing=(there(CPU, "w", busy_cpus=16),))["cpu"] == (1, 4)


def test_no_more_nodes_are_wanted_than_there_may_be() -> None:
    found = wanted_nodes(CLASSES, [], Waiting((ask(cpus=16),) * 12), idle_s=1.0, agents=["shell"])

    assert (found["cpu"].wanted, "2 more" in found["cpu"].why or "1 more" in found["cpu"].why) == (10, True)


def test_task_goes_to_the_class_that_has_what_it_asks_for() -> None:
    assert figures(ask("gpu", gpus=3), ask("gpu", gpus=2)) == {"cpu": (0, 0), "gpu": (0, 2)}


def test_ranks_of_a_gang_need_a_node_each() -> None:
    assert figures(ask("gpu", gpus=1, ranks=3))["gpu"] == (0, 3)
    assert figures(ask("gpu", gpus=1, ranks=3), standing=(there(GPU, "g"),))["gpu"] == (1, 3)


def test_gang_that_would_need_more_than_there_may_be_wants_nothing() -> None:
    found = wanted_nodes(CLASSES, [], Waiting((ask("gpu", gpus=1, ranks=4),)), idle_s=1.0, agents=["shell"])

    assert (found["gpu"].wanted, found["gpu"].why) == (0, "1 tasks would need more than the 3 there may be")


def test_what_no_class_could_ever_run_wants_nothing() -> None:
    assert figures(ask(cpus=99)) == {"cpu": (0, 0), "gpu": (0, 0)}


def test_tasks_without_needs_take_slots() -> None:
    assert figures(cpu=40, standing=(there(CPU, "w", busy_cpus=8),))["cpu"] == (1, 3)


def test_least_are_wanted_where_nothing_waits() -> None:
    assert figures(classes=[replace(CPU, least=2)]) == {"cpu": (0, 2)}


def test_nodes_that_are_to_be_there_anyway_take_what_waits() -> None:
    assert figures(*[ask(cpus=16)] * 2, classes=[replace(CPU, least=2)]) == {"cpu": (0, 2)}


def test_idle_nodes_beyond_the_least_may_go() -> None:
    standing = tuple(there(CPU, f"w{n}", idle_s=400.0) for n in range(3))

    assert figures(standing=standing, classes=[replace(CPU, least=1)]) == {"cpu": (3, 1)}


def test_node_that_was_idle_too_short_stays() -> None:
    assert figures(standing=(there(CPU, "w", idle_s=299.0),))["cpu"] == (1, 1)


def test_idle_node_that_something_waits_for_stays() -> None:
    assert figures(ask(), standing=(there(CPU, "w", idle_s=999.0),))["cpu"] == (1, 1)


def test_cordoned_node_counts_and_takes_nothing() -> None:
    assert figures(ask(), standing=(there(CPU, "w", is_ready=False),))["cpu"] == (1, 2)


@pytest.mark.parametrize(
    ("labels", "routes", "gpus", "expected"),
    [
        ((), ("cpu",), 0, "cpu"),
        ((), ("gpu",), 2, "gpu"),
        ((), ("cpu", "gpu"), 2, "gpu"),
        (("class=gpu",), ("cpu",), 0, "gpu"),
        (("class=other",), ("distributed",), 0, ""),
    ],
)
def test_worker_counts_towards_the_class_that_it_covers(
    labels: tuple[str, ...], routes: tuple[str, ...], gpus: int, expected: str
) -> None:
    capacity = Capacity(4.0, 1024, tuple(Gpu(f"g{n}", "", 0) for n in range(gpus)), 4, 0, frozenset(labels))

    assert class_of(capacity, routes, CLASSES) == expected


@given(
    asks=st.lists(st.builds(ask, cpus=st.integers(1, 20), ranks=st.integers(1, 3)), max_size=20),
    slots=st.integers(0, 300),
    busy=st.lists(st.integers(0, 16), max_size=4),
    least=st.integers(0, 3),
)
def test_figures_stay_between_least_and_most(asks: list[Ask], slots: int, busy: list[int], least: int) -> None:
    standing = tuple(there(CPU, f"w{n}", busy_cpus=cpus, idle_s=999.0) for n, cpus in enumerate(busy))

    now, wanted = figures(*asks, standing=standing, classes=[replace(CPU, least=least)], cpu=slots)["cpu"]

    assert now == len(busy)
    assert least <= wanted <= 10
