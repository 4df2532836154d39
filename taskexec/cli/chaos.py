"""`tek chaos`: faults are done to a run, and what came of them is told."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.chaos_report import show_report
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, say
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings
from taskexec.cli.verify import trust_here
from taskexec.cli.where import broker_option, find_run
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.chaos import Arena, ChaosReport, Conductor, Done, FaultKind, Field
    from taskexec.settings import Settings
    from taskexec.submission import Collector

__all__ = ["chaos"]

_LEASE_S = 2.0
_MOST_ATTEMPTS = 100
_COUNT = click.IntRange(0, 1000)

_FAULT_OPTIONS = (
    ("--kills", "kill_worker", 2, "KILL a worker with its pool."),
    ("--kills-of-all", "kill_all_workers", 0, "KILL all workers at once."),
    ("--pauses", "pause_worker", 1, "STOP a worker for longer than a lease, then CONT."),
    ("--cuts", "cut_network", 1, "Cut a worker off from the server for a while."),
    ("--server-kills", "kill_server", 1, "KILL the server, and start it on its data."),
    ("--server-restarts", "restart_server", 0, "Restart the server in an orderly way."),
    ("--child-kills", "kill_child", 1, "KILL a process of a worker's pool."),
    ("--task-kills", "kill_task", 1, "KILL the process of a task."),
)
"""Option, kind of fault, how many there are for a plan by default, help."""
_ONLY_OF_PLANS = {"cut_network", "kill_server", "restart_server"}
"""Faults that a run gets only if they are asked for: they need a wire, or strike everybody's server."""


