"""What a person has chosen to see of a run, moved by keys: pure, without terminal or server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from taskexec.domain.states import TaskStatus

__all__ = ["FILTERS", "Ask", "Pane", "WatchState"]

FILTERS: dict[str, frozenset[TaskStatus]] = {
    "all": frozenset(TaskStatus),
    "running": frozenset({TaskStatus.RUNNING}),
    "failed": frozenset({TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}),
    "queued": frozenset({TaskStatus.QUEUED, TaskStatus.READY}),
    "waiting": frozenset({TaskStatus.WAITING}),
    "done": frozenset({TaskStatus.SUCCEEDED, TaskStatus.SATISFIED}),
}
"""Filters in the order in which a key goes through them."""

_URGENCY = {
    TaskStatus.RUNNING: 0,
    TaskStatus.FAILED: 1,
    TaskStatus.CANCELLED: 2,
    TaskStatus.QUEUED: 3,
    TaskStatus.READY: 3,
    TaskStatus.WAITING: 4,
    TaskStatus.SKIPPED: 5,
    TaskStatus.SUCCEEDED: 6,
    TaskStatus.SATISFIED: 7,
}
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1}
_LONGEST_TEXT = 80


class Pane(StrEnum):
    """What the screen shows."""

    TASKS = "tasks"
    LOG = "log"
    HELP = "help"


class Ask(StrEnum):
    """What a key asks of whoever holds the state."""

    NOTHING = "nothing"
    QUIT = "quit"
    STOP = "stop"
    """Start nothing new; what runs may finish."""
    KILL = "kill"
    """Start nothing new, and kill what runs."""


class WatchState:
    """Filter, order, selection and pane."""

    def __init__(self, ids: Sequence[str], titles: Sequence[str]) -> None:
        """Begin with the tasks of a run by position, none of which is selected."""
        self._ids = ids
        self._texts = [f"{one}\n{title}".lower() for one, title in zip(ids, titles, strict=True)]
        self.pane = Pane.TASKS
        self.filter = "all"
        """Name of the filter by status."""
        self.text = ""
        """What ids or titles have to hold."""
        self.is_typing = False
        """Whether keys are letters of the text."""
        self.is_confirming = False
        """Whether it was asked if the run is to be stopped."""
        self.by_status = True
        """Whether tasks stand by their status, most urgent first, else as in the plan."""
        self.selected: int | None = None
        """Position of the selected task; None follows the top of the list."""
        self.scroll = 0
        """Lines that the log is scrolled up from its end."""
        self.page = 10
        """Rows on a page; whoever draws sets it."""
        self.rows: list[int] = []
        """Positions of the tasks that are listed, in order."""

    def list_tasks(self, statuses: Sequence[TaskStatus], changed_us: Sequence[int]) -> None:
        """List the tasks anew.

        Args:
            statuses: Of all tasks.
            changed_us: When each changed last: of those that are done the latest come first.
        """
        wanted, text = FILTERS[self.filter], self.text.lower()
        rows: Iterable[int] = (index for index, status in enumerate(statuses) if status in wanted)
        if text:
            rows = (index for index in rows if text in self._texts[index])
        self.rows = list(rows)
        if self.by_status:
            done = _URGENCY[TaskStatus.SUCCEEDED]

            def urgency(index: int) -> tuple[int, int]:
                rank = _URGENCY[statuses[index]]
                return rank, -changed_us[index] if rank in {1, done} else index

            self.rows.sort(key=urgency)

    @property
    def cursor(self) -> int:
        """Row of the selected task; 0 when none is selected, or it is not listed."""
        if self.selected is None:
            return 0
        try:
            return self.rows.index(self.selected)
        except ValueError:
            return 0

    def press(self, key: str) -> Ask:
        """Take a key; return what it asks for."""
        if self.is_confirming:
            return self._confirm(key)
        if self.is_typing:
            return self._type(key)
        if self.pane is Pane.LOG:
            return self._press_in_log(key)
        if self.pane is Pane.HELP:
            self.pane = Pane.TASKS
            return Ask.QUIT if key == "q" else Ask.NOTHING
        return self._press_in_tasks(key)

    def _confirm(self, key: str) -> Ask:
        self.is_confirming = False
        return {"y": Ask.STOP, "K": Ask.KILL}.get(key, Ask.NOTHING)

    def _type(self, key: str) -> Ask:
        if key in {"enter", "escape"}:
            self.is_typing = False
            self.text = "" if key == "escape" else self.text
        elif key == "backspace":
            self.text = self.text[:-1]
        elif len(key) == 1 and len(self.text) < _LONGEST_TEXT:
            self.text += key
        return Ask.NOTHING

    def _press_in_log(self, key: str) -> Ask:
        steps = {"up": 1, "k": 1, "down": -1, "j": -1, "page up": self.page, "page down": -self.page, " ": -self.page}
        if key in steps:
            self.scroll = max(self.scroll + steps[key], 0)
        elif key in {"end", "G"}:
            self.scroll = 0
        elif key in {"escape", "left", "enter", "l"}:
            self.pane = Pane.TASKS
        return Ask.QUIT if key in {"q", "end of input"} else Ask.NOTHING

    def _press_in_tasks(self, key: str) -> Ask:
        if key in {"q", "end of input"}:
            return Ask.QUIT
        if key == "escape":
            self.text, self.filter, self.selected = "", "all", None
        elif key == "c":
            self.is_confirming = True
        elif key == "/":
            self.is_typing = True
        elif key == "f":
            names = list(FILTERS)
            self.filter = names[(names.index(self.filter) + 1) % len(names)]
        elif key == "s":
            self.by_status = not self.by_status
        elif key in {"?", "h"}:
            self.pane = Pane.HELP
        elif key in {"enter", "l", "right"} and self.rows:
            self.selected, self.pane, self.scroll = self.rows[self.cursor], Pane.LOG, 0
        else:
            self._move(key)
        return Ask.NOTHING

    def _move(self, key: str) -> None:
        jumps = {"page up": -self.page, "page down": self.page, " ": self.page, "home": -len(self.rows)}
        jumps |= {"g": -len(self.rows), "end": len(self.rows), "G": len(self.rows)}
        step = _MOVES.get(key) or jumps.get(key)
        if step and self.rows:
            at = self.cursor if self.selected is not None else -1 if step == 1 else 0
            self.selected = self.rows[min(max(at + step, 0), len(self.rows) - 1)]
