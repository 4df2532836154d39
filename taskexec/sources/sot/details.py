"""The `Details:` of a task in a State of Truth: any of its fields as JSON, exactly as in plan.json.

    - Details: `{"metadata": {"owner": "x"}, "lane": null, "depends_on": ["fetch"]}`

The object stands in one code span, of one or more backticks. What it names wins over the bullets that people read;
null takes back what they or the queue say. `id` renames the task, and `depends_on` is the whole list of exact ids: no
queue adds to it.
"""

from __future__ import annotations

from dataclasses import MISSING, fields

from taskexec.errors import Place
from taskexec.plan.draft import DraftTask
from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.code import code_spans
from taskexec.sources.sot.names import SotTask
from taskexec.sources.task.fields import TASK_FIELDS, FieldReader
from taskexec.sources.task.retry import united_retry
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Unreadable

__all__ = ["apply_details"]

_EXAMPLE = 'write one JSON object in backticks: `{"lane": null, "metadata": {"owner": "x"}}`'
_TARGETS = {
    "memory": "memory_mib",
    "gpu_memory": "gpu_memory_mib",
    "disk": "disk_mib",
    "not": "has_not",
    "duration": "duration_s",
    "timeout": "timeout_s",
    "total_timeout": "total_timeout_s",
    "deadline": "deadline_at",
    "status": "satisfied",
    "queue": "lane",
    "command": "payload",
    "commands": "payload",
}
"""Fields of JSON that go by another name in `DraftTask`."""


class _PlacesInside:
    """The places of a part of a text, by offsets of that part."""

    def __init__(self, places: TextPlaces, start: int) -> None:
        self.source = places.source
        self._places = places
        self._start = start

    def at(self, offset: int, /) -> Place:
        return self._places.at(self._start + offset)


def apply_details(task: SotTask, bullet: Bullet, bullets: BulletReader) -> None:
    """Give a task what its `Details` say; what is wrong with them becomes faults at their values.

    Args:
        task: The task; changed in place.
        bullet: The bullet.
        bullets: The reader of the file, for places and faults.
    """
    text = bullets.places.text
    spans = code_spans(text, bullet.start, bullet.end)
    if len(spans) != 1:
        message = f"{len(spans)} texts in backticks stand in `Details`, where one was expected"
        bullets.fault("sot.details", message, bullets.places.at(bullet.key_start), hint=_EXAMPLE)
        return
    start, end = spans[0].start, spans[0].end
    places = _PlacesInside(bullets.places, start)
    try:
        root, duplicates = parse_json(text[start:end], places, code="sot")
    except Unreadable as unreadable:
        bullets.faults.append(unreadable.fault)
        return
    bullets.faults.extend(duplicates)
    _override(task, root, Findings(places, "sot", bullets.faults, bullets.warnings))


def _override(task: SotTask, root: Node, findings: Findings) -> None:
    draft = task.draft
    before = {"agent": draft.agent} if draft.agent is not None else {}
    for name, value in FieldReader(findings, is_strict=True).read(root, inherited=before).items():
        if name == "id":
            task.names.append(draft.id.value)
        setattr(draft, name, united_retry(draft.retry, value) if name == "retry" else value)
    for key, member in root.members().items():
        if member.value is None and key in TASK_FIELDS and key != "id":
            _take_back(draft, _TARGETS.get(key, key))
    if "depends_on" in root.members():
        task.is_settled = True


def _take_back(draft: DraftTask, name: str) -> None:
    """Set a field to what it is when nothing is said."""
    field = next(field for field in fields(DraftTask) if field.name == name)
    setattr(draft, name, field.default if field.default_factory is MISSING else field.default_factory())
