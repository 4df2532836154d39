"""The records of what was asked of the API, by whom, and what came of it.

Changes have a record of their own: whoever may change nothing cannot push entries out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from taskexec.store.connection import Connection
from taskexec.store.keys import AUDIT, AUDIT_ACCESS

__all__ = ["AUDIT_MAX", "AuditKind", "AuditLog"]

AuditKind = Literal["changes", "access"]
"""What was asked to be changed; logins, and what was refused to callers of too low a role."""
AUDIT_MAX: Mapping[AuditKind, int] = {"changes": 100_000, "access": 10_000}
"""Most entries that are kept; the oldest go first."""
_KEYS: Mapping[AuditKind, str] = {"changes": AUDIT, "access": AUDIT_ACCESS}


class AuditLog:
    """A stream of entries, each a flat object of texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, entry: Mapping[str, str], kind: AuditKind = "changes") -> str:
        """Add an entry; return its id.

        Raises:
            ConnectionLost: The server did not answer.
        """
        fields = [part for item in entry.items() for part in item]
        entry_id = self._connection.call("XADD", _KEYS[kind], "MAXLEN", "~", AUDIT_MAX[kind], "*", *fields)
        return str(entry_id.decode())

    def latest(
        self, count: int, *, kind: AuditKind = "changes", before: str | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """Return entries with their ids, the newest first.

        Args:
            count: Most of them.
            kind: Of which record.
            before: Only such as are older than this id.

        Raises:
            ConnectionLost: The server did not answer.
        """
        if before is not None and not before.strip("0-"):
            return []  # nothing is older than the first id there can be
        last = "+" if before is None else f"({before}"
        rows = self._connection.call("XREVRANGE", _KEYS[kind], last, "-", "COUNT", count)
        return [(row_id.decode(), _fields(row)) for row_id, row in rows]


def _fields(row: object) -> dict[str, str]:
    items = list(row.items()) if isinstance(row, dict) else list(zip(row[::2], row[1::2], strict=True))  # type: ignore[index]
    return {name.decode(): value.decode() for name, value in items}
