"""Single rules of a simulated run: the clock, the order, gangs, kept workers, slots, and workers that come and go."""

from __future__ import annotations

from collections.abc import Sequence

from taskexec.domain.placing import OVERTAKES
from taskexec.domain.resources import Capacity, Gpu, Needs, Route
from taskexec.domain.task import Task
from taskexec.errors import Place
from taskexec.plan import Plan
from taskexec.plan.graph import Graph
from taskexec.simulation import ClusterSpec, Schedule, WorkerGroup, make_workload, measure_use, measure_waits, simulate

SECOND = 1_000_000


def plan_of(tasks: Sequence[Task]) -> Plan:
    indexes = {task.id: index for index, task in enumerate(tasks)}
    graph = Graph.of([[indexes[before] for before in task.depends_on] for task in tasks])
    return Plan("p.csv", "csv", tuple(tasks), tuple(Place("p.csv", at + 2) for at in range(len(tasks))), graph)


def workers(count: int = 1, *, cpus: float = 4, **fields: object) -> WorkerGroup:
    capacity = Capacity(cpus=cpus, memory_mib=1000, slots=max(1, int(cpus)), gpus=fields.pop("gpus", ()))  # type: ignore[arg-type]
    return WorkerGroup(name=str(fields.pop("name", "w")), count=count, capacity=capacity, **fields)  # type: ignore[arg-type]


def run(tasks: Sequence[Task], *groups: WorkerGroup) -> Schedule:
    return simulate(make_workload(plan_of(tasks)), ClusterSpec(groups))


def test_chain_takes_the_sum_of_its_durations() -> None:
    schedule = run(
        [Task("a", duration_s=2), Task("b", duration_s=3, depends_on=("a",)), Task("c", depends_on=("b",))], workers()
    )

    assert schedule.started_us == [0, 2 * SECOND, 5 * SECOND]
    assert schedule.makespan_us == 6 * SECOND


def test_overhead_of_a_worker_comes_before_each_start() -> None:
    schedule = run([Task("a"), Task("b", depends_on=("a",))], workers(start_overhead_s=0.5))

    assert schedule.started_us == [SECOND // 2, 2 * SECOND]


def test_satisfied_tasks_take_no_time_and_let_others_begin() -> None:
    schedule = run([Task("a", is_satisfied=True), Task("b", depends_on=("a",))], workers())

    assert schedule.taken_us == [-1, 0]


def test_higher_priority_starts_first() -> None:
    asks = Needs(cpus=4)

    schedule = run([Task("low", needs=asks), Task("high", needs=asks, priority=9)], workers())

    assert schedule.started_us == [SECOND, 0]


def test_ranks_of_a_gang_start_together_or_not_at_all() -> None:
    gang = Task("gang", needs=Needs(cpus=4, nodes=2), route=Route.DISTRIBUTED)
    short = Task("short", needs=Needs(cpus=2), duration_s=5)

    schedule = run([short, gang], workers(2))

    assert schedule.taken_us[1] == 5 * SECOND
    assert {rank.worker for rank in schedule.ranks_of(1)} == {0, 1}


def test_wide_task_among_many_small_ones_is_not_starved() -> None:
    small = [Task(f"s{number}", needs=Needs(cpus=1, memory_mib=1), duration_s=1 + number % 3) for number in range(1000)]
    wide = Task("wide", needs=Needs(cpus=4))

    schedule = run([*small[:60], wide, *small[60:]], workers())

    ended_before = sum(end <= schedule.taken_us[60] for end in schedule.finished_us)
    assert ended_before < OVERTAKES + 64 < 1000 / 3


def test_slot_is_left_to_a_task_that_needs_nothing() -> None:
    placed = [Task(f"p{number}", needs=Needs(cpus=1, memory_mib=1), duration_s=1) for number in range(400)]

    schedule = run([*placed, Task("plain")], workers())

    assert schedule.taken_us[-1] <= 4 * SECOND


def test_gpus_are_given_one_by_one() -> None:
    gpus = tuple(Gpu(str(number), "", 100) for number in range(4))
    tasks = [Task(str(number), needs=Needs(gpus=2), route=Route.GPU) for number in range(3)]

    schedule = run(tasks, workers(cpus=8, gpus=gpus))

    assert [schedule.gpus[index] for index in range(3)] == [(0, 1), (2, 3), (0, 1)]
    assert schedule.started_us == [0, 0, SECOND]


def test_worker_takes_nothing_before_it_joins_and_after_it_leaves() -> None:
    tasks = [Task(str(number), needs=Needs(cpus=4), duration_s=2) for number in range(4)]

    schedule = run(tasks, workers(name="late", join_at_s=1), workers(name="early", leave_at_s=3))

    names = [schedule.workers[worker].name for worker in schedule.where]
    assert sorted(zip(schedule.taken_us, names, strict=True)) == [
        (0, "early"),
        (SECOND, "late"),
        (2 * SECOND, "early"),
        (3 * SECOND, "late"),
    ]


def test_task_that_fits_nowhere_is_left_unfinished() -> None:
    schedule = run([Task("a", needs=Needs(cpus=4, nodes=3)), Task("b")], workers(2))

    assert schedule.taken_us[0] == -1
    assert schedule.finished_us[1] == SECOND


def test_use_is_told_by_worker_and_by_group_when_there_are_many() -> None:
    tasks = [Task(str(number), needs=Needs(cpus=2, memory_mib=500)) for number in range(4)]
    few, many = ClusterSpec((workers(2),)), ClusterSpec((workers(40),))

    one_by_one = measure_use(simulate(make_workload(plan_of(tasks)), few), few)
    grouped = measure_use(simulate(make_workload(plan_of(tasks)), many), many)

    assert [(use.name, use.tasks) for use in one_by_one] == [("w-1", 2), ("w-2", 2)]
    assert one_by_one[0].to_json()["cpus"] == {"mean": 1.0, "peak": 1.0}
    assert [(use.name, use.workers, use.tasks) for use in grouped] == [("w", 40, 4)]
    assert grouped[0].to_json()["cpus"] == {"mean": 0.05, "peak": 0.05}
    assert grouped[0].shares["gpus"] is None


def test_waits_count_from_the_end_of_the_last_dependency() -> None:
    tasks = [Task(str(number), needs=Needs(cpus=4)) for number in range(4)]

    waits = measure_waits(run(tasks, workers()))

    assert (waits.mean_s, waits.max_s) == (1.5, 3.0)
