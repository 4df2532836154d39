"""What the queues of a State of Truth mean: the tasks they list, and what holds for each of them.

    1. **Queue A — Build**
       - Tasks: `fetch`, `TASK-001`–`TASK-004`
       - Depends on: `Queue Z`
       - Task `compile` — Compile the sources
         - Command: `make all`

A queue's own bullets are `Tasks`, `Depends on`, `Order`, `Agent`, `Resources` and `Lane`, which gives its tasks another
lane than the queue's name, or `none`; below a bullet `Task` stand the fields of that one task (`tasks`), which the
list may name as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located
from taskexec.sources.sot.bullets import PLACEHOLDER, Bullet, BulletReader, Resources
from taskexec.sources.sot.code import CodeSpan, code_spans
from taskexec.sources.sot.entries import BOX, Entry
from taskexec.sources.sot.fields import DESCRIPTION
from taskexec.sources.sot.keys import DEPENDENCY_KEYS, QUEUE_KEYS
from taskexec.sources.sot.lines import QueueLines
from taskexec.sources.sot.names import Queue, SotTask
from taskexec.sources.sot.tasks import Role, TaskReader
from taskexec.sources.sot.ticks import read_listed, take_tick
from taskexec.sources.values.amounts import forbidden_in_id, show
from taskexec.sources.values.lists import NONE_WORDS

__all__ = ["QueueReader"]

_TITLE_SIGN = re.compile(r"[ \t]*(?:(?:[—–:]|-{1,3})(?=[ \t\n]|\Z)[ \t]*)?")


class QueueReader:
    """Turns the bullets of queues into tasks."""

    def __init__(self, bullets: BulletReader, tasks: TaskReader) -> None:
        self._bullets = bullets
        self._tasks = tasks
        self._named: dict[str, Located[str]] = {}

    def read_all(self, lines: Iterable[QueueLines]) -> list[Queue]:
        """Return the queues that have a name, with their tasks."""
        queues = []
        for queue in lines:
            if queue.is_refused:
                continue
            if queue.name is None:
                self._refuse_orphans(queue)
            else:
                self._register(queue.name)
                queues.append(self._read_queue(queue, queue.name))
        return queues

    def _refuse_orphans(self, queue: QueueLines) -> None:
        for bullet in queue.bullets:
            ids: list[Located[str]] = []
            if isinstance(bullet, Entry):
                ids = self._bullets.codes(bullet.start, bullet.end)
            elif bullet.key == "tasks":
                ids = self._bullets.ids(bullet)
            elif not bullet.key and self._bullets.places.text[bullet.start : bullet.end].startswith("["):
                self._warn_of_stray_box(bullet)
            if ids:
                message = f"tasks such as {show(ids[0].value)} stand under no queue"
                hint = "write `1. **Queue A — Name**` above the list"
                self._bullets.fault("sot.no_queue", message, ids[0].place, hint=hint)

    def _warn_of_stray_box(self, bullet: Bullet) -> None:
        text = self._bullets.text(bullet)
        if BOX.match(text) and text[3:].strip() and not PLACEHOLDER.search(text):
            message = (
                f"{show(text)} stands in the section of the queues under no queue, so that it is not read as a task"
            )
            hint = "move it below another heading, or below a queue as ``- [ ] `id` — Title``"
            self._bullets.warnings.append(Fault("sot.box", message, (self._bullets.places.at(bullet.start),), hint))

    def _register(self, name: Located[str]) -> None:
        first = self._named.setdefault(name.value, name)
        if first is not name:
            message = f"two queues have the name {show(name.value)}"
            hint = "name one of them otherwise, or list all of their tasks below one"
            self._bullets.fault("sot.duplicate_queue", message, first.place, name.place, hint=hint)

    def _read_queue(self, lines: QueueLines, name: Located[str]) -> Queue:
        queue = Queue(name)
        common = DraftTask(id=name, lane=name)
        for bullet in lines.bullets:
            if isinstance(bullet, Bullet):
                self._read_bullet(bullet, queue, common)
        entries = [bullet for bullet in lines.bullets if isinstance(bullet, Entry)]
        named = list(self._named_entries(entries, queue))
        resources = Resources.of(common)
        for task in queue.tasks:
            task.draft.lane, task.draft.agent = common.lane, common.agent
            resources.give_to(task.draft)
        for task, entry in named:
            self._tasks.read(task, _fields(entry), Role.QUEUED)
        return queue

    def _read_bullet(self, bullet: Bullet, queue: Queue, common: DraftTask) -> None:
        """Read one of a queue's own bullets; what holds for all of its tasks goes to `common`."""
        if bullet.key == "tasks":
            self._read_list(bullet, queue)
        elif bullet.key in DEPENDENCY_KEYS:
            queue.dependencies.append(bullet)
        elif bullet.key == "order":
            queue.is_sequential = self._read_order(bullet)
        elif bullet.key == "agent":
            common.agent = self._bullets.word(bullet)
        elif bullet.key == "resources":
            self._bullets.resources(bullet).give_to(common)
        elif bullet.key == "lane":
            lane = self._bullets.word(bullet)
            common.lane = None if lane is None or lane.value.casefold() in NONE_WORDS else lane
        else:
            self._warn_unknown(bullet)

    def _read_list(self, bullet: Bullet, queue: Queue) -> None:
        for name, is_done in read_listed(self._bullets, bullet):
            queue.tasks.append(_task(name))
            if is_done:
                queue.tasks[-1].draft.satisfied = Located(True, name.place)
            if " " in name.value:
                message = f"{show(name.value)} holds blanks and is taken as the id of a task"
                hint = "if it is a command, write `- Task `id`` with `- Command: …` below it"
                self._bullets.warnings.append(Fault("sot.blank_in_id", message, (name.place,), hint))

    def _named_entries(self, entries: Iterable[Entry], queue: Queue) -> Iterator[tuple[SotTask, Entry]]:
        """Yield the task of each bullet `Task`: the listed one of that id, else a new one of the queue."""
        listed = {task.draft.id.value: task for task in reversed(queue.tasks)}
        for entry in entries:
            span, name = self._entry_id(entry)
            if name is None:
                continue
            task = listed.pop(name.value, None)  # a second bullet for the id makes a second task: validation refuses it
            if task is None:
                task = _task(name)
                queue.tasks.append(task)
            self._read_title(task, entry, span)
            yield task, entry

    def _entry_id(self, entry: Entry) -> tuple[CodeSpan, Located[str] | None]:
        """Return where a bullet's id stands, and the id; a placeholder is none."""
        text, at = self._bullets.places.text, self._bullets.places.at
        spans = code_spans(text, entry.start, entry.end)
        if not spans or spans[0].outer_start != entry.start:
            message = f"{show(text[entry.start : entry.end])} has an open backtick"
            self._bullets.fault("sot.task", message, at(entry.start), hint="write `- Task `id` — Title`")
            return CodeSpan(entry.start, entry.start, entry.start, entry.start), None
        value = " ".join(text[spans[0].start : spans[0].end].split())
        place = at(spans[0].start)
        if PLACEHOLDER.search(value):
            self._bullets.placeholders += 1
        elif forbidden := forbidden_in_id(value):
            message = f"id {show(value)} holds the control character {show(forbidden)}"
            self._bullets.fault("sot.character", message, place, hint="write the id with visible characters")
        else:
            return spans[0], Located(value, place)
        return spans[0], None

    def _read_title(self, task: SotTask, entry: Entry, span: CodeSpan) -> None:
        text = self._bullets.places.text
        sign = _TITLE_SIGN.match(text, span.outer_end, entry.end)
        start = sign.end() if sign else span.outer_end
        title, is_ticked = take_tick(self._bullets.text(Bullet("", start, start, entry.end)))
        if entry.is_done or is_ticked:
            task.draft.satisfied = Located(True, self._bullets.places.at(span.start))
        if title:
            task.draft.title = Located(title, self._bullets.places.at(start))

    def _read_order(self, bullet: Bullet) -> bool:
        word = self._bullets.word(bullet)
        if word is not None and word.value.lower() not in ("sequential", "parallel"):
            message = f"{show(word.value)} is not an order; `sequential` or `parallel` was expected"
            hint = "write `Order: sequential`, or remove it: the tasks of a queue are parallel by default"
            self._bullets.fault("sot.order", message, word.place, hint=hint)
        return word is not None and word.value.lower() == "sequential"

    def _warn_unknown(self, bullet: Bullet) -> None:
        places = self._bullets.places
        written = places.text[bullet.key_start : bullet.end].strip()
        if written and not PLACEHOLDER.fullmatch(written):
            message = f"{show(written)} means nothing under a queue"
            hint = f"known are {', '.join(f'`{key.capitalize()}:`' for key in QUEUE_KEYS)}"
            if written.startswith("["):
                message = f"{show(written)} has no id in backticks, so that it is not read as a task of the queue"
                hint = "write ``- [ ] `id` — Title`` or ``- Task `id` — Title``; or move it below another heading"
            fault = Fault("sot.unknown_key", message, (places.at(bullet.key_start),), hint)
            self._bullets.warnings.append(fault)


def _task(name: Located[str]) -> SotTask:
    return SotTask(DraftTask(id=name))


def _fields(entry: Entry) -> list[Bullet]:
    """Return the bullets below a task; one without a key is its description."""
    return [
        bullet if bullet.key else Bullet(DESCRIPTION, bullet.key_start, bullet.start, bullet.end)
        for bullet in entry.children
    ]
