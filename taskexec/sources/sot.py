"""Reading the queue section of a Markdown "State of Truth": queues are lanes, and ids in backticks are tasks.

The section `Execution Queue & Task Hooks` holds numbered queues with bullets of these keys: `Tasks`,
`Depends on`, `Order` (`sequential` or `parallel`), `Agent` and `Resources`. Everything else in the file, all
comments, code blocks and `<placeholders>` mean nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.markdown import hide_dead_text, sections
from taskexec.sources.sot_bullets import PLACEHOLDER, Bullet, BulletReader, Resources
from taskexec.sources.text_places import TextPlaces, with_plain_breaks
from taskexec.sources.values import show

__all__ = ["SECTION_TITLE", "read_sot"]

SECTION_TITLE = "execution queue & task hooks"
"""The heading that marks the queues, in the form that `markdown.sections` compares."""

_HINT = (
    "write a heading `### G. Execution Queue & Task Hooks`, "
    "below it `1. **Queue A — Name**` and `- Tasks:` with ids in backticks"
)
_NUMBERED = re.compile(r"[ \t]*[0-9]{1,9}[.)][ \t]+")
_BULLET = re.compile(r"(?P<indent>[ \t]*)[-*+][ \t]+")
_BOLD = re.compile(r"(\*\*|__)[ \t]*(?P<text>.+?)[ \t]*\1")
_QUEUE_WORD = re.compile(r"[*_ \t]*queue\b", re.IGNORECASE)
_SHORT_NAME_END = re.compile(r"\s*[—–]\s*|\s+-+\s+")
_KEY = re.compile(r"(?:\*\*|__)?(?P<key>[A-Za-z][A-Za-z _]*?)(?:\*\*|__)?[ \t]*:(?:\*\*|__)?")
_KEYS = ("tasks", "depends on", "order", "agent", "resources")


@dataclass(slots=True)
class _Queue:
    """One queue as read; a queue without a name gathers what belongs to none."""

    name: Located[str] | None
    bullets: list[Bullet] = field(default_factory=list)
    tasks: list[DraftTask] = field(default_factory=list)
    is_sequential: bool = False
    depends_on: list[Located[str]] = field(default_factory=list)


def read_sot(text: str, source: str) -> PlanDraft:
    """Return the tasks of a State of Truth; their lane is their queue's name as written, their title unknown.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
    """
    live = hide_dead_text(with_plain_breaks(text.removeprefix("\ufeff")))
    bullets = BulletReader(TextPlaces(live, source))
    reader = _SectionReader(bullets)
    for start, end in sections(live, SECTION_TITLE):
        reader.read(start, end)
    queues = _QueueReader(bullets).read_all(reader.queues)
    draft = PlanDraft(source=source, kind="sot", faults=bullets.faults, warnings=bullets.warnings)
    draft.tasks = [task for queue in queues for task in queue.tasks]
    if not draft.tasks and not draft.faults:
        message = "no section `Execution Queue & Task Hooks` with tasks was found"
        draft.faults.append(Fault("sot.no_tasks", message, (Place(source),), _HINT))
    return draft


class _SectionReader:
    """Finds queues and their bullets, line by line."""

    def __init__(self, bullets: BulletReader) -> None:
        self.queues: list[_Queue] = []
        self._bullets = bullets
        self._places = bullets.places
        self._is_after_blank = False
        self._bullet: Bullet | None = None
        self._indent = 0

    def read(self, start: int, end: int) -> None:
        """Read the lines between two offsets as one section."""
        self.queues.append(_Queue(None))
        self._bullet = None
        for line_start, line_end in self._places.lines():
            if start <= line_start < end:
                self._read_line(self._places.text[line_start:line_end], line_start)

    def _read_line(self, line: str, start: int) -> None:
        if not line.strip():
            self._is_after_blank = True
            return
        bullet = _BULLET.match(line)
        numbered = _NUMBERED.match(line)
        if self._bullet is not None and self._continues(line, is_list_item=bool(bullet or numbered)):
            self._bullet.end = start + len(line)
        elif numbered:
            self._bullet = None
            self._read_numbered(line, start, numbered.end())
        elif bullet:
            self._indent = _width(bullet["indent"])
            self._bullet = self._read_bullet(line, start, bullet.end())
            self.queues[-1].bullets.append(self._bullet)
        else:
            self._bullet = None
        self._is_after_blank = False

    def _continues(self, line: str, *, is_list_item: bool) -> bool:
        """Return whether a line belongs to the bullet before it, as its indentation says."""
        width = _width(line[: len(line) - len(line.lstrip(" \t"))])
        return width > self._indent or (width > 0 and not is_list_item and not self._is_after_blank)

    def _read_numbered(self, line: str, start: int, body: int) -> None:
        """Start a queue; any other numbered line ends the one before it."""
        bold = _BOLD.match(line, body)
        self.queues.append(_Queue(None))
        if PLACEHOLDER.search(line, body):
            return
        if bold and _QUEUE_WORD.match(bold["text"]):
            name = Located(bold["text"], self._places.at(start + bold.start("text")))
            self.queues[-1].name = name
        elif _QUEUE_WORD.match(line, body):
            place = self._places.at(start + body)
            message = f"{show(line[body:].strip())} has no name in bold; `**Queue A — Name**` was expected"
            self._bullets.fault("sot.queue", message, place)

    def _read_bullet(self, line: str, start: int, body: int) -> Bullet:
        key = _KEY.match(line, body)
        end = start + len(line)
        if key is None:
            return Bullet("", start + body, start + body, end)
        name = " ".join(key["key"].lower().replace("_", " ").split())
        value = key.end() + len(line[key.end() :]) - len(line[key.end() :].lstrip(" \t"))
        return Bullet(name, start + body, start + value, end)


class _QueueReader:
    """Turns the bullets of queues into tasks."""

    def __init__(self, bullets: BulletReader) -> None:
        self._bullets = bullets
        self._named: dict[str, _Queue] = {}
        self._short: dict[str, list[_Queue]] = {}

    def read_all(self, queues: list[_Queue]) -> list[_Queue]:
        """Return the queues that have a name, with their tasks."""
        named = []
        for queue in queues:
            if queue.name is None:
                self._read_orphans(queue)
            else:
                named.append(queue)
                self._register(queue, queue.name)
                self._read_queue(queue, queue.name)
        for queue in named:
            self._connect(queue)
        return named

    def _read_orphans(self, queue: _Queue) -> None:
        for bullet in queue.bullets:
            ids = self._bullets.ids(bullet) if bullet.key == "tasks" else []
            if ids:
                message = f"tasks such as {show(ids[0].value)} stand under no queue"
                hint = "write `1. **Queue A — Name**` above the list"
                self._bullets.fault("sot.no_queue", message, ids[0].place, hint=hint)

    def _register(self, queue: _Queue, name: Located[str]) -> None:
        first = self._named.setdefault(name.value, queue)
        if first is not queue and first.name is not None:
            message = f"two queues have the name {show(name.value)}"
            self._bullets.fault("sot.duplicate_queue", message, first.name.place, name.place)
            return
        short = _SHORT_NAME_END.split(name.value, maxsplit=1)[0]
        self._short.setdefault(short.casefold(), []).append(queue)

    def _read_queue(self, queue: _Queue, lane: Located[str]) -> None:
        agent: Located[str] | None = None
        resources = Resources()
        ids: list[Located[str]] = []
        for bullet in queue.bullets:
            if bullet.key == "tasks":
                ids += self._bullets.ids(bullet)
            elif bullet.key == "depends on":
                queue.depends_on += self._bullets.ids(bullet)
            elif bullet.key == "order":
                queue.is_sequential = self._read_order(bullet)
            elif bullet.key == "agent":
                agent = self._bullets.word(bullet)
            elif bullet.key == "resources":
                resources = self._bullets.resources(bullet)
            else:
                self._warn_unknown(bullet)
        for name in ids:
            task = DraftTask(id=name, lane=lane, agent=agent)
            task.cpus, task.memory_mib, task.gpus = resources.cpus, resources.memory_mib, resources.gpus
            queue.tasks.append(task)

    def _read_order(self, bullet: Bullet) -> bool:
        word = self._bullets.word(bullet)
        if word is not None and word.value.lower() not in ("sequential", "parallel"):
            message = f"{show(word.value)} is not an order; `sequential` or `parallel` was expected"
            self._bullets.fault("sot.order", message, word.place)
        return word is not None and word.value.lower() == "sequential"

    def _warn_unknown(self, bullet: Bullet) -> None:
        places = self._bullets.places
        written = places.text[bullet.key_start : bullet.end].strip()
        if not PLACEHOLDER.fullmatch(written):
            message = f"{show(written)} means nothing under a queue"
            keys = ", ".join(f"`{key.capitalize()}:`" for key in _KEYS)
            fault = Fault("sot.unknown_key", message, (places.at(bullet.key_start),), f"known are {keys}")
            self._bullets.warnings.append(fault)

    def _connect(self, queue: _Queue) -> None:
        """Give a queue's tasks what they depend on; in a sequential queue, the first one stands for all."""
        outside = [dependency for name in queue.depends_on for dependency in self._resolve(name)]
        for index, task in enumerate(queue.tasks):
            if index == 0 or not queue.is_sequential:
                task.depends_on += outside
            else:
                previous = queue.tasks[index - 1].id
                task.depends_on.append(Located(previous.value, task.id.place))

    def _resolve(self, name: Located[str]) -> list[Located[str]]:
        """Return the tasks that a name in `Depends on` stands for: those of a queue, else the task itself."""
        queue = self._named.get(name.value)
        if queue is None:
            candidates = self._short.get(name.value.casefold(), [])
            if len(candidates) > 1:
                places = [candidate.name.place for candidate in candidates if candidate.name is not None]
                message = f"{show(name.value)} may be any of {len(candidates)} queues"
                hint = "write the queue's full name"
                self._bullets.fault("sot.ambiguous_queue", message, name.place, *places, hint=hint)
                return []
            queue = candidates[0] if candidates else None
        if queue is None:
            return [name]
        tasks = queue.tasks[-1:] if queue.is_sequential else queue.tasks
        return [Located(task.id.value, name.place) for task in tasks]


def _width(blanks: str) -> int:
    return len(blanks.expandtabs(4))
