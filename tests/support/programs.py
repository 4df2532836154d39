"""Small programs for the stores: graphs given as the dependencies of each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskexec.broker.messages import message_template
from taskexec.domain.program import Program, ProgramTask, RunOptions
from taskexec.domain.retry import NO_POLICY, AttemptPolicy

__all__ = ["Spec", "make_program", "queue_of"]

SATISFIED = ProgramTask(successors=(), pending=0, dispatch="", spec=b"", is_satisfied=True)


@dataclass(frozen=True)
class Spec:
    """What one task of a test program is like."""

    after: tuple[int, ...] = ()
    """Indexes that it depends on."""
    retries: int = 0
    route: str = "cpu"
    agent: str = "noop"
    is_satisfied: bool = False
    policy: AttemptPolicy = NO_POLICY
    """When it is tried again; `retries` counts beside it."""
    ask: str = ""
    """What it asks of a worker (`fit.Ask.encode`)."""
    rank: int | None = None


def queue_of(run_id: str, route: str = "cpu") -> str:
    """Return the list that the messages of a route of a test run go to; every run has its own."""
    return f"{route}-{run_id}"


def make_program(run_id: str, specs: Sequence[Spec], options: RunOptions | None = None) -> Program:
    """Return a program of these tasks; dependencies on and of satisfied ones are left out, as the compiler does."""
    successors: list[list[int]] = [[] for _ in specs]
    predecessors: list[list[int]] = [[] for _ in specs]
    for index, spec in enumerate(specs):
        for before in spec.after:
            if not spec.is_satisfied and not specs[before].is_satisfied:
                successors[before].append(index)
                predecessors[index].append(before)
    tasks = [
        SATISFIED
        if spec.is_satisfied
        else ProgramTask(
            successors=tuple(successors[index]),
            pending=len(predecessors[index]),
            dispatch="\t".join((queue_of(run_id, spec.route), spec.route, spec.agent, f"task-{index}")),
            spec=",".join(map(str, predecessors[index])).encode() + b"\n" + f'{{"id":"task-{index}"}}'.encode(),
            policy=spec.policy._replace(retries=spec.retries or spec.policy.retries).encode(),
            ask=spec.ask,
            rank=spec.rank,
        )
        for index, spec in enumerate(specs)
    ]
    return Program(
        run_id=run_id,
        tasks=tasks,
        template=message_template(run_id),
        plan=b"plan",
        canvas=b"canvas",
        source="test",
        digest="sha256:0",
        options=options or RunOptions(batch_max=1),
    )
