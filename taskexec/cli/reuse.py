"""`--reuse` and `--diff`: what a plan takes over from an earlier run, asked for and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.output import build_table, say

if TYPE_CHECKING:
    from taskexec.plan import Plan
    from taskexec.settings import Settings
    from taskexec.submission import Takeover

__all__ = ["AUTO", "difference_data", "difference_table", "find_takeover", "reuse_option", "tell_takeover"]

AUTO = "auto"
"""The newest run at home of a plan from the same file."""


def reuse_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--reuse`, given to the command as `reuse: str | None`."""
    return click.option(
        "--reuse",
        metavar="RUN",
        help="Take over results of an earlier run where task, inputs and dependencies are the same; or `auto`.",
    )(command)


def find_takeover(text: str | None, plan: Plan, settings: Settings) -> Takeover | None:
    """Return what a plan takes over from the run that a person means; None for `auto` when there is no such run.

    Raises:
        NotFound: There is no such run at home.
    """
    if text is None:
        return None
    from taskexec.cli.where import find_folder
    from taskexec.cluster import takeover_of
    from taskexec.submission import FormerRun, newest_run_of

    runs_dir: Path = settings.evidence.runs_dir
    former = newest_run_of(plan, runs_dir) if text == AUTO else FormerRun(find_folder(text, settings))
    if former is None:
        say(f"nothing is reused: no earlier run of {plan.source} is at home in {runs_dir}")
        return None
    return takeover_of(plan, former, settings)


def _counts(takeover: Takeover) -> Counter[str]:
    return Counter(str(decision.verdict) for decision in takeover.decisions)


def tell_takeover(takeover: Takeover | None) -> None:
    """Say what is taken over, on standard error."""
    if takeover is not None:
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in _counts(takeover).items())
        say(f"beside run {takeover.former.run_id}: {counts}")


def difference_table(takeover: Takeover) -> Iterator[Any]:
    """Yield what a person sees of a plan beside an earlier run."""
    rows = zip(takeover.plan.tasks, takeover.decisions, strict=True)
    yield build_table(
        ["id", "verdict", "why"],
        ([task.id, str(decision.verdict), decision.why] for task, decision in rows),
        keep={"id", "verdict"},
    )
    yield ", ".join(f"{count:,} {verdict}" for verdict, count in _counts(takeover).items())


def difference_data(takeover: Takeover) -> dict[str, Any]:
    """Return the same for scripts."""
    rows = zip(takeover.plan.tasks, takeover.decisions, strict=True)
    return {
        "run": takeover.former.run_id,
        "counts": dict(_counts(takeover)),
        "tasks": [{"id": task.id, "verdict": str(made.verdict), "why": made.why} for task, made in rows],
    }
