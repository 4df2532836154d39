"""`--timeout` and `--deadline`, `--tag` and `--weight`: how much time and what part of the cluster a run has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import click

from taskexec.errors import UsageError

__all__ = ["RunLimits", "run_limit_options"]


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What the command line says of the time, and of the part of the cluster, that a run has."""

    timeout_s: float | None = None
    """Seconds from its start; None says nothing."""
    deadline_at: float | None = None
    """Seconds since the epoch; None is never."""
    tag: str | None = None
    """What it is counted under beside its user; None says nothing."""
    weight: float | None = None
    """How much of the cluster it may have beside other runs; None says nothing."""

    @property
    def settings(self) -> dict[str, object]:
        """The settings that it stands for."""
        return {"run.timeout_s": self.timeout_s, "run.tag": self.tag, "run.weight": self.weight}


def run_limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--timeout`, `--deadline`, `--tag` and `--weight`, given to the command as `limits: RunLimits`."""

    @click.option("--timeout", metavar="DURATION", help="Stop the run, as failed, after so long: 90, 15m, 2h.")
    @click.option("--deadline", metavar="INSTANT", help="The same at an instant: 2026-03-01T18:00Z.")
    @click.option("--tag", metavar="TAG", help="Count the run under this, beside your user, for shares of a cluster.")
    @click.option("--weight", type=click.FloatRange(0.01, 100), metavar="N", help="Its share beside other runs; 1.")
    @functools.wraps(command)
    def with_limits(
        *arguments: Any,
        timeout: str | None,
        deadline: str | None,
        tag: str | None,
        weight: float | None,
        **options: Any,
    ) -> Any:
        limits = replace(_limits(timeout, deadline), tag=tag, weight=weight)
        return command(*arguments, limits=limits, **options)

    return with_limits


def _limits(timeout: str | None, deadline: str | None) -> RunLimits:
    from taskexec.sources.values.durations import parse_duration_s
    from taskexec.sources.values.instants import parse_instant

    try:
        timeout_s = None if timeout is None else parse_duration_s(timeout)
    except ValueError as error:
        raise UsageError(f"`--timeout {timeout}`: {error}", hint="write a duration such as 90, 15m or 2h") from error
    try:
        deadline_at = None if deadline is None else parse_instant(deadline).at
    except ValueError as error:
        raise UsageError(f"`--deadline {deadline}`: {error}") from error
    return RunLimits(timeout_s, deadline_at)
