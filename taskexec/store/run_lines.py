"""Runs as lists show them: a line each, read for many runs in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from taskexec.domain.program import RunHead
from taskexec.store.connection import Connection
from taskexec.store.keys import run_key

__all__ = ["RedisRunLines", "RunLine"]

_ZSETS = ("lease", "queued:cpu", "queued:gpu", "queued:distributed", "assigned")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list."""

    head: RunHead
    user: str
    """Whose share of the cluster it takes."""
    tag: str
    """What it is counted under beside that; empty for nothing."""
    deadline_at: float | None
    """Seconds since the epoch; None when it has none."""
    is_stopping: bool
    """Whether somebody has stopped it, and it has not ended yet."""
    running: int = 0
    """Tasks that run."""
    queued: int = 0
    """Tasks that wait for a slot, or are placed and not begun."""


class RedisRunLines:
    """Reads lines of runs from one server."""

    def __init__(self, connection: Connection) -> None:
        """Read with a connection."""
        self._connection = connection

    def lines(self, run_ids: Sequence[str]) -> dict[str, RunLine]:
        """Return the lines of those runs that the server knows.

        Raises:
            ConnectionLost: It did not answer.
        """
        if not run_ids:
            return {}
        found = self._connection.pipeline([("HGETALL", run_key(run_id, "meta")) for run_id in run_ids])
        lines = {}
        for run_id, flat in zip(run_ids, found, strict=True):
            fields = _text_map(flat)
            if "run" in fields:
                lines[run_id] = _line(fields)
        going = [run_id for run_id, line in lines.items() if line.head.left and line.head.started_at is not None]
        counts = self._connection.pipeline([("ZCARD", run_key(run_id, name)) for run_id in going for name in _ZSETS])
        for at, run_id in enumerate(going):
            running, *queued = map(int, counts[at * len(_ZSETS) : (at + 1) * len(_ZSETS)])
            lines[run_id] = replace(lines[run_id], running=running, queued=sum(queued))
        return lines

    def is_continued(self, run_id: str) -> bool:
        """Return whether what a run had come to on another server counts for it.

        Raises:
            ConnectionLost: The server did not answer.
        """
        return bool(self._connection.call("HGET", run_key(run_id, "meta"), "is_continued") == b"1")

    def now_us(self) -> int:
        """Return the server's time in microseconds since the epoch.

        Raises:
            ConnectionLost: It did not answer.
        """
        seconds, microseconds = self._connection.call("TIME")
        return int(seconds) * 1_000_000 + int(microseconds)


def _line(fields: dict[str, str]) -> RunLine:
    payers = {name[:2]: unquote(name[2:]) for name in fields.get("payers", "").split()}
    deadline_us = fields.get("deadline_us") or fields.get("deadline_at_us")
    return RunLine(
        head=RunHead.from_fields(fields),
        user=payers.get("u:", ""),
        tag=payers.get("t:", ""),
        deadline_at=int(deadline_us) / 1e6 if deadline_us else None,
        is_stopping="stopping" in fields,
    )


def _text_map(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {key.decode(): value.decode(errors="replace") for key, value in items}
