"""A cause: one sentence of an answer, the figures in it, and what it comes from in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Cause"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One node of the tree of causes."""

    kind: str
    """What it is about, for programs: `waiting`, `placing`, `worker`, `change` and the like."""
    text: str
    """A sentence for people, without a full stop."""
    causes: tuple[Cause, ...] = ()
    """What it comes from, most important first."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Its figures, as JSON can hold them."""

    def to_json(self) -> dict[str, Any]:
        """Return it as programs read it."""
        below = {"causes": [cause.to_json() for cause in self.causes]} if self.causes else {}
        return {"kind": self.kind, "text": self.text, **self.facts, **below}

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the lines that people read, what is below it further in."""
        yield "  " * depth + self.text
        for cause in self.causes:
            yield from cause.lines(depth + 1)

    def find(self, kind: str) -> Iterator[Cause]:
        """Yield all causes of a kind, from the top."""
        if self.kind == kind:
            yield self
        for cause in self.causes:
            yield from cause.find(kind)
