"""`tek why`: why a task waits, runs or has ended as it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit
from taskexec.cli.where import broker_option, find_run
from taskexec.errors import NotFound

if TYPE_CHECKING:
    from taskexec.observability.why import Cause, Story

__all__ = ["why"]


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task_id", metavar="TASK")
@broker_option
@settings_options
@output_option
def why(run_id: str, task_id: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Explain a task of a run: what it waits for, down to the amounts, or why it went as it did.

    RUN is an id, the beginning of one, or `last`. What is indented is what the line above it comes from. Of a task that
    waits for a place on a worker it says which change would start it now.
    """
    from taskexec.cluster.snapshot import take_snapshot
    from taskexec.domain.states import FINAL_RUN_STATUSES
    from taskexec.observability.why import Story, explain

    place = find_run(run_id, settings_request, broker)
    snapshot = take_snapshot(place, with_ledger=True)
    story = Story(place.run_id, snapshot.plan, snapshot.ledger)
    index = _find(story, task_id)
    is_over = snapshot.summary["status"] in FINAL_RUN_STATUSES
    present = None if place.cluster is None or is_over else place.cluster.present(story)
    names = {} if place.cluster is None else place.cluster.names_of(story, index)
    cause = explain(story, index, present, names=names)
    emit(
        output,
        table=lambda: list(cause.lines()),
        data=lambda: _shape(story, index, cause),
        quiet=lambda: [cause.text],
    )


def _shape(story: Story, index: int, cause: Cause) -> dict[str, Any]:
    changes = [{"text": change.text, **change.facts} for change in cause.find("change") if change.facts]
    return {"run_id": story.run_id, "task": story.ids[index], "why": cause.to_json(), "changes": changes}


def _find(story: Story, task_id: str) -> int:
    """Return the position of a task.

    Raises:
        NotFound: The run has no such task; the nearest name is told.
    """
    if task_id in story.index_of:
        return story.index_of[task_id]
    from taskexec.plan.suggestion import Suggestions

    near = Suggestions(story.ids).find(task_id)
    hint = f"did you mean `{near}`?" if near else "`tek events` lists its tasks"
    raise NotFound(f"run `{story.run_id}` has no task `{task_id}`", hint=hint)
