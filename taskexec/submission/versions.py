"""Which workers of a cluster understand what is submitted here: those of this protocol version and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskexec.domain.protocol import PROTOCOL, understands, version_of
from taskexec.errors import ProtocolUnknown

__all__ = ["understanding"]


def understanding(rows: Sequence[Mapping[str, Any]], *, own: int = PROTOCOL) -> list[Mapping[str, Any]]:
    """Return the registrations of the workers that understand a version of the protocol.

    Raises:
        ProtocolUnknown: There are workers, and none of them does.
    """
    found = [row for row in rows if understands(version_of(row.get("protocol")), own=own)]
    if rows and not found:
        raise ProtocolUnknown(sorted({version_of(row.get("protocol")) for row in rows}), own=own)
    return found
