"""Reading a Markdown "State of Truth": queues of tasks, a backlog with open boxes, a ledger with ticked ones.

Comments, code blocks and `<placeholders>` mean nothing. Outside of the queue section, each outermost list item with a
box is a task (`entries`, `fields`, `identity`, `items`); a ticked one is satisfied and never run:

    - [x] 2025-10-05 12:04 UTC — Scan the archive (WORKFLOW-006) — Artifacts: `a`, `b/{c,d}` — Notes: …
    - [ ] Smoke harness — Rationale: … — Target: 2026-01-15 — Dependencies: Scan the archive, `TASK-001`

The section `Execution Queue & Task Hooks` (any level, letter or number) holds numbered queues, which are lanes, with
the bullets `Tasks`, `Depends on`, `Order`, `Agent`, `Resources` and `Lane` (`lines`, `queues`). Any plan can be
written like this without loss, with bullets `Task` in place of `Tasks` or besides:

    1. **Queue A — Build**
       - Lane: none
       - Task `compile` — Compile the sources
         - Command: `make -j2 all`
         - Depends on: `fetch`, `Queue Z`
         - Resources: cpus=2, memory=4G, gpus=1, gpu_memory=8G, has=ssd | cpus=16, weight=0.5
         - Agent: python
         - Duration: 90s
         - Timeout: 10m
         - Retries: 2
         - Priority: 6
         - Status: done
         - Details: `{"metadata": {"owner": "x"}, "lane": null, "id": "…", "depends_on": ["fetch"]}`

For whoever writes it:

- The fields stand two columns or more to the right of `- Task`; each is one line. All are optional, in any order.
- The title is one line; blanks within are single ones. A dash parts it from the id.
- `Command` may hold several code spans (backticks doubled where the command has some); each is one command. With
  `Agent: python` it is `module:function {JSON}`. `Status: done` is satisfied and leaves no metadata; `Labels: a, b`,
  `Requirements: a, b`, `Acceptance: a; b` and `Layer` are read, other keys become metadata with a warning.
- `- [x] Task …`, `` - [x] `id` `` and a tick behind an id mean `Status: done` (`ticks`); what a ticked line elsewhere
  says of a queue's task does as well (`recorded`).
- A field may lack its bullet when it has a line of its own and a known key; what looks like a box or a dependency and
  is not read as one is a warning (`suspects`).
- A name in `Depends on` is looked for as in `names`: a queue's full name first, then an exact id.
- `Details` is one JSON object in one code span, with any field of a task as in plan.json; it wins over the bullets.
  Write backtick, `<`, `>` and line breaks in it as `\\u0060`, `\\u003c`, `\\u003e`, `\\n`; null takes back what a queue
  or a bullet says, `"lane": null` the lane; `id` renames the task; `depends_on` is the whole list of exact ids, to
  which no queue adds anything. An id or lane that Markdown cannot carry stands there only.
- A queue's name stands in bold and begins with `Queue`. It is the lane of its tasks, unless `Lane: Build` gives them
  another or `Lane: none` none; a lane that Markdown cannot carry stands in `Details`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from taskexec.errors import Fault
from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import Located, PlanDraft
from taskexec.plan.plan import normal_id
from taskexec.sources.sot.bullets import BulletReader
from taskexec.sources.sot.dependencies import DependencyReader
from taskexec.sources.sot.entries import EntryScanner
from taskexec.sources.sot.items import ItemReader, settle_ids
from taskexec.sources.sot.lines import QueueScanner
from taskexec.sources.sot.markdown import headings, read_live_text, sections, split_lines
from taskexec.sources.sot.names import Names, Queue, SotTask
from taskexec.sources.sot.queues import QueueReader
from taskexec.sources.sot.summary import describe, judge_emptiness, judge_open_text
from taskexec.sources.sot.suspects import warn_lost_dependencies
from taskexec.sources.sot.tasks import TaskReader
from taskexec.sources.text_places import TextPlaces, with_plain_breaks
from taskexec.sources.values.amounts import show

__all__ = ["SECTION_TITLE", "read_sot"]

SECTION_TITLE = "execution queue & task hooks"
"""The heading that marks the queues, in the form that `markdown.sections` compares."""

_QUEUE_SIGN = re.compile(
    r"^[ \t]*(?:[0-9]{1,9}[.)][ \t]+[*_]*queue\b|[-*+][ \t]+[*_]*tasks?[*_]*[ \t]*[:`])", re.IGNORECASE | re.MULTILINE
)
_BOX_SIGN = re.compile(r"^[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[[ xX]\]", re.MULTILINE)


def read_sot(text: str, source: str) -> PlanDraft:
    """Return the tasks of a State of Truth, in source order.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
    """
    with collection_paused():
        return _SotReader(text, source).read()


class _SotReader:
    """Puts the parts of one file together."""

    def __init__(self, text: str, source: str) -> None:
        self._live = read_live_text(with_plain_breaks(text.removeprefix("\ufeff")))
        self._bullets = BulletReader(TextPlaces(self._live.text, source))
        self._tasks = TaskReader(self._bullets)
        self._source = source

    def read(self) -> PlanDraft:
        queues, entries = self._scan()
        queued: dict[str, SotTask] = {}
        for task in (task for queue in queues for task in queue.tasks):
            queued.setdefault(normal_id(task.draft.id.value), task)
        reader = ItemReader(self._bullets, self._tasks, queued)
        items = reader.read_all(entries.entries)
        others = settle_ids(items, queued)
        reader.recorded.warn()
        tasks = [task for queue in queues for task in queue.tasks] + others
        names = Names(tasks, queues)
        _name_lanes(others, names)
        warn_lost_dependencies(tasks, names, self._bullets)
        _connect(tasks, queues, DependencyReader(names, self._bullets), self._bullets)
        drafts = sorted((task.draft for task in tasks), key=lambda draft: draft.id.place)
        draft = PlanDraft(source=self._source, kind="sot", tasks=drafts)
        draft.faults, draft.warnings = self._bullets.faults, self._bullets.warnings
        reader.left_out["placeholder"] += self._bullets.placeholders
        done = sum(item.is_done for item in items)
        found = {"queue": len(queues), "backlog item": len(items) - done, "executed task": done}
        left_out = {**reader.left_out, "comment": self._live.comments, "code block": self._live.code_blocks}
        draft.reading = describe(drafts, found, left_out)
        judge_open_text(self._live, self._bullets.places, draft)
        is_blank = not self._live.text.strip() and not self._live.comments + self._live.code_blocks
        judge_emptiness(draft, queues, placeholders=reader.left_out["placeholder"], is_blank=is_blank)
        return draft

    def _scan(self) -> tuple[list[Queue], EntryScanner]:
        """Return the queues and the entries of the file."""
        text = self._live.text
        queue_lines, entries = QueueScanner(self._bullets), EntryScanner(self._bullets)
        for start, end, is_queue in _parts(text):
            (queue_lines if is_queue else entries).read(split_lines(text, start, end))
        return QueueReader(self._bullets, self._tasks).read_all(queue_lines.queues), entries


def _parts(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end of each part of a text, and whether it belongs to the queues.

    Below a deeper heading of the queue section, lists with boxes and without queues are a backlog as elsewhere.
    """
    found = list(headings(text))
    cuts = [heading.start for heading in found]
    position = 0
    for start, end in sections(text, SECTION_TITLE, found=found):
        yield position, start, False
        inner = cuts[bisect_left(cuts, start) : bisect_left(cuts, end)]
        begin = start
        for cut, following in pairwise([*inner, end]):
            if _BOX_SIGN.search(text, cut, following) and not _QUEUE_SIGN.search(text, cut, following):
                yield begin, cut, True
                yield cut, following, False
                begin = following
        yield begin, end, True
        position = end
    yield position, len(text), False