def _fault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, kind, default, text in reversed(_FAULT_OPTIONS):
        command = click.option(option, kind, type=_COUNT, metavar="N", help=f"{text} Default: {default}.")(command)
    return command


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the command line asks for."""

    counts: Mapping[str, int | None]
    seed: int
    marks: Path | None
    output: Output

    def faults(self, *, of_run: bool) -> dict[FaultKind, int]:
        """Return how many faults there are of each kind."""
        from taskexec.chaos import FaultKind

        found = {}
        for _, kind, default, _ in _FAULT_OPTIONS:
            given = self.counts[kind]
            usual = 0 if of_run and kind in _ONLY_OF_PLANS else default
            found[FaultKind(kind)] = usual if given is None else given
        return found


@click.command()
@plan_source_options
@_fault_options
@click.option("--workers", type=click.IntRange(1, 64), default=3, show_default=True, metavar="N", help="For a plan.")
@click.option("--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Tasks at once a worker.")
@click.option("--lease", "lease_s", type=click.FloatRange(0.5, 3600), metavar="S", help="For a plan; default: 2.")
@click.option("--seed", type=int, metavar="N", help="Makes the same schedule again; default: any.")
@click.option("--worker", "pids", type=int, multiple=True, metavar="PID", help="For a run: a worker to strike.")
@click.option("--up", "use_node", is_flag=True, help="For a run: strike the workers of `tek up`.")
@click.option(
    "--marks", type=click.Path(path_type=Path), metavar="FOLDER", help="Where each task adds a line to its file."
)
@click.option("--runs-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Where evidence goes.")
@broker_option
@settings_options
@output_option
def chaos(
    source: PlanSource,
    workers: int,
    concurrency: int | None,
    lease_s: float | None,
    seed: int | None,
    pids: tuple[int, ...],
    use_node: bool,
    marks: Path | None,
    runs_dir: Path | None,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
    **counts: int | None,
) -> int:
    """Do a run harm on purpose, verify it, and tell what came of it.

    For a plan, a server and workers are started for it, struck by faults, and end with it. For RUN, a run that goes on
    on your cluster, only the workers on this machine that you name with --worker (or --up) are struck. What was paused
    or cut is healed at the end, whatever happens.

    Exit status: 0 nothing was lost or doubled and the evidence holds, 1 otherwise, 2 usage, 3 the cluster failed,
    130 interrupted.
    """
    wishes = _Wishes(counts, random.randrange(1_000_000) if seed is None else seed, marks, output)
    wanted: dict[str, Any] = {"evidence.runs_dir": runs_dir}
    if _is_run(source):
        if lease_s is not None or concurrency is not None:
            raise UsageError("a run has its workers already", hint="--lease and --concurrency are for a plan")
        return _strike_run(str(source.path), settings_request, wanted, broker, wishes, pids=pids, use_node=use_node)
    if pids or use_node or broker:
        raise UsageError("a plan gets a cluster of its own", hint="--worker, --up and --broker are for a run")
    wanted |= {"worker.concurrency": concurrency, "worker.lease_s": lease_s or _LEASE_S}
    return _strike_plan(source, settings_request, wanted, workers, wishes)


def _is_run(source: PlanSource) -> bool:
    """Return whether a name is meant as a run: there is no such file, and it does not look like one."""
    name = str(source.path)
    if name == "-" or source.path.exists() or source.kind is not None:
        return False
    return not source.path.suffix and "/" not in name


def _strike_plan(
    source: PlanSource, request: SettingsRequest, wanted: dict[str, Any], workers: int, wishes: _Wishes
) -> int:
    from taskexec.chaos import Arena, FaultKind, with_tries
    from taskexec.cluster import admit_locally
    from taskexec.placement import measure_offer
    from taskexec.runtime.interrupts import Interrupts

    faults = wishes.faults(of_run=False)
    before = request.load(wanted).worker
    wanted |= {
        # losing an attempt to us is no fault of the task
        "worker.max_attempts": min(before.max_attempts + sum(faults.values()), _MOST_ATTEMPTS),
        "worker.restart_limit": before.restart_limit + sum(faults.values()),
        "worker.reap_interval_s": min(before.reap_interval_s, before.lease_s / 4),
    }
    settings = request.load(wanted)
    plan = with_tries(load_plan(source, settings), faults[FaultKind.KILL_TASK])
    if wishes.output is not Output.JSON:
        report_warnings(plan.warnings)
    capacity = measure_offer(settings.worker).capacity
    admit_locally(plan, capacity)
    with Interrupts() as interrupts, Arena.opened(settings) as arena:
        arena.start_workers(workers, capacity, is_interrupted=lambda: bool(interrupts.count))
        arena.submit(plan)
        return _carry_out(arena, settings, settings.worker.lease_s, faults, wishes, lambda: bool(interrupts.count))


def _strike_run(
    name: str,
    request: SettingsRequest,
    wanted: dict[str, Any],
    broker: str | None,
    wishes: _Wishes,
    *,
    pids: tuple[int, ...],
    use_node: bool,
) -> int:
    from taskexec.chaos import FaultKind, Field
    from taskexec.chaos.faults import SERVER_FAULTS
    from taskexec.runtime.interrupts import Interrupts

    settings = request.load(wanted)
    faults = wishes.faults(of_run=True)
    place = find_run(name, request, broker)
    if place.cluster is None:
        raise UsageError(f"run `{place.run_id}` does not go on", hint="give a plan, or a run that goes on")
    if not pids and not use_node:
        raise UsageError(
            "nothing was named that may be struck",
            hint="name workers with --worker PID (`tek workers` lists them), or --up for those of `tek up`",
        )
    if faults[FaultKind.CUT_NETWORK]:
        raise UsageError("only workers that `tek chaos` has started can be cut off", hint="give it a plan")
    if not use_node and any(faults[kind] for kind in SERVER_FAULTS):
        raise UsageError("only the server of `tek up` is struck", hint="add --up")
    field = Field(place.cluster, place.run_id, pids=pids, node=_node(settings) if use_node else None)
    with Interrupts() as interrupts:
        lease_s = settings.worker.lease_s
        return _carry_out(field, settings, lease_s, faults, wishes, lambda: bool(interrupts.count))


def _node(settings: Settings) -> tuple[int, float]:
    """Return the node of `tek up` by process id and start time.

    Raises:
        UsageError: None is up.
    """
    from taskexec.cli.node import read_state

    state = read_state(settings)
    if state is None:
        raise UsageError("nothing is up", hint="`tek up` starts a server and workers on this machine")
    return int(state["pid"]), float(state["started"])


def _carry_out(
    ground: Arena | Field,
    settings: Settings,
    lease_s: float,
    faults: Mapping[FaultKind, int],
    wishes: _Wishes,
    is_interrupted: Callable[[], bool],
) -> int:
    from taskexec.chaos import Conductor, carry_through, make_schedule
    from taskexec.cli.follow import INTERRUPTED

    say(f"run {ground.run_id}, seed {wishes.seed}")
    schedule = make_schedule(faults, seed=wishes.seed, lease_s=lease_s)
    conductor = Conductor(ground, schedule, seed=wishes.seed, lease_s=lease_s)
    with contextlib.closing(ground.cluster.collector(ground.run_id)) as collector:
        has_ended = carry_through(collector, conductor, ground, is_interrupted=is_interrupted, on_done=_tell)
        if not has_ended:
            say("interrupted: everything is healed")
            return INTERRUPTED
        _bring_home(collector, ground, is_interrupted)
        report = _report(ground, collector.folder.path, conductor, settings, lease_s, wishes)
    show_report(report, collector.folder.path, wishes.output)
    return 0 if report.ok else 1


def _bring_home(collector: Collector, ground: Arena | Field, is_interrupted: Callable[[], bool]) -> None:
    """Write home what is left; a server that is away is waited for, unless somebody interrupts."""
    from taskexec.errors import ConnectionLost

    while True:
        try:
            collector.finish()
            return
        except ConnectionLost:
            if is_interrupted():
                raise
            ground.tend()


def _tell(done: Done) -> None:
    say(f"{done.fault.describe()}: {done.target}")


def _report(
    ground: Arena | Field, folder: Path, conductor: Conductor, settings: Settings, lease_s: float, wishes: _Wishes
) -> ChaosReport:
    from taskexec.chaos import count_marks, make_report, proven_successes, read_ledger
    from taskexec.completion.proof import verify_folder

    plan = json.loads((folder / "plan.json").read_bytes())
    tasks = [task["id"] for task in plan["tasks"]]
    folders = plan.get("folders", {})
    found = verify_folder(folder, trust_here(settings))
    return make_report(
        read_ledger(folder),
        tasks,
        run_id=ground.run_id,
        done=conductor.done,
        not_done=conductor.left,
        seed=wishes.seed,
        lease_s=lease_s,
        successes=proven_successes(folder, {task: folders.get(task, task) for task in tasks}),
        marks=None if wishes.marks is None else count_marks(wishes.marks, tasks),
        verification={name: value for name, value in found.to_json().items() if name in _VERIFIED},
    )


_VERIFIED = {"ok", "complete", "checked", "problem_count", "problems"}
