"""Resources: which route a task takes, and what does not fit on a worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.resources import Capacity, Gpu, Needs, Route, choose_route, shortfalls

WORKER = Capacity(cpus=4, memory_mib=8192, gpus=(Gpu("0"),))


@pytest.mark.parametrize("needs", [Needs(), Needs(cpus=4, memory_mib=8192, gpus=1), Needs(cpus=0), Needs(gpus=0.5)])
def test_needs_within_the_capacity_fit(needs: Needs) -> None:
    assert shortfalls(needs, WORKER) == []


def test_every_shortfall_is_named_with_both_amounts() -> None:
    needs = Needs(cpus=4.5, memory_mib=9000, gpus=2)

    assert shortfalls(needs, WORKER) == ["4.5 cpus of 4", "9,000 MiB of memory of 8,192", "2 gpus of 1"]


@given(cpus=st.floats(0, 64), memory_mib=st.integers(0, 10**6), gpus=st.floats(0, 8))
def test_more_capacity_never_fits_less(cpus: float, memory_mib: int, gpus: float) -> None:
    needs = Needs(cpus, memory_mib, gpus)
    larger = Capacity(WORKER.cpus + 1, WORKER.memory_mib + 1, (*WORKER.gpus, Gpu("1")))

    assert len(shortfalls(needs, larger)) <= len(shortfalls(needs, WORKER))


@pytest.mark.parametrize(
    ("named", "gpus", "route"),
    [
        (None, 0.0, Route.CPU),
        (None, 0.5, Route.GPU),
        (Route.DISTRIBUTED, 1.0, Route.DISTRIBUTED),
        (Route.CPU, 1.0, Route.CPU),
    ],
)
def test_named_route_comes_first_then_gpus_decide(named: Route | None, gpus: float, route: Route) -> None:
    assert choose_route(named, Needs(gpus=gpus)) is route
