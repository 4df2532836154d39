"""Which known id an unknown one may have been meant for, at a bounded cost."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cached_property

__all__ = ["Suggestions"]

_COMPARISONS = 10_000
"""Most pairs compared for one plan; measured at about 30 µs each for long ids that look alike."""
_LENGTH_DIFFERENCE = 3
_LIKENESS = 0.72
"""Least `difflib` ratio (0..1) that counts as likely: one letter wrong in four does."""


class Suggestions:
    """Likely meanings of unknown ids; gives up quietly once its comparisons are used up."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._found: dict[str, str | None] = {}
        self._comparisons_left = _COMPARISONS

    def find(self, unknown: str) -> str | None:
        """Return the most likely known id, or None."""
        if unknown not in self._found:
            letters = _letters(unknown)
            exact = self._by_letters.get(letters) if letters else None
            self._found[unknown] = exact or self._closest(unknown)
        return self._found[unknown]

    @cached_property
    def _names(self) -> list[str]:
        return list(self._known)  # only now: most plans need no suggestion

    @cached_property
    def _by_letters(self) -> dict[str, str]:
        return {_letters(name): name for name in reversed(self._names)}

    def _closest(self, unknown: str) -> str | None:
        if not self._comparisons_left:
            return None
        size = len(unknown)
        alike = [name for name in self._names if abs(len(name) - size) <= _LENGTH_DIFFERENCE]
        alike = alike[: self._comparisons_left]
        self._comparisons_left -= len(alike)
        return next(iter(difflib.get_close_matches(unknown, alike, n=1, cutoff=_LIKENESS)), None)


def _letters(name: str) -> str:
    """Return a name without what people mistype first: case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name)).casefold()
