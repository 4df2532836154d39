"""`tek convert`: a plan of any kind as the same plan of another kind."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from taskexec.cli.options import SettingsRequest, behaviour_options, settings_options
from taskexec.cli.output import say, write_file
from taskexec.cli.plan_source import PlanSource, load_plan, plan_source_options, report_warnings

__all__ = ["convert"]


@click.command()
@plan_source_options
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["csv", "yaml", "json", "sot"]),
    help="Form of the new plan: a table, a workflow, plan.json or a State of Truth.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="File to write instead of stdout.")
@settings_options
@behaviour_options
def convert(source: PlanSource, form: str, out: Path | None, settings_request: SettingsRequest) -> None:
    """Write a plan of any kind as another kind; reading it back gives the same plan.

    Hooks, manifest and included files become part of the new plan. A State of Truth groups tasks by lane.
    """
    from taskexec.sources import write_plan

    plan = load_plan(source, settings_request.load())
    report_warnings(plan.warnings)
    text = write_plan(plan, form).encode()
    if out is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        return
    write_file(out, text)
    say(f"wrote `{out}`: {len(plan.tasks):,} tasks, {plan.graph.edge_count:,} dependencies")
