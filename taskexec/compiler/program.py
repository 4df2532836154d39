"""Lowering: from the canvas to the compact program that is stored for a run."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from taskexec.compiler.canvas import Canvas
from taskexec.domain.fit import Ask
from taskexec.domain.program import Program, ProgramTask, RunOptions, Standing
from taskexec.domain.proof import spec_leaf
from taskexec.domain.resources import Route
from taskexec.domain.retry import DEFAULT_RETRY, AttemptPolicy
from taskexec.domain.task import Task
from taskexec.plan import Plan

__all__ = ["QueueKey", "compile_program"]

QueueKey = Callable[[Route, int], str]
"""Gives the Redis list of a route for a priority (0 to 9, higher first); the broker's."""

_LABEL_BYTES = 120
"""Longest label of a message, as JSON text; a message stays under 1 kB."""
_SATISFIED = ProgramTask(successors=(), pending=0, dispatch="", spec=b"", is_satisfied=True)
"""What a program says of a task that was done before the run: nothing is ever sent or counted for it."""
_NOTHING_DONE = Standing()


def compile_program(
    plan: Plan,
    canvas: Canvas,
    *,
    run_id: str,
    options: RunOptions,
    queue_key: QueueKey,
    template: str,
    plan_json: bytes,
    standing: Mapping[int, Standing] = MappingProxyType({}),
) -> Program:
    """Return the program of a run: the canvas by index, one record a task of the plan, linear in the edges.

    Args:
        plan: The plan; positions of its tasks become indexes.
        canvas: Its canvas; the program's edges are read from the signatures.
        run_id: Id of the run.
        options: How the run is carried out.
        queue_key: Where messages for a route and priority go.
        template: Message template of the broker for this run.
        plan_json: `plan.json` as it is kept in the evidence.
        standing: Where tasks stand already, by position: taken over from another run, or from an earlier life of this.
    """
    index_of = {task.id: index for index, task in enumerate(plan.tasks)}
    successors: list[list[int]] = [[] for _ in plan.tasks]
    predecessors: list[list[int]] = [[] for _ in plan.tasks]
    for before, after in canvas.edges():
        successors[index_of[before]].append(index_of[after])
        predecessors[index_of[after]].append(index_of[before])
    done = {index for index, stands in standing.items() if stands.is_done}
    ranks = _ranks(plan)
    tasks = []
    for index, task in enumerate(plan.tasks):
        stands = standing.get(index, _NOTHING_DONE)
        if task.is_satisfied or stands.reused:
            tasks.append(replace(_SATISFIED, reused=stands.reused, result=stands.result))
            continue
        needed = predecessors[index]
        tasks.append(
            ProgramTask(
                successors=tuple(successors[index]),
                pending=len(needed) - sum(one in done for one in needed) if done else len(needed),
                dispatch=_dispatch(task, queue_key),
                spec=_spec(plan, task, needed),
                policy=_policy(task),
                state=stands.state,
                attempts_before=stands.attempts_before,
                result=stands.result,
                ask=_ask(task),
                rank=ranks.get(index),
            )
        )
    return Program(
        run_id=run_id,
        tasks=tasks,
        template=template,
        plan=zlib.compress(plan_json, 6),
        canvas=zlib.compress(orjson.dumps(canvas.to_json()), 6),
        source=plan.source,
        digest=plan.digest,
        options=options,
        leaves=b"".join(spec_leaf(index, task.spec) for index, task in enumerate(tasks)),
    )


def _dispatch(task: Task, queue_key: QueueKey) -> str:
    agent = orjson.dumps(task.agent).decode()[1:-1]
    return "\t".join((queue_key(task.route, task.priority), task.route, agent, _label(task.id)))


def _ask(task: Task) -> str:
    """Return what a task asks for beyond a slot; empty for nothing."""
    if task.needs.is_default:
        return ""
    return Ask.of(
        task.needs,
        task.route,
        task.agent,
        priority=task.priority,
        deadline_at=task.deadline_at,
        duration_s=task.duration_s,
    ).encode()


def _ranks(plan: Plan) -> dict[int, int]:
    """Return the place of each task in the order of the run, where that is not its position.

    High priorities come first, then early deadlines, then the order of the plan.
    """
    if not any(task.priority or task.deadline_at for task in plan.tasks):
        return {}
    order = sorted(
        range(len(plan.tasks)),
        key=lambda index: (-plan.tasks[index].priority, plan.tasks[index].deadline_at or math.inf, index),
    )
    return {index: rank for rank, index in enumerate(order) if rank != index}


def _policy(task: Task) -> bytes:
    if task.retries == 0 and task.retry is DEFAULT_RETRY and task.total_timeout_s is None and task.deadline_at is None:
        return b""  # nearly all tasks of nearly all plans
    return AttemptPolicy.of(
        task.retry, retries=task.retries, total_timeout_s=task.total_timeout_s, deadline_at=task.deadline_at
    ).encode()


def _label(text: str) -> str:
    """Return the beginning of a text as JSON without its quotes, within `_LABEL_BYTES`."""
    text = text[:_LABEL_BYTES]
    while (excess := len(encoded := orjson.dumps(text)[1:-1]) - _LABEL_BYTES) > 0:
        text = text[: -(excess // 6 + 1)]  # one character takes at most six bytes
    return encoded.decode()


def _spec(plan: Plan, task: Task, predecessors: Sequence[int]) -> bytes:
    """Return what a worker needs to perform a task; dependencies (performed ones) stand as indexes and as ids."""
    body: dict[str, Any] = {
        "id": task.id,
        "agent": task.agent,
        "payload": task.payload,
        "depends_on": [plan.tasks[index].id for index in predecessors],
        "timeout_s": task.timeout_s,
        "lane": task.lane,
        "route": task.route,
    }
    declared = {"inputs": task.inputs, "outputs": task.outputs}
    body |= {name: list(paths) for name, paths in declared.items() if paths}
    if task.needs.memory_mib:
        body["memory_mib"] = task.needs.memory_mib
    return ",".join(map(str, predecessors)).encode() + b"\n" + orjson.dumps(body)
