"""The canvas of a plan: real Celery chains and chords that hold each edge of the graph exactly once.

Chains are maximal linear runs of tasks on one route. A chord stands for each join: its header is all
predecessors of the join, its body the chain that begins there; a task may sit in several headers. The one edge
into a task that has a single predecessor with several successors is a `link` of that predecessor. Tasks are
named by their ids, so the canvas is linear in the edges; native nesting by value grows exponentially with the
levels and can express only series-parallel graphs. Tasks that were done before the run, and the dependencies
on and of them, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature, _chain, chord

from taskexec.domain.task import Task
from taskexec.plan import Graph, Plan

__all__ = ["ATTEMPT_TASK", "Canvas", "Stage", "StagedChord", "compile_canvas"]

ATTEMPT_TASK = "tek.attempt"
"""Name of the Celery task that performs one attempt."""


@Signature.register_type(name="taskexec.staged_chord")
class StagedChord(chord):
    """A chord whose header members may belong to several chords; it is released by the latch of its body.

    It is applied by reference: the program of the run is stored once, and completing the last header member
    publishes the body.
    """

    def __init__(self, header: Any, body: Any = None, **options: Any) -> None:
        super().__init__([], None, **options)
        # `chord.__init__` clones every header member, which makes wide joins quadratic to build in practice
        self.kwargs.update(header=list(header), body=body)
        # Celery names the type after the base class; without this it comes back from JSON as a plain chord
        self["subtask_type"] = "taskexec.staged_chord"

    @classmethod
    def from_dict(cls, d: Any, app: Any = None) -> StagedChord:
        """Return the chord that was written as a dictionary."""
        kwargs = d["kwargs"]
        header = [Signature.from_dict(member, app=app) for member in kwargs["header"]]
        return cls(header, Signature.from_dict(kwargs["body"], app=app), app=app)


@dataclass(frozen=True, slots=True)
class Stage:
    """A chain (or a single task), and the chord that releases it, if it is a join."""

    tasks: tuple[str, ...]
    """Ids of the chain's tasks, in order."""
    signature: Any
    """The chord of a join, else the chain or the task itself."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """All stages of a plan, in the order of their first tasks; none when all of its tasks are satisfied."""

    stages: tuple[Stage, ...]
    digest: str
    """Digest of the plan."""

    def edges(self) -> Iterator[tuple[str, str]]:
        """Yield each dependency once, read from the signatures: (predecessor, successor)."""
        for stage in self.stages:
            chain = stage.signature
            if isinstance(chain, StagedChord):
                yield from ((member.args[0], stage.tasks[0]) for member in chain.kwargs["header"])
                chain = chain.kwargs["body"]
            members = chain.tasks if isinstance(chain, _chain) else [chain]
            for position, member in enumerate(members):
                if position:
                    yield members[position - 1].args[0], member.args[0]
                yield from ((member.args[0], link.args[0]) for link in member.options.get("link", ()))

    def to_json(self) -> dict[str, Any]:
        """Return what is kept as `canvas.json`; each `signature` is Celery's own JSON form."""
        stages = [{"tasks": list(stage.tasks), "signature": stage.signature} for stage in self.stages]
        return {"version": 1, "plan": self.digest, "stages": stages}

    def describe(self) -> list[str]:
        """Return one line a stage for people."""
        return [_describe(stage) for stage in self.stages]


def _describe(stage: Stage) -> str:
    body = " -> ".join(stage.tasks)
    text = f"chain({body})" if len(stage.tasks) > 1 else body
    signature = stage.signature
    if isinstance(signature, StagedChord):
        header = ", ".join(member.args[0] for member in signature.kwargs["header"])
        text = f"chord([{header}], {text})"
        signature = signature.kwargs["body"]
    last = signature.tasks[-1] if isinstance(signature, _chain) else signature
    links = ", ".join(link.args[0] for link in last.options.get("link", ()))
    return f"{text}, linked to {links}" if links else text


def _task_signature(task: Task) -> Any:
    return Signature(ATTEMPT_TASK, args=(task.id,), options={"queue": str(task.route)}, immutable=True)


def _reference(task_id: str) -> Any:
    return Signature(ATTEMPT_TASK, args=(task_id,), immutable=True)


def compile_canvas(plan: Plan) -> Canvas:
    """Return the canvas of a plan. Time and size are linear in tasks and edges."""
    graph = _performed_graph(plan)
    heads = _heads(plan, graph)
    signatures = [_task_signature(task) for task in plan.tasks]
    successors, predecessors = graph.successors, graph.predecessors
    for index in heads:
        if len(predecessors[index]) == 1:
            origin = signatures[predecessors[index][0]]
            origin.options.setdefault("link", []).append(_reference(plan.tasks[index].id))
    stages = []
    is_head = frozenset(heads)
    for index in heads:
        run = [index]
        while len(successors[run[-1]]) == 1 and successors[run[-1]][0] not in is_head:
            run.append(successors[run[-1]][0])
        stages.append(_stage(plan, run, header=predecessors[run[0]], signatures=signatures))
    return Canvas(tuple(stages), plan.digest)


def _performed_graph(plan: Plan) -> Graph:
    """Return the dependencies among the tasks that are performed; satisfied ones stand alone in it."""
    satisfied = frozenset(index for index, task in enumerate(plan.tasks) if task.is_satisfied)
    if not satisfied:
        return plan.graph
    return Graph.of(
        () if index in satisfied else [one for one in before if one not in satisfied]
        for index, before in enumerate(plan.graph.predecessors)
    )


def _stage(plan: Plan, run: Sequence[int], *, header: Sequence[int], signatures: Sequence[Any]) -> Stage:
    members = [signatures[index] for index in run]
    body = _chain(*members) if len(members) > 1 else members[0]
    if len(header) > 1:
        body = StagedChord([_reference(plan.tasks[index].id) for index in header], body)
    return Stage(tuple(plan.tasks[index].id for index in run), body)


def _heads(plan: Plan, graph: Graph) -> list[int]:
    """Return the tasks at which a chain begins: roots, joins, branches of a fork, changes of route."""
    tasks = plan.tasks
    heads = []
    for index, before in enumerate(graph.predecessors):
        if tasks[index].is_satisfied:
            continue
        joins = len(before) != 1
        if joins or len(graph.successors[before[0]]) > 1 or tasks[before[0]].route != tasks[index].route:
            heads.append(index)
    return heads
