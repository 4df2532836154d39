"""What of a plan has been done by an earlier run: which results are taken over, what runs, and why.

A result is taken over when the task means the same, its declared inputs have the digests they had then, and the results
of all that it depends on are taken over as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.ledger import read_end
from taskexec.completion.outline import attempt_folder
from taskexec.completion.replay import ReplayAccount
from taskexec.domain.program import Standing
from taskexec.domain.proof import record_digest
from taskexec.domain.states import TaskStatus
from taskexec.domain.task import Task
from taskexec.errors import NotFound
from taskexec.plan import Plan, evidence_folder, task_to_json
from taskexec.submission.standing import FormerLife
from taskexec.submission.taken import copy_attempt, file_not_at_home, read_record

__all__ = ["Decision", "Digests", "FormerRun", "Takeover", "Verdict", "compare", "newest_run_of"]

_COMPARED = {"agent": "its agent", "payload": "what it runs", "inputs": "its inputs", "outputs": "its outputs"}
"""Fields of a task that make its result what it is, and what they are called; the rest says when and where it runs."""

Digests = Callable[[Sequence[str]], Mapping[str, str] | None]
"""Gives the digests of the files that patterns of declared inputs name; None when one names none."""


class Verdict(StrEnum):
    """What becomes of a task of a plan, seen beside an earlier run."""

    REUSED = "reused"
    """Its result is taken over."""
    DONE = "done"
    """The plan says that it was done before."""
    CHANGED = "changed"
    """It runs: it, or what it reads, is not what it was."""
    NEW = "new"
    """It runs: the earlier run has no such task."""
    RUNS = "runs"
    """It runs: it did not succeed then, or something that it depends on runs."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one task, and why."""

    verdict: Verdict
    why: str
    attempt: int = 0
    """Attempt of the earlier run that is taken over."""

    @property
    def is_done(self) -> bool:
        """Whether the task does not run."""
        return self.verdict in {Verdict.REUSED, Verdict.DONE}


class FormerRun:
    """An earlier run, as its folder at home tells of it."""

    def __init__(self, folder: Path) -> None:
        """Read a run's folder.

        Raises:
            NotFound: It holds no run that was brought home.
        """
        self.folder = folder
        self.run_id = folder.name
        try:
            plan = orjson.loads((folder / "plan.json").read_bytes())
            summary = orjson.loads((folder / "run.json").read_bytes())
        except (OSError, ValueError) as error:
            raise NotFound(
                f"{folder} holds no run whose results could be taken over: {error}",
                hint="`tek collect` brings a run home; `tek runs` lists them",
            ) from error
        self.is_dry_run = bool(summary["dry_run"])
        self.tasks: Mapping[str, Mapping[str, Any]] = {task["id"]: task for task in plan["tasks"]}
        self._index_of = {task["id"]: index for index, task in enumerate(plan["tasks"])}
        self._life = FormerLife(folder, plan)

    def attempt_of(self, task_id: str) -> int | None:
        """Return the attempt that completed a task, 0 for one that was taken over itself; None when there is none."""
        index = self._index_of[task_id]
        if index in self._life.taken:
            return 0
        state = self._life.ended.get(index)
        return state.attempt if state is not None and state.status is TaskStatus.SUCCEEDED else None

    def record_of(self, task_id: str, attempt: int) -> bytes | None:
        """Return the record of an attempt that succeeded; None when it is not at home."""
        return read_record(self.attempt_folder(task_id, attempt))

    def outcomes(self) -> ReplayAccount:
        """Return what came out of its tasks, as far as its ledger was written whole."""
        account, path = ReplayAccount(), self.folder / "ledger.jsonl"
        stop = read_end(path).size_bytes
        with path.open("rb") as file:
            while file.tell() < stop:
                account.take(orjson.loads(file.readline()))
        return account

    def attempt_folder(self, task_id: str, attempt: int) -> Path:
        """Return the folder of an attempt."""
        return attempt_folder(self.folder, task_id, attempt)


def newest_run_of(plan: Plan, runs_dir: Path) -> FormerRun | None:
    """Return the newest run at home whose plan came from the same file and was really carried out; None for none."""
    for path in sorted(runs_dir.glob("*/run.json"), reverse=True):
        try:
            summary = orjson.loads(path.read_bytes())
            if summary["plan"] == plan.source and not summary["dry_run"]:
                return FormerRun(path.parent)
        except (OSError, ValueError, KeyError, NotFound):
            continue
    return None


