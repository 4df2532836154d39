"""Why a task stands where it stands, in the shape that `tek why` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from taskexec.api.ledgers import ledger_lines
from taskexec.api.live_run import LiveRun
from taskexec.api.services import Services
from taskexec.domain.states import FINAL_RUN_STATUSES
from taskexec.observability.why import Story, explain

__all__ = ["why_of"]

_BULKY = ("evidence", "hash", "prev", "digests", "covers", "signature", "key", "head")
"""What an entry of the ledger proves, and no story tells."""


def why_of(services: Services, run: LiveRun, index: int) -> dict[str, Any]:
    """Return the answer about a task.

    Raises:
        ConnectionLost: The server did not answer.
    """
    with services.live.telling:  # each holds the story of a whole run
        story = Story(run.run_id, run.timeline.plan, list(_entries(services, run)))
        is_over = run.timeline.view.status in FINAL_RUN_STATUSES
        present = None if run.is_at_home or is_over else services.cluster.present(story)
        names = {} if run.is_at_home else services.cluster.names_of(story, index)
        cause = explain(story, index, present, names=names)
        changes = [{"text": change.text, **change.facts} for change in cause.find("change") if change.facts]
        return {"run_id": run.run_id, "task": story.ids[index], "why": cause.to_json(), "changes": changes}


def _entries(services: Services, run: LiveRun) -> Iterator[dict[str, Any]]:
    for line in ledger_lines(services, run):
        entry = orjson.loads(line)
        if entry["event"] != "signed":
            for name in _BULKY:
                entry.pop(name, None)
            yield entry
