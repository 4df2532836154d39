"""Names that come from elsewhere and become parts of paths: which ones may."""

from __future__ import annotations

import re

__all__ = ["is_run_id"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


def is_run_id(text: str) -> bool:
    """Return whether a text can be the id of a run: a plain file name, whoever says that there is such a run."""
    return _RUN_ID.fullmatch(text) is not None
