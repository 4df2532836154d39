"""Server-sent events, as they come over a connection."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Event", "read_events"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    name: str
    data: str
    id: str | None
    """Id of this event, or of the last one before it that had one."""


def read_events(parts: Iterable[bytes], *, until: float | None = None) -> Iterator[Event]:
    """Yield the events of a stream, wherever its bytes are cut.

    Args:
        parts: Bytes as they come; heartbeats are comments.
        until: Instant of the monotonic clock after which nothing more is read; None reads to the end.

    Source: the WHATWG's HTML standard, "Server-sent events".
    """
    rest = b""
    fields: dict[str, list[str]] = {}
    last_id: str | None = None
    for part in parts:
        *lines, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n")
        for raw in lines:
            if raw:
                name, _, value = raw.decode(errors="replace").partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
                continue
            last_id = fields["id"][-1] if "id" in fields else last_id
            if "data" in fields:
                yield Event(fields.get("event", ["message"])[-1], "\n".join(fields["data"]), last_id)
            fields = {}
        if until is not None and time.monotonic() >= until:
            return
