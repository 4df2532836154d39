"""The ledger of a run: as it lies at home once all of it is there, else sealed from the server's log as it is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from taskexec.api.live_run import LiveRun
from taskexec.api.services import Services
from taskexec.completion.ledger import Ledger

__all__ = ["ledger_lines", "ledger_of_task", "ledger_page"]

_MOST_OF_TASK = 1000


def ledger_lines(services: Services, run: LiveRun) -> Iterator[bytes]:
    """Yield the ledger's lines, without line breaks.

    Raises:
        ConnectionLost: The server did not answer.
    """
    folder = services.live.folder(run.run_id)
    if run.is_at_home or _has_ended_at_home(folder):
        yield from _at_home(folder / "ledger.jsonl")
        return
    ledger, after = Ledger(run.timeline.ids), "0"
    while entries := services.cluster.runs.read_log(run.run_id, after):
        after = entries[-1].id
        for entry in entries:
            for line, _ in ledger.seal(entry):
                yield line


def _has_ended_at_home(folder: Path) -> bool:
    """Return whether the last line of the ledger at home is of the run's end, or of the signature behind it."""
    try:
        with (folder / "ledger.jsonl").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 16_384, 0))
            last = file.read().splitlines(keepends=True)[-2:]
    except OSError:
        return False
    return bool(last) and last[-1].endswith(b"\n") and any(b'"event":"run_ended"' in line for line in last)


def _at_home(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line[:-1]


def ledger_page(services: Services, run: LiveRun, *, after: int, limit: int) -> dict[str, Any]:
    """Return at most `limit` entries behind the one with number `after`."""
    lines = list(islice(ledger_lines(services, run), after, after + limit + 1))
    entries = [orjson.loads(line) for line in lines[:limit]]
    return {"entries": entries, "next": entries[-1]["seq"] if len(lines) > limit else None}


def ledger_of_task(services: Services, run: LiveRun, task_id: str) -> list[dict[str, Any]]:
    """Return the last entries about a task."""
    needle = b'"task":' + orjson.dumps(task_id)
    found: deque[dict[str, Any]] = deque(maxlen=_MOST_OF_TASK)
    for line in ledger_lines(services, run):
        if needle in line:
            content = orjson.loads(line)
            if content.get("task") == task_id:
                found.append(content)
    return list(found)
