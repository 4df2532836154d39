"""The simulator chooses as the rules do: on small clusters its runs are those of the store's twin in memory."""

from __future__ import annotations

from hypothesis import given, settings
from support.simulation_strategies import clusters, plans
from support.slow_simulation import SlowSimulation

from taskexec.plan import Plan
from taskexec.simulation import ClusterSpec, make_workload, simulate


@settings(max_examples=400, deadline=None)
@given(plans(), clusters())
def test_every_task_goes_where_and_when_the_rules_say(plan: Plan, cluster: ClusterSpec) -> None:
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
