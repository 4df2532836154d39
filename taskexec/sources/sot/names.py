"""Which tasks and queues the names in a State of Truth stand for.

A name is looked for as a queue's full name, as an id as it is written, as a queue's short name (`Queue A`), then
without regard to case, blanks, bold type and backticks as an id, as a title, and as the beginning of a title.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from taskexec.plan.draft import DraftTask, Located
from taskexec.plan.plan import normal_id
from taskexec.sources.sot.bullets import Bullet
from taskexec.sources.sot.identity import plain_name

__all__ = ["Names", "Queue", "SotTask"]

_DASHES = ("—", "–", " - ", " -- ")
_LENGTHS_TRIED = 20
"""Most lengths of names with commas that are tried at one place; a hostile file would have thousands."""


@dataclass(slots=True, eq=False)
class SotTask:
    """One task while its file is read."""

    draft: DraftTask
    names: list[str] = field(default_factory=list)
    """What it may be called besides its id and title: parts of the title, the id it had before."""
    dependencies: list[Bullet] = field(default_factory=list)
    """The fields that name what it depends on; resolved when all tasks are known."""
    repeats: str | None = None
    """The id that it would have if an earlier executed task, or one to do, had not got it."""
    is_settled: bool = False
    """Whether its dependencies are given exactly, so that its queue adds none."""

    @property
    def is_satisfied(self) -> bool:
        """Whether it was done before the plan is run."""
        return self.draft.satisfied is not None and self.draft.satisfied.value


@dataclass(slots=True, eq=False)
class Queue:
    """One queue as read; a queue without a name gathers what belongs to none."""

    name: Located[str] | None
    tasks: list[SotTask] = field(default_factory=list)
    is_sequential: bool = False
    dependencies: list[Bullet] = field(default_factory=list)

    @property
    def ends(self) -> list[SotTask]:
        """What a task that waits for the queue waits for: the last task of a sequential one stands for all."""
        return self.tasks[-1:] if self.is_sequential else self.tasks


class Names:
    """All names of a file and what they stand for; each index is made when a name is first looked for in it."""

    def __init__(self, tasks: Iterable[SotTask], queues: Iterable[Queue]) -> None:
        self._tasks = list(tasks)
        self._full_names: dict[str, Queue] = {}
        self._short_names: dict[str, list[Queue]] = {}
        for queue in queues:
            if queue.name is not None:
                self._add_queue(queue, queue.name.value)

    def queues(self, name: str) -> list[Queue]:
        """Return the queues that a name may mean: the one with this full name, else those with this short one."""
        full = self._full_names.get(name)
        if full is not None:
            return [full]
        return [] if normal_id(name) in self._ids else self._short_names.get(plain_name(name), [])

    def tasks(self, name: str) -> list[SotTask]:
        """Return the tasks that a name may mean, by the strictest comparison that finds any."""
        exact = self._ids.get(normal_id(name))
        if exact is not None:
            return self._with_repeats(exact)
        key = plain_name(name)
        found = next((level[key] for level in self._levels if key in level), [])
        return self._with_repeats(found[0]) if len(found) == 1 else found

    def is_known(self, name: str) -> bool:
        """Return whether a name stands for anything."""
        return bool(self.tasks(name) or self.queues(name))

    def lengths(self, first_piece: str) -> list[int]:
        """Return how many pieces the names have that hold commas and begin with a piece, the longest first."""
        lengths = self._lengths.get(plain_name(first_piece), ())
        return sorted(lengths, reverse=True)[:_LENGTHS_TRIED]

    def _with_repeats(self, task: SotTask) -> list[SotTask]:
        """Return a task and the executed ones that had its name before they were given another."""
        name = normal_id(task.draft.id.value)
        same = self._repeats.get(name, [])
        if not same or same[0] is not task:
            same = self._repeats[name] = [task, *same]
        return same

    def _add_queue(self, queue: Queue, name: str) -> None:
        self._full_names.setdefault(name, queue)
        for key in {plain_name(name), plain_name(_short_name(name))}:
            self._short_names.setdefault(key, []).append(queue)

    @cached_property
    def _ids(self) -> dict[str, SotTask]:
        """The first task of each id."""
        return {normal_id(task.draft.id.value): task for task in reversed(self._tasks)}

    @cached_property
    def _repeats(self) -> dict[str, list[SotTask]]:
        repeats: dict[str, list[SotTask]] = {}
        for task in self._tasks:
            if task.repeats is not None:
                repeats.setdefault(task.repeats, []).append(task)
        return repeats

    @cached_property
    def _levels(self) -> tuple[dict[str, list[SotTask]], ...]:
        """The tasks by their names as these are compared: by id, by title, by what else they may be called."""
        levels: tuple[dict[str, list[SotTask]], ...] = ({}, {}, {})
        for task in self._tasks:
            for level, names in zip(levels, _names(task), strict=True):
                for key in dict.fromkeys(map(plain_name, names)):
                    if key:
                        level.setdefault(key, []).append(task)
        return levels

    @cached_property
    def _lengths(self) -> dict[str, set[int]]:
        """How many pieces the names with commas have, by their first piece."""
        lengths: dict[str, set[int]] = {}
        of_tasks = (name for task in self._tasks for names in _names(task) for name in names)
        for name in (*self._full_names, *of_tasks):
            if "," in name or ";" in name:
                pieces = re.split("[,;]", name)
                lengths.setdefault(plain_name(pieces[0]), set()).add(len(pieces))
        return lengths


def _names(task: SotTask) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Return the id, the title and the other names of a task."""
    title = task.draft.title
    return (task.draft.id.value,), () if title is None else (title.value,), task.names


def _short_name(name: str) -> str:
    """Return what stands before the dash of a queue's name: `Queue A` of `Queue A — Build`."""
    words = " ".join(name.split())
    ends = [words.find(dash) for dash in _DASHES if dash in words]
    return words[: min(ends)].strip() if ends else words
