"""What the tasks of a table are called: by their ids, else by their titles or by what was their id."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from taskexec.plan.draft import DraftTask, PlanDraft
from taskexec.plan.plan import normal_id

__all__ = ["TaskNames"]


class TaskNames:
    """Finds tasks by what cells call them; titles are looked at only when some name is no id."""

    def __init__(self, draft: PlanDraft, old_ids: str | None = None) -> None:
        """Index the tasks.

        Args:
            draft: All tasks of the table.
            old_ids: Key of the metadata that holds what was the id before rows were numbered, or None.
        """
        self.ids: dict[str, DraftTask] = {}
        """The first task of each id."""
        for task in draft.tasks:
            self.ids.setdefault(normal_id(task.id.value), task)
        self._tasks = draft.tasks
        self._old_ids = old_ids

    def __contains__(self, name: str) -> bool:
        return name in self.ids or name in self._others

    @property
    def has_old_ids(self) -> bool:
        """Whether rows were numbered although the table has ids."""
        return self._old_ids is not None

    def find(self, name: str) -> DraftTask | None:
        """Return the task of a name, in the form of ids, or None when there is none or more than one."""
        return self.ids.get(name) or self._others.get(name)

    def is_ambiguous(self, name: str) -> bool:
        """Return whether a name is the number of one row, and what was the id of another."""
        if self._old_ids is None or name not in self.ids or name not in self._others:
            return False
        return self.ids[name] is not self._others[name]

    @cached_property
    def _others(self) -> dict[str, DraftTask]:
        found: dict[str, list[DraftTask]] = {}
        for task in self._tasks:
            for name in dict.fromkeys(self._other_names(task)):
                found.setdefault(name, []).append(task)
        return {name: tasks[0] for name, tasks in found.items() if len(tasks) == 1}

    def _other_names(self, task: DraftTask) -> Iterable[str]:
        title = "" if task.title is None else normal_id(task.title.value)
        old_id = normal_id(task.metadata.get(self._old_ids, "")) if self._old_ids else ""
        return (name for name in (old_id, title) if name)