def _name_lanes(items: Iterable[SotTask], names: Names) -> None:
    """Give items the full name of the queue that they name."""
    for item in items:
        lane = item.draft.lane
        found = [] if lane is None else names.queues(lane.value)
        if lane is not None and len(found) == 1 and found[0].name is not None:
            item.draft.lane = Located(found[0].name.value, lane.place)


def _connect(
    tasks: Iterable[SotTask], queues: Iterable[Queue], reader: DependencyReader, bullets: BulletReader
) -> None:
    """Give all tasks what they depend on, themselves and by their queues."""
    for task in tasks:
        if task.dependencies and not task.is_settled:
            _resolve_own(task, reader, bullets)
    for queue in queues:
        outside = _outside(queue, reader, bullets)
        for index, task in enumerate(queue.tasks):
            if task.is_settled:
                continue
            if index == 0 or not queue.is_sequential:
                task.draft.depends_on += outside
            else:
                task.draft.depends_on.append(Located(queue.tasks[index - 1].draft.id.value, task.draft.id.place))


def _outside(queue: Queue, reader: DependencyReader, bullets: BulletReader) -> list[Located[str]]:
    """Return what a queue depends on; that it is itself is a fault, once for each place."""
    found = [name for bullet in queue.dependencies for name, _ in reader.read(bullet)]
    own = {task.draft.id.value for task in queue.tasks}
    inside = dict.fromkeys(name.place for name in found if name.value in own)
    if inside and queue.name is not None:
        message = f"queue {show(queue.name.value)} depends on itself"
        hint = "remove the queue and its own tasks from its `Depends on`"
        bullets.fault("sot.self_dependency", message, *inside, hint=hint)
    return [name for name in found if name.value not in own]


def _resolve_own(task: SotTask, reader: DependencyReader, bullets: BulletReader) -> None:
    """Resolve a task's own dependencies; of what is done, unknown ones are metadata: nothing waits for them."""
    unknown = []
    for bullet in task.dependencies:
        for name, is_known in reader.read(bullet):
            if is_known or not task.is_satisfied:
                task.draft.depends_on.append(name)
            else:
                unknown.append(name)
    if unknown:
        task.draft.metadata["dependencies"] = "; ".join(name.value for name in unknown)
        hint = "correct the name, or leave it as a remark: it is kept as metadata"
        message = f"{show(unknown[0].value)} is no task; as {show(task.draft.id.value)} is done, nothing waits for it"
        bullets.warnings.append(
            Fault("sot.unknown_dependency", message, tuple(name.place for name in unknown[:10]), hint)
        )