def compare(plan: Plan, former: FormerRun, digests: Digests) -> list[Decision]:
    """Return what becomes of each task of a plan, by position, when what it can is taken over from an earlier run."""
    decisions: list[Decision] = [Decision(Verdict.NEW, "")] * len(plan.tasks)
    for index in plan.graph.order:
        before = [(plan.tasks[one], decisions[one]) for one in plan.graph.predecessors[index]]
        decisions[index] = _decide(plan.tasks[index], before, former, digests)
    return decisions


def _decide(task: Task, before: Sequence[tuple[Task, Decision]], former: FormerRun, digests: Digests) -> Decision:
    if task.is_satisfied:
        return Decision(Verdict.DONE, "the plan says that it was done before")
    then = former.tasks.get(task.id)
    if then is None:
        return Decision(Verdict.NEW, f"run {former.run_id} has no such task")
    changes = _changes(task, then)
    if changes:
        return Decision(Verdict.CHANGED, f"{' and '.join(changes)} changed")
    for one, decision in before:
        if not decision.is_done:
            return Decision(Verdict.RUNS, f"`{one.id}`, which it depends on, runs")
        if decision.verdict is Verdict.DONE and not former.tasks.get(one.id, {}).get("satisfied"):
            return Decision(Verdict.CHANGED, f"`{one.id}`, which it depends on, was not said to be done then")
    return _decide_by_record(task, former, digests)


def _changes(task: Task, then: Mapping[str, Any]) -> list[str]:
    now = task_to_json(task)
    changes = [called for name, called in _COMPARED.items() if now.get(name) != then.get(name)]
    if sorted(now["depends_on"]) != sorted(then["depends_on"]):
        changes.append("what it depends on")
    return changes


def _decide_by_record(task: Task, former: FormerRun, digests: Digests) -> Decision:
    attempt = None if former.is_dry_run else former.attempt_of(task.id)
    if attempt is None:
        why = "that was a dry run" if former.is_dry_run else "it did not succeed then"
        return Decision(Verdict.RUNS, why)
    raw = former.record_of(task.id, attempt)
    if raw is None:
        return Decision(Verdict.RUNS, "its evidence is not at home")
    record: Mapping[str, Any] = orjson.loads(raw)
    if (missing := file_not_at_home(former.attempt_folder(task.id, attempt), record)) is not None:
        return Decision(Verdict.RUNS, f"its file `{missing}` is not at home")
    if task.inputs:
        now = digests(task.inputs)
        if now is None:
            return Decision(Verdict.CHANGED, "an input is missing")
        then: Mapping[str, str] = record.get("inputs", {})
        differing = sorted(path for path in {*now, *then} if now.get(path) != then.get(path))
        if differing:
            return Decision(Verdict.CHANGED, f"input `{differing[0]}` changed")
    return Decision(Verdict.REUSED, f"as in run {former.run_id}", attempt)


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a run takes over from an earlier one."""

    plan: Plan
    former: FormerRun
    decisions: Sequence[Decision]
    """One a task, by position."""

    @classmethod
    def of(cls, plan: Plan, former: FormerRun, digests: Digests) -> Takeover:
        """Return what a plan can take over from an earlier run."""
        return cls(plan, former, compare(plan, former, digests))

    def _reused(self) -> Iterator[tuple[int, str, int]]:
        """Yield position, id and earlier attempt of each task that is taken over."""
        for index, (task, decision) in enumerate(zip(self.plan.tasks, self.decisions, strict=True)):
            if decision.verdict is Verdict.REUSED:
                yield index, task.id, decision.attempt

    def standing(self) -> dict[int, Standing]:
        """Return where these tasks stand when the run begins, by position."""
        standing: dict[int, Standing] = {}
        reused = list(self._reused())
        if not reused:
            return standing
        outcomes = self.former.outcomes()
        for index, task_id, attempt in reused:
            raw = self.former.record_of(task_id, attempt) or b"{}"
            result = orjson.loads(raw).get("result")
            outcome = outcomes.came_out(task_id)
            origin = {"run": self.former.run_id, "attempt": attempt, "record": record_digest(raw), "outcome": outcome}
            told = b"" if result is None else orjson.dumps(result)
            standing[index] = Standing(reused=orjson.dumps(origin), result=told)
        return standing

    def bring_over(self, folder: Path) -> None:
        """Put copies of their evidence into the run's folder, as attempt 0: the record, and what it names.

        Raises:
            OSError: The folder cannot be written, or evidence is not there any more.
        """
        for _, task_id, attempt in self._reused():
            target = folder / "tasks" / evidence_folder(task_id) / "attempt-0"
            if not target.is_dir():
                record = orjson.loads(self.former.record_of(task_id, attempt) or b"{}")
                copy_attempt(self.former.attempt_folder(task_id, attempt), record, target)
