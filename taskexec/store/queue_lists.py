"""How the lists of a queue are called in Redis: kombu keeps one for each step of priority."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PRIORITY_STEPS", "list_of", "lists_before", "lists_of"]

PRIORITY_STEPS = (0, 3, 6, 9)
"""The steps in which kombu keeps a list of its own, the first to be taken first."""
_SEPARATOR = "\x06\x16"
"""What kombu puts between the name of a queue and the step."""


def list_of(queue: str, step: int) -> str:
    """Return the list that holds the messages of a queue at one of the steps."""
    return f"{queue}{_SEPARATOR}{step}" if step else queue


def lists_of(queue: str) -> list[str]:
    """Return all lists of a queue, the first to be taken first."""
    return [list_of(queue, step) for step in PRIORITY_STEPS]


def lists_before(name: str) -> Sequence[str]:
    """Return the lists of the same queue that are taken before one; none before the first."""
    lists = lists_of(name.partition(_SEPARATOR)[0])
    return lists[: lists.index(name)] if name in lists else []
