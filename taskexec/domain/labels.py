"""What a label of a worker may look like, such as `ssd` or `zone=a`: the same for who gives it and who asks for it."""

from __future__ import annotations

__all__ = ["LABEL_HINT", "LABEL_MAX", "label_problem"]

LABEL_MAX = 64
"""Most characters of a label."""

LABEL_HINT = f"write 1 to {LABEL_MAX} characters, such as `ssd` or `zone=a`, and several labels one by one"
"""What to do about a label that is none."""

_SEPARATORS = ",;|"
"""What parts labels in one text."""


def label_problem(label: str) -> str | None:
    """Return what is wrong with a label, in words that fit behind it, or None."""
    if not label:
        return "is empty"
    if len(label) > LABEL_MAX:
        return f"has {len(label):,} characters, {LABEL_MAX} are the most"
    if any(character.isspace() for character in label):
        return "holds a blank"
    if not label.isprintable():
        return "holds a control character"
    separator = next((character for character in label if character in _SEPARATORS), None)
    return None if separator is None else f"holds `{separator}`, which parts labels"
