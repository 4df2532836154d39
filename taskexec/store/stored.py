"""What is kept of a program: the fields of the run's meta hash, and the values of each task by the names of hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from taskexec.domain.program import Program, ProgramTask
from taskexec.domain.protocol import PROTOCOL
from taskexec.domain.rules import TaskState
from taskexec.domain.states import TaskStatus

__all__ = ["meta_of", "payers_of", "values_of"]

_SATISFIED = TaskState(TaskStatus.SATISFIED, 0).encode()


def meta_of(program: Program, *, submitted_us: int) -> dict[str, Any]:
    """Return the meta hash of a stored run."""
    options = program.options
    ended = Counter(TaskState.decode(task.state).status for task in program.tasks if task.state)
    ended[TaskStatus.SATISFIED] = sum(task.is_satisfied for task in program.tasks)
    always = {
        "run": program.run_id,
        "protocol": PROTOCOL,
        "status": "pending",
        "tasks": len(program.tasks),
        "left": len(program.tasks) - ended.total(),
        **{str(status): count for status, count in ended.items()},
        "template": program.template,
        "source": program.source,
        "digest": program.digest,
        "head": program.head.head,
        "head_key": program.head.key,
        "head_signature": program.head.signature,
        "fail_fast": int(options.fail_fast),
        "dry_run": int(options.dry_run),
        "batch_max": options.batch_max,
        "batch_target_us": int(options.batch_target_s * 1e6),
        "lost_max": options.lost_max,
        "retention_s": options.retention_s,
        "output_limit": options.output_limit_bytes,
        "submitted_us": submitted_us,
        "payers": " ".join(payers_of(program)[1:]),
    }
    sometimes = {
        "timeout_us": int((options.timeout_s or 0) * 1e6),
        "deadline_at_us": int((options.deadline_at or 0) * 1e6),
        "has_policies": int(any(task.policy for task in program.tasks)),
        "has_tried": int(any(task.attempts_before for task in program.tasks)),
        "is_continued": int(program.is_continued),
        "has_ranks": int(any(task.rank is not None for task in program.tasks)),
        "has_asks": int(any(task.ask for task in program.tasks)),
        "weight": options.weight if options.weight != 1 else 0,
    }
    return always | {name: value for name, value in sometimes.items() if value}


def payers_of(program: Program) -> tuple[str, str, str]:
    """Return whose shares of the cluster the tasks of a run count towards: its own, its user's and its tag's."""
    options = program.options
    return f"r:{program.run_id}", f"u:{quote(options.user, safe='')}", f"t:{quote(options.tag, safe='')}"


def values_of(task: ProgramTask) -> Iterator[tuple[str, Any]]:
    """Yield what is kept of a task: the names of hashes, and its value there."""
    if task.is_satisfied:
        yield "state", _SATISFIED
    elif task.state:
        yield "state", task.state
    if not task.is_satisfied:
        yield "task", task.dispatch
        yield "spec", task.spec
    if task.pending:
        yield "pending", task.pending
    if task.successors:
        yield "successors", ",".join(map(str, task.successors))
    for name in ("reused", "result", "policy", "ask"):
        if value := getattr(task, name):
            yield name, value
    if task.rank is not None:
        yield "rank", task.rank
    if task.attempts_before:
        yield "tried", task.attempts_before
