"""The record of what was asked of the API to be changed, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping

from taskexec.store.connection import Connection
from taskexec.store.keys import AUDIT

__all__ = ["AUDIT_MAX", "AuditLog"]

AUDIT_MAX = 100_000
"""Most entries that are kept; the oldest go first."""


class AuditLog:
    """A stream of entries, each a flat object of texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, entry: Mapping[str, str]) -> str:
        """Add an entry; return its id.

        Raises:
            ConnectionLost: The server did not answer.
        """
        fields = [part for item in entry.items() for part in item]
        entry_id = self._connection.call("XADD", AUDIT, "MAXLEN", "~", AUDIT_MAX, "*", *fields)
        return str(entry_id.decode())

    def latest(self, count: int, *, before: str | None = None) -> list[tuple[str, dict[str, str]]]:
        """Return entries with their ids, the newest first.

        Args:
            count: Most of them.
            before: Only such as are older than this id.

        Raises:
            ConnectionLost: The server did not answer.
        """
        last = "+" if before is None else f"({before}"
        rows = self._connection.call("XREVRANGE", AUDIT, last, "-", "COUNT", count)
        return [(row_id.decode(), _fields(row)) for row_id, row in rows]


def _fields(row: object) -> dict[str, str]:
    items = list(row.items()) if isinstance(row, dict) else list(zip(row[::2], row[1::2], strict=True))  # type: ignore[index]
    return {name.decode(): value.decode() for name, value in items}
