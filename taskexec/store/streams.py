"""Entries of streams, as Redis answers with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["stream_rows"]


def stream_rows(reply: Any) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield id and fields of each entry in the answer of an `XREAD`, whatever form the client gives it."""
    for _, rows in reply.items() if isinstance(reply, Mapping) else (reply or ()):
        for id_, fields in rows:
            pairs = fields.items() if isinstance(fields, Mapping) else zip(fields[::2], fields[1::2], strict=True)
            yield _text(id_), {_text(name): value for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
