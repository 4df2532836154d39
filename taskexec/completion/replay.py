"""What of a run should come out the same when its plan is run again, and where two runs first differ.

Per task: how it ended, after how many failures of its own, and the digests of what the accepted attempt left. No
times, no places, no workers; attempts that were lost with their worker do not count. A task that was taken over from
another run counts as what came out there. All of it stands in the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.ledger import LATE_RESULT
from taskexec.domain.events import TransitionKind
from taskexec.domain.proof import canonical_json
from taskexec.domain.states import LOST_REASONS, TaskStatus
from taskexec.plan import Graph

__all__ = ["Difference", "ReplayAccount", "first_difference", "read_replay"]

_ENDINGS = {
    TransitionKind.SUCCEEDED: TaskStatus.SUCCEEDED,
    TransitionKind.FAILED: TaskStatus.FAILED,
    TransitionKind.SKIPPED: TaskStatus.SKIPPED,
    TransitionKind.CANCELLED: TaskStatus.CANCELLED,
    TransitionKind.SATISFIED: TaskStatus.SATISFIED,
}
_NOT_COMPARED = {"result.json", LATE_RESULT}


class ReplayAccount:
    """Folds the entries of a ledger into what is compared; linear in the tasks, about 300 bytes each."""

    def __init__(self) -> None:
        self._ended: dict[str, bytes] = {}
        self._failures: dict[str, int] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take in the next entry."""
        task_id, event = entry.get("task"), entry["event"]
        if task_id is None:
            return
        if event == TransitionKind.RETRIED:
            self._ended.pop(task_id, None)
            self._failures.pop(task_id, None)
            return
        is_failure = event in {TransitionKind.TRIED, TransitionKind.FAILED}
        if is_failure and entry.get("reason") not in LOST_REASONS:
            self._failures[task_id] = self._failures.get(task_id, 0) + 1
        if event in _ENDINGS:
            taken = entry.get("taken_from", {}).get("outcome")
            self._ended[task_id] = canonical_json(self._outcome(task_id, entry) if taken is None else _taken(taken))

    def _outcome(self, task_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        evidence: Mapping[str, str] = entry.get("evidence", {})
        return {
            "status": _ENDINGS[TransitionKind(entry["event"])],
            "reason": entry.get("reason"),
            "exit_status": entry.get("exit_status"),
            "signal": entry.get("signal"),
            "failures": self._failures.get(task_id, 0),
            "files": {name: digest for name, digest in evidence.items() if name not in _NOT_COMPARED},
            "result": entry.get("result_sha256"),
        }

    def outcome(self, task_id: str) -> dict[str, Any] | None:
        """Return what is compared of a task; None when it has not ended."""
        found = self._ended.get(task_id)
        return None if found is None else orjson.loads(found)

    def came_out(self, task_id: str) -> dict[str, Any]:
        """Return what is compared of a task that succeeded, without what has no value: for a run that takes it over."""
        found = self.outcome(task_id) or {}
        return {name: value for name, value in found.items() if name != "status" and value is not None}

    def hash(self) -> str:
        """Return the SHA-256 of the canonical JSON of all tasks that have ended, by id."""
        digest = hashlib.sha256(b"{")
        for number, task_id in enumerate(sorted(self._ended)):
            digest.update((b"," if number else b"") + orjson.dumps(task_id) + b":" + self._ended[task_id])
        digest.update(b"}")
        return digest.hexdigest()


def _taken(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is compared of a task that was taken over from another run."""
    optional = {name: outcome.get(name) for name in ("reason", "exit_status", "signal", "result")}
    counted = {"failures": outcome.get("failures", 0), "files": outcome.get("files", {})}
    return {"status": TaskStatus.SUCCEEDED, **optional, **counted}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs of a plan first differ."""

    task: str
    what: str
    """The field, such as `status` or `files.stdout.log`."""
    one: Any
    """Its value in the first run; None for none."""
    other: Any
    """Its value in the second run."""


def read_replay(folder: Path) -> ReplayAccount:
    """Return what is compared of the run in a folder.

    Raises:
        OSError, ValueError: Its ledger cannot be read.
    """
    account = ReplayAccount()
    with (folder / "ledger.jsonl").open("rb") as file:
        for line in file:
            account.take(orjson.loads(line))
    return account


def first_difference(tasks: Sequence[Mapping[str, Any]], one: ReplayAccount, other: ReplayAccount) -> Difference | None:
    """Return the first difference in the order of the dependencies; None when both came to the same.

    Args:
        tasks: The `tasks` of `plan.json`.
        one: The first run.
        other: The second run.
    """
    index_of = {task["id"]: index for index, task in enumerate(tasks)}
    graph = Graph.of([[index_of[before] for before in task["depends_on"]] for task in tasks])
    for index in graph.order:
        task_id = tasks[index]["id"]
        here, there = one.outcome(task_id), other.outcome(task_id)
        if here != there:
            return _difference(task_id, here or {}, there or {})
    return None


def _difference(task_id: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Difference:
    for name in sorted({*here, *there}, key=_importance):
        one, other = here.get(name), there.get(name)
        if one == other:
            continue
        if name == "files":
            file = min(
                file for file in {*(one or {}), *(other or {})} if (one or {}).get(file) != (other or {}).get(file)
            )
            return Difference(task_id, f"files.{file}", (one or {}).get(file), (other or {}).get(file))
        return Difference(task_id, name, one, other)
    raise AssertionError(task_id)


def _importance(name: str) -> int:
    return ("status", "reason", "exit_status", "signal", "failures", "result", "files").index(name)
