"""The simulator chooses as the rules do: on small clusters its runs are those of the store's twin in memory."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from support.simulation_strategies import clusters, plans
from support.slow_simulation import SlowSimulation

from taskexec.domain import placing
from taskexec.plan import Plan
from taskexec.simulation import ClusterSpec, make_workload, simulate


@settings(max_examples=150, deadline=None)
@given(plans(), clusters())
def test_every_task_goes_where_and_when_the_rules_say(plan: Plan, cluster: ClusterSpec) -> None:
    _compare(plan, cluster)


@settings(max_examples=150, deadline=None)
@given(plans(), clusters())
def test_the_same_where_rounds_do_not_reach_all_that_waits(plan: Plan, cluster: ClusterSpec) -> None:
    with patch.multiple(placing, WINDOW=5, WIDEST=2, ROUND=6, LOOKS=3, OVERTAKES=4):
        _compare(plan, cluster)


def _compare(plan: Plan, cluster: ClusterSpec) -> None:
    work = make_workload(plan)

    schedule = simulate(work, cluster)

    expected = SlowSimulation(work, cluster).run()
    found = {
        task: (
            schedule.taken_us[task],
            [(schedule.workers[rank.worker].name, rank.gpus) for rank in schedule.ranks_of(task)],
        )
        for task in range(len(plan.tasks))
        if schedule.taken_us[task] >= 0
    }
    assert found == expected
