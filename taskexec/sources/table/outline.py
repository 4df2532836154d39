"""Rows of a table that sum up the rows below them: they are no tasks, and links to them mean what they sum up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.plan.plan import normal_id
from taskexec.sources.values.amounts import show

__all__ = ["OutlineRow", "drop_summary_rows"]


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """What a row says of its own place in the outline."""

    level: int | None
    """Depth, from 0; None when the table does not say."""
    is_summary: bool | None
    """Whether it sums up the rows below it; None when the table does not say."""
    text: str
    """What it says of that, as written; empty when it says nothing."""

    @property
    def says_truth(self) -> bool:
        """Whether what it says is yes, no or nothing."""
        return not self.text or self.is_summary is not None


def drop_summary_rows(draft: PlanDraft, rows: Sequence[OutlineRow]) -> int:
    """Take the rows that sum up others out of a draft; return how many there were.

    What depends on such a row depends on all tasks below it, and all tasks below it depend on what it depends on.

    Args:
        draft: Its tasks stand in the order of the table; changed in place.
        rows: One for each task.
    """
    summaries = [index for index in range(len(rows)) if _is_summary(rows, index)]
    if not summaries:
        return 0
    below = {index: _tasks_below(rows, index) for index in summaries}
    tasks = draft.tasks
    for index, members in below.items():
        if tasks[index].payload:
            _report_command(draft, tasks[index])
        if tasks[index].depends_on and not members:
            _report_lost_links(draft, tasks[index])
        for member in members:
            tasks[member].depends_on += tasks[index].depends_on
    stands_for = {normal_id(tasks[index].id.value): [tasks[at] for at in members] for index, members in below.items()}
    dropped = set(summaries)
    draft.tasks = [task for index, task in enumerate(tasks) if index not in dropped]
    for task in draft.tasks:
        if any(normal_id(name.value) in stands_for for name in task.depends_on):
            task.depends_on = [real for name in task.depends_on for real in _spell_out(draft, task, name, stands_for)]
    return len(summaries)


def _is_summary(rows: Sequence[OutlineRow], index: int) -> bool:
    row = rows[index]
    if row.is_summary is not None:
        return row.is_summary
    following = rows[index + 1].level if index + 1 < len(rows) else None
    return row.level is not None and following is not None and following > row.level


def _tasks_below(rows: Sequence[OutlineRow], index: int) -> list[int]:
    """Return the tasks that a row sums up: those that follow it and stand deeper."""
    level = rows[index].level
    members: list[int] = []
    if level is None:
        return members
    for at in range(index + 1, len(rows)):
        deeper = rows[at].level
        if deeper is None or deeper <= level:
            break
        if not _is_summary(rows, at):
            members.append(at)
    return members


def _spell_out(
    draft: PlanDraft, task: DraftTask, name: Located[str], stands_for: dict[str, list[DraftTask]]
) -> list[Located[str]]:
    """Return the tasks that a name stands for: those below a summary row, else itself."""
    members = stands_for.get(normal_id(name.value))
    if members is None:
        return [name]
    if not members or any(member is task for member in members):
        what = "sums it up" if members else "sums up nothing"
        message = f"task {show(task.id.value)} depends on row {show(name.value)}, which {what}"
        hint = "give it a predecessor that is a task; check that predecessors are ids of rows, not of an outline"
        draft.faults.append(Fault("csv.summary", message, (name.place,), hint))
        return []
    return [Located(member.id.value, name.place) for member in members]


def _report_command(draft: PlanDraft, task: DraftTask) -> None:
    message = f"row {show(task.id.value)} sums up other rows, but has instructions of its own"
    hint = "move them to a task of their own"
    draft.faults.append(Fault("csv.summary", message, (task.id.place,), hint))


def _report_lost_links(draft: PlanDraft, task: DraftTask) -> None:
    message = f"row {show(task.id.value)} sums up other rows, but nothing says which: its predecessors are lost"
    hint = "export the column of outline levels as well, or give the predecessors to the tasks themselves"
    draft.faults.append(Fault("csv.summary", message, (task.id.place,), hint))
