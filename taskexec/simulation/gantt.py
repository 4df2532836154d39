"""Who runs what when in a simulated run, as a chart."""

from __future__ import annotations

from collections.abc import Iterator

from taskexec.plan import Plan
from taskexec.plan.chart import Bar, Chart, pack
from taskexec.plan.plan import queue_name
from taskexec.plan.svg import format_duration
from taskexec.simulation.simulator import Schedule

__all__ = ["simulated_chart"]


def simulated_chart(plan: Plan, schedule: Schedule, *, most_rows: int) -> Chart:
    """Return a simulated run as a chart: rows for the slots of each worker, a bar for each rank of a task."""
    span_us = max(schedule.makespan_us, 1)
    rows, hidden = pack(_bars(plan, schedule), most_rows)
    place = {worker.name: number for number, worker in enumerate(schedule.workers)}
    rows.sort(key=lambda row: place[row.group])
    workers = len(schedule.workers)
    facts = f"{len(plan.tasks):,} tasks · {workers:,} workers · {format_duration(span_us / 1e6)}"
    return Chart(plan.source, facts, rows, span_us, hidden)


def _bars(plan: Plan, schedule: Schedule) -> Iterator[tuple[str, Bar]]:
    queues = {name: at for at, name in enumerate(dict.fromkeys(map(queue_name, plan.tasks)))}
    for index in (entry for entry in schedule.history if entry >= 0):
        task = plan.tasks[index]
        bar = Bar(schedule.taken_us[index], schedule.finished_us[index], task.id, queues[queue_name(task)])
        for rank in schedule.ranks_of(index):
            yield schedule.workers[rank.worker].name, bar
