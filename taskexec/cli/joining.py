"""The option with which a worker joins by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["join_option"]


def join_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--join`, given to the command as `join: str | None`."""
    return click.option(
        "--join", metavar="TOKEN", help="Join by what `tek token` printed, or by @FILE with it; also TEK_JOIN."
    )(command)
