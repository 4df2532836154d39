"""What a run has left behind that its faults can be judged by: ledger, records, and marks of the tasks themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.names import RESULT

__all__ = ["count_marks", "proven_successes", "read_ledger"]


def read_ledger(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's ledger at home."""
    with (folder / "ledger.jsonl").open("rb") as file:
        return [orjson.loads(line) for line in file]


def proven_successes(folder: Path, folder_of: Mapping[str, str]) -> Counter[str]:
    """Return how many attempts of each task have a record at home that says that they succeeded.

    Args:
        folder: The run's folder.
        folder_of: Task id -> name of its folder under `tasks`.
    """
    found: Counter[str] = Counter()
    for task, name in folder_of.items():
        for path in (folder / "tasks" / name).glob(f"attempt-*/{RESULT}"):
            found[task] += orjson.loads(path.read_bytes()).get("status") == "succeeded"
    return found


def count_marks(folder: Path, tasks: Iterable[str]) -> Counter[str]:
    """Return how often each task says that it was executed: the lines of the file of its name in a folder."""
    found: Counter[str] = Counter()
    for task in tasks:
        path = folder / task
        if path.is_file():
            found[task] = len(path.read_bytes().splitlines())
    return found
