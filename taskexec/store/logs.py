"""The logs of several runs, followed together: for monitors, which look at all of them with one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskexec.domain.events import LogEntry
from taskexec.domain.names import is_run_id
from taskexec.store.connection import Connection
from taskexec.store.keys import ACTIVE, RUNS, run_key
from taskexec.store.streams import stream_rows

__all__ = ["RunLogs"]


class RunLogs:
    """Reads only: a user of the server that may look on is enough."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known(self, most: int) -> list[str]:
        """Return the newest runs and all that have not ended, newest first; some may have expired."""
        newest, active = self._connection.pipeline([("ZREVRANGE", RUNS, 0, most - 1), ("SMEMBERS", ACTIVE)])
        found = [run.decode() for run in (*newest, *sorted(active, reverse=True))]
        return [run for run in dict.fromkeys(found) if is_run_id(run)]

    def read(self, after: Mapping[str, str], *, wait_s: float = 0.0, most: int = 100) -> dict[str, list[LogEntry]]:
        """Return what came after an entry id of each run, oldest first, at most so many entries a run.

        Args:
            after: Run id -> the stream's id of the last entry that was read; `0` begins with the first.
            wait_s: Longest wait, in seconds, while there is nothing new in any of them; 0 does not wait.
            most: Most entries of one run in one answer.

        Raises:
            ConnectionLost: The server did not answer.
        """
        if not after:
            return {}
        keys = {run_key(run_id, "log"): run_id for run_id in after}
        block = ["BLOCK", max(int(wait_s * 1000), 1)] if wait_s else []
        reply = self._connection.call("XREAD", "COUNT", most, *block, "STREAMS", *keys, *after.values())
        return {keys[name]: rows for name, rows in _by_stream(reply)}


def _by_stream(reply: Any) -> list[tuple[str, list[LogEntry]]]:
    streams = reply.items() if isinstance(reply, Mapping) else (reply or ())
    found = []
    for name, rows in streams:
        entries = [
            LogEntry(id_, int(row["t"]), row["w"].decode(), row["d"].decode(errors="replace"))
            for id_, row in stream_rows([(name, rows)])
        ]
        found.append((name.decode() if isinstance(name, bytes) else str(name), entries))
    return found
