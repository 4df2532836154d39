"""No simulated run uses more than there is, starts anything early, or leaves anything out: checked without `fit`."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from support.simulation_strategies import clusters, plans

from taskexec.domain.resources import Capacity, Needs
from taskexec.plan import Plan
from taskexec.simulation import ClusterSpec, Schedule, make_workload, simulate


def violations(plan: Plan, cluster: ClusterSpec, schedule: Schedule) -> list[str]:
    """Return what is wrong with a schedule, by what the tasks ask for and the workers have."""
    found = []
    uses: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for index, task in enumerate(plan.tasks):
        if schedule.taken_us[index] < 0:
            continue
        for before in plan.graph.predecessors[index]:
            found += [f"{index} starts early"] * (not 0 <= schedule.finished_us[before] <= schedule.started_us[index])
        ranks = schedule.ranks_of(index)
        if len(ranks) != task.needs.nodes:
            found.append(f"{index} has {len(ranks)} ranks")
        if not task.needs.packed and len({rank.worker for rank in ranks}) != len(ranks):
            found.append(f"ranks of {index} share a worker")
        for number, rank in enumerate(ranks):
            uses[rank.worker].append((schedule.taken_us[index], index, number))
    for worker, starts in uses.items():
        found += _worker_violations(plan, cluster, schedule, worker, [start[1:] for start in starts])
    return found


def _worker_violations(
    plan: Plan, cluster: ClusterSpec, schedule: Schedule, worker: int, ranks: list[tuple[int, int]]
) -> list[str]:
    group = cluster.groups[schedule.workers[worker].group]
    found = []
    for index, _ in ranks:
        task, at = plan.tasks[index], schedule.taken_us[index]
        if at < group.join_at_s * 1e6 or (group.leave_at_s is not None and at >= group.leave_at_s * 1e6):
            found.append(f"{index} starts on {worker} while it is not there")
        options = [task.needs, *(alternative.needs for alternative in task.needs.alternatives)]
        if not any(set(one.has) <= group.capacity.labels - set(one.has_not) for one in options):
            found.append(f"{index} is on a worker with the wrong labels")
    for index, _ in ranks:
        at = schedule.taken_us[index]
        now = [one for one in ranks if schedule.taken_us[one[0]] <= at < schedule.finished_us[one[0]]]
        found += [f"{what} at {at}: {plan.tasks[index].id}" for what in _excess(plan, group.capacity, schedule, now)]
    return found


def _excess(plan: Plan, capacity: Capacity, schedule: Schedule, now: list[tuple[int, int]]) -> list[str]:
    """Return what the least of what each may have been given adds up to too much of."""
    cpus = memory = 0.0
    gpus: dict[int, float] = defaultdict(float)
    for index, number in now:
        needs = plan.tasks[index].needs
        options: list[Needs] = [needs, *(alternative.needs for alternative in needs.alternatives)]
        cpus += 0 if needs.is_default else min(one.cpus for one in options)
        memory += min(one.memory_mib for one in options)
        given = schedule.ranks_of(index)[number].gpus
        if len(given) not in {int(one.gpus) if one.gpus >= 1 else int(one.gpus > 0) for one in options}:
            return [f"{len(given)} GPUs"]
        for gpu in given:
            gpus[gpu] += min(min(one.gpus, 1) for one in options if one.gpus)
    limits = {
        "cpus": (cpus, capacity.cpus),
        "memory": (memory, capacity.memory_mib),
        "slots": (len(now), capacity.slots),
    }
    wrong = [name for name, (used, most) in limits.items() if used > most + 1e-9]
    if any(needs.exclusive and not needs.alternatives for needs in (plan.tasks[index].needs for index, _ in now)):
        wrong += ["exclusive"] * (len(now) > 1)
    return wrong + [f"gpu {gpu}" for gpu, used in gpus.items() if used > 1 + 1e-9 or gpu >= len(capacity.gpus)]


@settings(max_examples=150, deadline=None)
@given(plans(), clusters())
def test_nothing_is_overcommitted_or_early(plan: Plan, cluster: ClusterSpec) -> None:
    schedule = simulate(make_workload(plan), cluster)

    assert violations(plan, cluster, schedule) == []


@settings(max_examples=60, deadline=None)
@given(plans(), clusters())
def test_the_same_run_comes_out_each_time(plan: Plan, cluster: ClusterSpec) -> None:
    first, second = (simulate(make_workload(plan, jitter_ratio=0.3, seed=5), cluster) for _ in range(2))

    assert first == second


@settings(max_examples=60, deadline=None)
@given(plans(), clusters())
def test_only_what_finds_no_place_is_left_over(plan: Plan, cluster: ClusterSpec) -> None:
    """Whatever is ready at the end and was never placed would not fit on the idle cluster either."""
    schedule = simulate(make_workload(plan), cluster)

    left = [index for index in range(len(plan.tasks)) if schedule.ready_us[index] >= 0 > schedule.taken_us[index]]
    staying = ClusterSpec(tuple(group for group in cluster.groups if group.leave_at_s is None))
    for index in left:
        alone = Plan("p", "plan", (plan.tasks[index],), plan.places[:1], type(plan.graph).of([()]))
        assert simulate(make_workload(alone), staying).taken_us == [-1]
