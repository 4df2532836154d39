"""Whether a file that was found beside a plan, and not named by anybody, is meant for it."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

__all__ = ["are_hooks_of", "is_manifest", "nearly_named"]

_MANIFEST_KEYS = frozenset({"layers", "agents", "default_agent"})


def are_hooks_of(text: str, names: Collection[str]) -> bool:
    """Return whether a hooks file names one of a plan's tasks or lanes, or cannot be read at all.

    A file that cannot be read is taken, so that its reader says what is wrong with it.
    """
    keys = _keys(text)
    return keys is None or any(key in names for key in keys)


def nearly_named(text: str, names: Collection[str]) -> tuple[str, str] | None:
    """Return a key of a hooks file and the name of a task or lane that differ by case, blanks and dashes only."""
    known = {_plain(name): name for name in names}
    return next(((key, known[_plain(key)]) for key in _keys(text) or () if _plain(key) in known), None)


def is_manifest(text: str) -> bool:
    """Return whether a JSON text has a key of a manifest; many tools call a file of theirs `manifest.json`."""
    return bool(_MANIFEST_KEYS & set(_keys(text) or ()))


def _keys(text: str) -> list[Any] | None:
    """Return the keys of a JSON object, none for other JSON, and None for what is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return list(value) if isinstance(value, dict) else []


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
