"""`tek simulate`: how long a plan would take on a cluster, worked out on a virtual clock; nothing is run."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say, write_file
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.run_plan import plan_of_run
from taskexec.cli.where import broker_option, find_run, open_cluster
from taskexec.errors import Fault, NeedsUnmet, UsageError

if TYPE_CHECKING:
    from taskexec.plan import Plan
    from taskexec.settings import Settings
    from taskexec.simulation import ClusterSpec, RecordedRun, Schedule, Share, Use, Waits, Workload

__all__ = ["simulate"]

_LIVE = "live"
_GANTT_WIDTH = 120
_BAR_TASKS_MAX = 2_000
"""Most tasks of a run that is drawn as text."""


@dataclass(frozen=True, slots=True)
class _Prediction:
    """All that is shown of a simulated run."""

    plan: Plan
    work: Workload
    cluster: ClusterSpec
    schedule: Schedule
    critical_path_s: float
    use: Sequence[Use]
    waits: Waits
    real: RecordedRun | None
    """The run that was simulated after the event."""

    @property
    def makespan_s(self) -> float:
        """How long the run takes, from the moment it is submitted."""
        return self.schedule.makespan_us / 1e6

    @property
    def span_s(self) -> float:
        """The same from the first start of a task."""
        started = [start for start in self.schedule.started_us if start >= 0]
        return self.makespan_s - min(started, default=0) / 1e6

    @property
    def error_ratio(self) -> float | None:
        """How much longer than in reality the simulated run is, -1 to any; None where there is no reality."""
        if self.real is None or not self.real.makespan_s:
            return None
        return self.span_s / self.real.makespan_s - 1


@click.command()
@partial(plan_source_options, is_needed=False)
@click.option("--cluster", "cluster", metavar="FILE|live", help="Workers: a file (YAML), or those of the server.")
@click.option("--run", "recorded", metavar="RUN", help="Simulate a run that has ended, and say how far off that is.")
@click.option("--observed", metavar="RUN", help="Take the durations of a run, where known.")
@click.option(
    "--default-duration",
    "default_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="Duration of a task of which none is known.",
)
@click.option(
    "--jitter", type=click.FloatRange(0, 1), default=0.0, metavar="RATIO", help="Spread durations by so much."
)
@click.option("--seed", type=int, default=0, help="Which of the possible spreads.")
@click.option("--save-gantt", "gantt_file", type=click.Path(path_type=Path), metavar="FILE", help="Draw the run (SVG).")
@broker_option
@settings_options
@output_option
def simulate(
    source: PlanSource | None,
    output: Output,
    settings_request: SettingsRequest,
    gantt_file: Path | None,
    **options: Any,
) -> None:
    """Predict how long a plan takes on a cluster, by the rules by which tasks are placed; nothing is run.

    The cluster is described in a file (`examples/cluster.yaml` shows one; `tek schema cluster` says what it may hold),
    or that of the server with `--cluster live`. With `--run` instead of PLAN, a run that has ended is predicted from
    its own durations, and the error is told.
    """
    prediction = _predict(source, settings_request, options)
    if gantt_file is not None:
        from taskexec.plan.chart import DRAWN_ROWS_MAX, draw_chart
        from taskexec.simulation import simulated_chart

        chart = simulated_chart(prediction.plan, prediction.schedule, most_rows=DRAWN_ROWS_MAX)
        write_file(gantt_file, draw_chart(chart).encode())
    emit(
        output,
        table=lambda: list(_table(prediction)),
        data=lambda: _to_json(prediction),
        quiet=lambda: [f"{prediction.makespan_s:.6f}"],
    )


def _predict(source: PlanSource | None, request: SettingsRequest, options: Mapping[str, Any]) -> _Prediction:
    from taskexec.plan import Estimates
    from taskexec.simulation import make_workload, measure_use, measure_waits
    from taskexec.simulation import simulate as carry_out

    settings = request.load()
    plan, real = _plan_and_run(source, request, options)
    cluster = _cluster(options["cluster"], settings, options["broker"], real)
    observed = None if real is None else real.durations_s
    if options["observed"] is not None:
        from taskexec.cli.observed import observed_durations

        observed = observed_durations(options["observed"], request)
    work = make_workload(
        plan,
        observed=observed,
        default_s=options["default_s"],
        jitter_ratio=options["jitter"],
        seed=options["seed"],
    )
    report_warnings(plan.warnings)
    if work.guessed:
        say(f"{work.guessed:,} tasks have no duration: {options['default_s']:g} s each (`--default-duration`)")
    _admit(plan, cluster)
    gc.freeze()  # a million tasks live as long as the command
    schedule = carry_out(work, cluster)
    _check_all_ran(plan, schedule)
    durations = {task.id: spent / 1e6 for task, spent in zip(plan.tasks, work.durations_us, strict=True)}
    return _Prediction(
        plan=plan,
        work=work,
        cluster=cluster,
        schedule=schedule,
        critical_path_s=Estimates(plan, durations).length_s,
        use=measure_use(schedule, cluster),
        waits=measure_waits(schedule),
        real=real,
    )


def _plan_and_run(
    source: PlanSource | None, request: SettingsRequest, options: Mapping[str, Any]
) -> tuple[Plan, RecordedRun | None]:
    """Return what is simulated: a plan, or that of a run with the run.

    Raises:
        UsageError: Neither or both of them were given.
    """
    if options["recorded"] is None:
        if source is None:
            raise UsageError("no plan was given", hint="name a file: `tek simulate nightly.csv --cluster cluster.yaml`")
        return load_plan(source, request.load()), None
    if source is not None:
        raise UsageError("PLAN and `--run` do not fit together", hint="a run has its plan with it")
    real = _recorded(options["recorded"], request, options["broker"])
    return real.plan, real


def _recorded(text: str, request: SettingsRequest, broker: str | None) -> RecordedRun:
    """Return a run that has ended.

    Raises:
        UsageError: It goes on, or none of its tasks has started.
    """
    from taskexec.cluster.snapshot import take_snapshot
    from taskexec.simulation import read_recorded

    place = find_run(text, request, broker)
    snapshot = take_snapshot(place)
    if snapshot.summary["ended"] is None:
        raise UsageError(f"run `{place.run_id}` has not ended", hint=f"`tek watch {place.run_id}` waits for it")
    plan = plan_of_run(snapshot.plan, str(snapshot.summary["plan"]))
    real = read_recorded(plan, snapshot.events(), f"run {place.run_id}")
    if not real.cluster.groups:
        raise UsageError(f"no task of run `{place.run_id}` has started")
    return real


def _cluster(text: str | None, settings: Settings, broker: str | None, real: RecordedRun | None) -> ClusterSpec:
    from taskexec.simulation import live_cluster, read_cluster

    if text == _LIVE:
        cluster = open_cluster(settings, broker)
        return live_cluster(cluster.workers.listed(), cluster.url)
    if text is not None:
        return read_cluster(Path(text))
    if real is not None:
        return real.cluster
    raise UsageError(
        "no cluster was given",
        hint="describe one in a file, `--cluster cluster.yaml` (see `tek schema cluster`), or take `--cluster live`",
    )


def _admit(plan: Plan, cluster: ClusterSpec) -> None:
    """Refuse what no worker could ever run, as a submission does.

    Raises:
        NeedsUnmet: There are such tasks.
    """
    from taskexec.cluster.expected import described_workers
    from taskexec.submission.admission import admit

    admit(plan, described_workers(cluster, plan))


def _check_all_ran(plan: Plan, schedule: Schedule) -> None:
    """Refuse what found no place although each rank of it would fit somewhere.

    Raises:
        NeedsUnmet: There are such tasks.
    """
    faults = []
    for index, (task, place) in enumerate(zip(plan.tasks, plan.places, strict=True)):
        if schedule.ready_us[index] >= 0 and schedule.taken_us[index] < 0:
            why = f"task `{task.id}` never finds a place on {len(schedule.workers):,} workers"
            ranks = f": it asks for {task.needs.nodes:,} at once" if task.needs.nodes > 1 else ""
            faults.append(Fault("needs.unmet", why + ranks, (place,), "ask for less, or simulate more workers"))
    if faults:
        raise NeedsUnmet(faults)


def _to_json(prediction: _Prediction) -> dict[str, Any]:
    """Return the shape that scripts may rely on."""
    from taskexec.simulation import events_of

    shape = {
        "makespan_s": prediction.makespan_s,
        "critical_path_s": prediction.critical_path_s,
        "tasks": len(prediction.plan.tasks),
        "guessed_durations": prediction.work.guessed,
        "workers": prediction.cluster.size,
        "waits": prediction.waits.to_json(),
        "use": [use.to_json() for use in prediction.use],
        "events": events_of(prediction.plan, prediction.schedule),
    }
    if prediction.real is not None:
        real_s, ratio = prediction.real.makespan_s, prediction.error_ratio
        shape["real"] = {"makespan_s": real_s, "predicted_s": prediction.span_s, "error_ratio": ratio}
    return shape


def _table(prediction: _Prediction) -> Iterator[Any]:
    """Yield the figures, the use of workers, and the run as rows of text."""
    from taskexec.plan.chart import ROWS_MAX, chart_text
    from taskexec.plan.svg import format_duration
    from taskexec.simulation import simulated_chart

    waits = prediction.waits
    makespan_s, bound_s = prediction.makespan_s, prediction.critical_path_s
    over = f" ({makespan_s / bound_s:.2f} times that)" if bound_s else ""
    yield f"makespan {format_duration(makespan_s)}, critical path {format_duration(bound_s)}{over}"
    yield (
        f"waits for a place: mean {format_duration(waits.mean_s)}, p95 {format_duration(waits.p95_s)}, "
        f"max {format_duration(waits.max_s)}"
    )
    if prediction.real is not None and prediction.error_ratio is not None:
        real_s = prediction.real.makespan_s
        yield (
            f"predicted {format_duration(prediction.span_s)}, real {format_duration(real_s)}: "
            f"{prediction.error_ratio * 100:+.1f} %"
        )
    yield ""
    yield build_table(
        ["worker", "count", "tasks", "cpus", "memory", "gpus"],
        (_use_cells(use) for use in prediction.use),
        right={"count", "tasks", "cpus", "memory", "gpus"},
        keep={"worker"},
    )
    yield "each: mean share in use, and the peak"
    if len(prediction.plan.tasks) <= _BAR_TASKS_MAX:
        yield ""
        width = min(shutil.get_terminal_size((_GANTT_WIDTH, 24)).columns, 4 * _GANTT_WIDTH)
        yield from chart_text(simulated_chart(prediction.plan, prediction.schedule, most_rows=ROWS_MAX), width)


def _use_cells(use: Use) -> list[str]:
    shares = [_share_text(share) for share in use.shares.values()]
    return [use.name, f"{use.workers:,}", f"{use.tasks:,}", *shares]


def _share_text(share: Share | None) -> str:
    return "" if share is None else f"{share.mean:.0%} / {share.peak:.0%}"
