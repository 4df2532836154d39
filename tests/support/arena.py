"""An arena in a place of its own: a server, workers on wires, runs of marked tasks, and what came of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.isolation import Place
from support.live import Home, Task, make_plan
from support.waiting import wait_until

from taskexec.chaos import Arena, ChaosReport, Conductor, Fault, carry_through, make_report
from taskexec.chaos.target import Target
from taskexec.chaos.traces import count_marks, proven_successes, read_ledger
from taskexec.completion.keys import KeyFolder
from taskexec.completion.proof import verify_folder
from taskexec.domain.events import Transition, parse_entry
from taskexec.domain.resources import Capacity
from taskexec.settings import load_settings

__all__ = ["Ring", "layers", "marked", "open_ring"]


def marked(folder: Path, then: str = "true") -> str:
    """Return a command that adds a line to the file of its task, does something, and adds another file at its end."""
    return f"echo $TEK_ATTEMPT >> {folder}/$TEK_TASK; {then}; touch {folder}/$TEK_TASK.$TEK_ATTEMPT.done"


def layers(command: str, *, count: int, width: int) -> list[Task]:
    """Return the tasks of a layered plan: each depends on three of the layer before."""
    return [
        {
            "id": f"t{layer}-{number}",
            "command": command,
            "depends_on": ";".join(f"t{layer - 1}-{(number + step) % width}" for step in range(min(3, width)))
            if layer
            else "",
        }
        for layer in range(count)
        for number in range(width)
    ]


class Ring:
    """An arena with what tests ask of it."""

    def __init__(self, place: Place, arena: Arena, lease_s: float) -> None:
        self.place = place
        self.arena = arena
        self.lease_s = lease_s
        self._rounds = 0
        self.marks = place.folder
        """Where tasks leave their marks."""
        self.new_marks()

    def new_marks(self) -> None:
        """Have the tasks of the next run leave theirs apart."""
        self._rounds += 1
        self.marks = self.place.folder / f"marks-{self._rounds}"
        self.marks.mkdir()

    def start_workers(self, count: int = 2, slots: int = 2) -> list[Target]:
        self.arena.start_workers(count, Capacity(cpus=64.0, memory_mib=65_536, slots=slots))
        return self.arena.targets()

    def submit(self, tasks: Sequence[Task]) -> str:
        return self.arena.submit(make_plan(tasks))

    def transitions(self) -> list[Transition]:
        """Return what the run's log says so far."""
        entries = self.arena.cluster.runs.read_log(self.arena.run_id)
        return [transition for entry in entries for transition in parse_entry(entry)]

    def state(self, index: int = 0) -> str:
        return self.arena.cluster.runs.states(self.arena.run_id).get(index, "W")

    def holder(self, index: int = 0) -> Target:
        """Return the worker that holds a task, once one does."""

        def look() -> Target | None:
            held = {member.index: token for member, token in self.arena.cluster.runs.leases(self.arena.run_id)}
            name = held.get(index, "").rpartition("/")[0]
            return next((target for target in self.arena.targets() if target.name == name), None)

        return wait_until(look, f"a holder of task {index}", timeout_s=30.0)

    def await_file(self, name: str) -> None:
        wait_until((self.marks / name).exists, f"the mark {name}", timeout_s=30.0, diagnose=self.log)

    def await_state(self, state: str, index: int = 0) -> None:
        """Wait for a letter and attempt; what dies meanwhile is started again."""

        def look() -> bool:
            self.arena.tend()
            return self.state(index) == state

        wait_until(look, f"state {state} of task {index}", timeout_s=30.0, diagnose=self.log)

    def log(self) -> str:
        logs = sorted(self.arena.server.data_dir.glob("worker-*.log"))
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in logs)

    def finish(self, *faults: Fault, seed: int = 1, timeout_s: float = 60.0) -> ChaosReport:
        """Follow the run to its end while faults happen; return what came of them."""
        conductor = Conductor(self.arena, faults, seed=seed, lease_s=self.lease_s)
        until = time.monotonic() + timeout_s
        with contextlib.closing(self.arena.cluster.collector(self.arena.run_id)) as collector:
            has_ended = carry_through(
                collector,
                conductor,
                self.arena,
                is_interrupted=lambda: time.monotonic() > until,
                on_done=lambda _: None,
            )
            assert has_ended, (self.arena.cluster.runs.states(self.arena.run_id), self.log())
            collector.finish()
        return self.report(conductor, seed)

    @property
    def home(self) -> Home:
        return Home(self.place.folder / "runs" / self.arena.run_id)

    def report(self, conductor: Conductor, seed: int) -> ChaosReport:
        folder = self.home.folder
        tasks = list(self.home.results)
        trust = KeyFolder(self.place.folder / "home" / ".config" / "taskexec" / "keys").trust(())
        return make_report(
            read_ledger(folder),
            tasks,
            run_id=self.arena.run_id,
            done=conductor.done,
            not_done=conductor.left,
            seed=seed,
            lease_s=self.lease_s,
            successes=proven_successes(folder, {task: task for task in tasks}),
            marks=count_marks(self.marks, tasks),
            verification=verify_folder(folder, trust).to_json(),
        )

    def executions(self, task: str) -> list[str]:
        """Return the attempts that have marked their start, in order."""
        path = self.marks / task
        return path.read_text().split() if path.is_file() else []


@contextlib.contextmanager
def open_ring(place: Place, *, lease_s: float = 1.0, **settings: object) -> Iterator[Ring]:
    """Give a ring without workers; nothing is left of it."""
    project = place.folder / "project"
    project.mkdir()
    defaults: dict[str, object] = {
        "worker.lease_s": lease_s,
        "worker.reap_interval_s": 0.2,
        "worker.kill_grace_s": 0.5,
        "worker.max_attempts": 10,
        "worker.project_dir": project,
        "evidence.runs_dir": place.folder / "runs",
    }
    with Arena.opened(load_settings(defaults | settings, cwd=project, environ={})) as arena:
        yield Ring(place, arena, lease_s)
