"""A run as it stands now, read from its server or, when it has ended and was brought home, from its folder."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from taskexec.cluster.places import RunPlace
from taskexec.completion.account import RunAccount
from taskexec.completion.ledger import Ledger
from taskexec.completion.summary import run_summary

__all__ = ["Snapshot", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a run."""

    summary: dict[str, Any]
    """As `run.json` holds it."""
    ledger: list[dict[str, Any]]
    """Every transition, as the ledger holds it."""
    plan: dict[str, Any]
    """Its `plan.json`."""

    def events(self) -> list[dict[str, Any]]:
        """Return one object a task, in plan order."""
        hidden = {"task", "queue", "evidence", "commands"}
        return [
            {name: value for name, value in result.items() if name not in hidden} for result in self.summary["results"]
        ]


def take_snapshot(place: RunPlace, *, with_ledger: bool = False) -> Snapshot:
    """Return a run as it stands; the folder is preferred once the run has ended.

    Raises:
        ConnectionLost: The server did not answer.
    """
    summary = place.home_summary()
    if summary is not None and (summary["ended"] is not None or place.cluster is None):
        lines: list[dict[str, Any]] = []
        if with_ledger:
            lines = [json.loads(line) for line in (place.folder / "ledger.jsonl").read_text().splitlines()]
        return Snapshot(summary, lines, json.loads((place.folder / "plan.json").read_text()))
    return _from_server(place)


def _from_server(place: RunPlace) -> Snapshot:
    assert place.cluster is not None
    store = place.cluster.runs
    plan = json.loads(zlib.decompress(store.documents(place.run_id)[0]))
    task_ids = [task["id"] for task in plan["tasks"]]
    account, ledger, lines, after = RunAccount(task_ids), Ledger(task_ids), [], "0"
    while entries := store.read_log(place.run_id, after):
        after = entries[-1].id
        for entry in entries:
            for line, transition in ledger.seal(entry):
                if transition is not None:
                    account.take(transition)
                lines.append(json.loads(line))
    summary = run_summary(store.head(place.run_id), plan, account, ledger_head=ledger.head)
    return Snapshot(summary, lines, plan)
