"""The tasks that stand in lists with boxes: backlog, work in progress, and the ledger of what is done.

A task is known by its id, else by its title (`identity`). A ledger repeats work, so that a title may be executed
at several times: the first has the title as its id, the others get their time behind it, `Backup (2025-10-05)`, and a
number if that is not enough; a task to do has precedence. What the ledger says of a task of a queue belongs to that
task, which is then done; a line may name several of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskexec.plan.draft import DraftTask, Located
from taskexec.sources.sot.bullets import BulletReader
from taskexec.sources.sot.entries import Entry
from taskexec.sources.sot.fields import DESCRIPTION, Parts, split_entry
from taskexec.sources.sot.identity import Identity, fit_id, identify
from taskexec.sources.sot.names import SotTask
from taskexec.sources.sot.recorded import Recorded
from taskexec.sources.sot.tasks import Role, TaskReader
from taskexec.sources.values.amounts import forbidden_in_id, show

__all__ = ["Item", "ItemReader", "settle_ids"]

_REMARKS = frozenset({"notes", "note", DESCRIPTION})
"""Fields that may say what else is done."""
_TIME_MARKS = "*_`()[] "


@dataclass(slots=True)
class Item:
    """A task with a box."""

    task: SotTask
    is_done: bool
    has_own_id: bool
    """Whether its id is stated; else its title stands for it."""
    time: str = ""
    """The instant that it begins with, as written."""


class ItemReader:
    """Turns entries into tasks."""

    def __init__(self, bullets: BulletReader, tasks: TaskReader, queued: Mapping[str, SotTask]) -> None:
        """Take the tasks of the queues by their ids; one of them in an item's name is its id."""
        self.left_out: Counter[str] = Counter()
        """Entries that are no tasks, by what they are."""
        self._bullets = bullets
        self._tasks = tasks
        self._queued = queued
        self.recorded = Recorded(bullets, queued)
        """What the ledger says of the queues' tasks."""

    def read_all(self, entries: Iterable[Entry]) -> list[Item]:
        """Return the items of all entries that have a name."""
        items = []
        text = self._bullets.places.text
        for entry in entries:
            parts = split_entry(entry, text)
            written = text[parts.name[0] : parts.name[1]]
            identity = identify(written, self._queued)
            if identity is None:
                self._leave_out(entry, parts, written)
            elif entry.is_done and self._queued:
                items += self._read_ticked(entry, parts, identity, written)
            else:
                items.append(self._read(entry, parts, identity))
        return items

    def _read_ticked(self, entry: Entry, parts: Parts, identity: Identity, written: str) -> list[Item]:
        """Return the items of a ticked line of a file with queues: one for each of their tasks that it says is done."""
        statement = self.recorded.read(written, parts.name[0])
        self.recorded.note(*parts.name)
        for bullet in parts.fields:
            if bullet.key in _REMARKS:
                self.recorded.note(bullet.start, bullet.end)
        found = [self._read(entry, parts, name) for name in (statement.identities if statement else [identity])]
        if statement and statement.time:
            for item in found:
                item.time = item.time or statement.time
                item.task.draft.metadata.setdefault("executed_at", statement.time)
        return found

    def _read(self, entry: Entry, parts: Parts, identity: Identity) -> Item:
        place = self._bullets.places.at(parts.name[0])
        name = fit_id(identity.id or identity.title)
        forbidden = None if name.isprintable() else forbidden_in_id(name)
        if forbidden is not None:
            message = f"{show(name)} holds the control character {show(forbidden)}"
            self._bullets.fault("sot.character", message, place, hint="write the name with visible characters")
        draft = DraftTask(id=Located(name, place))
        if identity.title:
            draft.title = draft.id if identity.title == name else Located(identity.title, place)
        if entry.is_done:
            draft.satisfied = Located(True, place)
        task = SotTask(draft, identity.names)
        self._tasks.read(task, parts.fields, Role.EXECUTED if entry.is_done else Role.PLANNED)
        time = "" if parts.time is None else self._time(*parts.time)
        if time:
            _put_first(draft.metadata, "executed_at" if entry.is_done else "time", time)
        if identity.description:
            _put_first(draft.metadata, DESCRIPTION, identity.description)
        return Item(task, entry.is_done, identity.id is not None, time)

    def _time(self, start: int, end: int) -> str:
        return " ".join(self._bullets.places.text[start:end].strip(_TIME_MARKS).split())

    def _leave_out(self, entry: Entry, parts: Parts, written: str) -> None:
        """Count an entry without a name; one whose fields say something is a fault."""
        if "<" in written:
            self.left_out["placeholder"] += 1
        elif any(self._bullets.text(field) for field in parts.fields):
            message = f"a task has no name, only {show(parts.fields[0].key)}"
            hint = "write its name behind the box: `- [ ] Name — Rationale: …`"
            self._bullets.fault("sot.no_name", message, self._bullets.places.at(entry.start), hint=hint)
        else:
            self.left_out["empty box"] += 1


def _put_first(metadata: dict[str, str], key: str, text: str) -> None:
    """Add a text to metadata, before one that stands there already."""
    further = metadata.get(key)
    metadata[key] = text if further is None else f"{text}; {further}"


def settle_ids(items: Iterable[Item], queued: Mapping[str, SotTask]) -> list[SotTask]:
    """Give executed items ids of their own and tell the queues' tasks what is done of them.

    Args:
        items: In source order; changed in place.
        queued: The tasks of the queues, by normal id; changed in place.

    Returns:
        The tasks that stand in no queue.
    """
    items = list(items)
    waiting = {item.task.draft.id.value: item for item in items if not item.is_done}
    taken = {*waiting, *queued}
    merged: set[str] = set()
    repeats: Counter[str] = Counter()
    tasks = []
    for item in items:
        name = item.task.draft.id.value
        if item.is_done and name in queued and name not in merged:
            merged.add(name)
            _merge(queued[name], item.task)
            continue
        tasks.append(item.task)
        twin = waiting.get(name)
        is_contradiction = twin is not None and twin.has_own_id and item.has_own_id  # validation refuses it
        if item.is_done and not is_contradiction:
            if name in taken:
                item.task.repeats = name
                item.task.draft.id = Located(_distinct(item, taken, repeats), item.task.draft.id.place)
            taken.add(item.task.draft.id.value)
    return tasks


def _distinct(item: Item, taken: set[str], repeats: Counter[str]) -> str:
    """Return an id that no task has: the item's with its time, and with a number if need be."""
    name = item.task.draft.id.value
    ending = f" ({item.time})" if item.time else ""
    found = fit_id(name, ending=ending)
    base = found
    while found in taken:
        repeats[base] += 1
        found = fit_id(name, ending=f"{ending} #{repeats[base] + 1}")
    return found


def _merge(task: SotTask, record: SotTask) -> None:
    """Tell a queue's task what the ledger records of it; what the queue says of it stays."""
    draft, done = task.draft, record.draft
    draft.satisfied = done.satisfied
    draft.title = draft.title or done.title
    draft.labels = draft.labels or done.labels
    draft.acceptance_criteria = draft.acceptance_criteria or done.acceptance_criteria
    draft.requirements = draft.requirements or done.requirements
    draft.metadata = {**done.metadata, **draft.metadata}
    task.names += record.names
    task.dependencies += record.dependencies
