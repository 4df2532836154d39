"""What a ledger at home holds when its run's folder is taken up again, as the transitions that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from taskexec.completion.ledger import SIGNED, LedgerEnd, check_chain, read_end
from taskexec.domain.events import Transition, TransitionKind

__all__ = ["FormerLedger", "transition_of"]

_BEGINS_A_LOG = {TransitionKind.SUBMITTED, TransitionKind.STARTED}


class FormerLedger:
    """The whole entries of a ledger file; none when there are none, or none that can be gone on with."""

    def __init__(self, path: Path, task_ids: Sequence[str]) -> None:
        """Read a ledger of a run with these tasks.

        One whose chain does not hold is put aside as `ledger.damaged.jsonl`: the server's log makes a new one.
        """
        self._path = path
        self._task_ids = task_ids
        self.end = read_end(path)
        """Where it is gone on with."""
        self.is_damaged = False
        """Whether there was one whose chain does not hold."""
        self.life: str | None = None
        """The stream's id of the first entry of the server's log that it was made of last."""
        if check_chain(self._lines()) is not None:
            path.with_name("ledger.damaged.jsonl").write_bytes(b"".join(self._lines()))
            self.end = LedgerEnd()
            self.is_damaged = True

    def _lines(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while file.tell() < self.end.size_bytes:
                yield file.readline()

    def __iter__(self) -> Iterator[Transition]:
        """Yield its transitions, in order; the detail of an attempt's end has only what the ledger says of it."""
        index_of = {task_id: index for index, task_id in enumerate(self._task_ids)}
        self.life = None
        for line in self._lines():
            content = orjson.loads(line)
            if self.life is None or content["event"] in _BEGINS_A_LOG:
                self.life = content["entry"]
            if content["event"] != SIGNED:
                yield transition_of(content, index_of)


def transition_of(content: Mapping[str, Any], index_of: Mapping[str, int]) -> Transition:
    """Return the transition that an entry of a ledger tells of, which must not be a signature.

    Args:
        content: The entry.
        index_of: Positions of tasks in the plan, by their ids.

    The detail of an attempt's end has only what the ledger says of it.
    """
    kind = TransitionKind(content["event"])
    index = index_of[content["task"]] if "task" in content else -1
    at_us = round(datetime.fromisoformat(content["at"]).timestamp() * 1e6)
    detail = ""
    if kind is TransitionKind.SKIPPED:
        detail = str(index_of[content["because_of"]])
    elif kind is TransitionKind.ENDED:
        detail = content["status"]
    elif kind is TransitionKind.QUEUED and "on" in content:
        detail = orjson.dumps({name: content[name] for name in _PLACED if name in content}).decode()
    elif "taken_from" in content:
        detail = orjson.dumps(content["taken_from"]).decode()
    elif "evidence" in content:
        detail = orjson.dumps({"attempt": content["attempt"], **_told(content)}).decode()
    return Transition(kind, at_us, content.get("worker", ""), index, content.get("attempt", 0), detail)


_PLACED = ("on", "waited_us", "after")
"""What the ledger says of a task that was placed: on which workers, after how long a wait, what had made room."""


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    names = ("reason", "error", "exit_status", "signal", "started_at", "finished_at")
    return {name: content[name] for name in names if name in content}
