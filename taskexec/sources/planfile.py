"""Reading JSON plans: those that `tek plan --save-plan` writes, and the `plan.json` of the older kit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from taskexec.domain.resources import Route
from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources import values
from taskexec.sources.bulk import collection_paused
from taskexec.sources.json_places import JSONUnreadable, Node, parse_json
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.values import ROUTES, show

__all__ = ["read_planfile"]

T = TypeVar("T")

_VERSIONS = ("1", "1.0", "2", "2.0")
_TASK_FIELDS = (
    "id",
    "title",
    "agent",
    "payload",
    "depends_on",
    "lane",
    "route",
    "cpus",
    "memory_mib",
    "gpus",
    "duration_s",
    "timeout_s",
    "retries",
    "priority",
    "layer",
    "metadata",
)


def read_planfile(text: str, source: str) -> PlanDraft:
    """Return what a JSON plan says.

    `tasks` wins over `queues`; without it, each queue is a lane whose tasks do nothing and have no order, as
    in the older kit. Fields at the top that mean nothing here are ignored.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
    """
    text = text.removeprefix("\ufeff")
    places = TextPlaces(text, source)
    draft = PlanDraft(source=source, kind="plan")
    try:
        with collection_paused():
            root, duplicates = parse_json(text, places, code="planfile")
            draft.faults.extend(duplicates)
            _PlanReader(draft, places).read(root)
    except JSONUnreadable as unreadable:
        draft.faults.append(unreadable.fault)
    return draft


class _PlanReader:
    """Fills a draft from the tree of a JSON plan."""

    def __init__(self, draft: PlanDraft, places: TextPlaces) -> None:
        self._draft = draft
        self._places = places

    def read(self, root: Node) -> None:
        """Read the whole plan."""
        version = root.members().get("version")
        if version is not None and str(version.value) not in _VERSIONS:
            message = f"version {show(str(version.plain()))} is not known; 1 or 2 was expected"
            place = self._places.at(version.offset)
            hint = "this file was written by a newer `tek`: update"
            self._draft.faults.append(Fault("planfile.version", message, (place,), hint))
        tasks = root.members().get("tasks")
        queues = root.members().get("queues")
        if tasks is not None:
            self._draft.tasks.extend(self._task(node) for node in self._objects(tasks))
        elif queues is not None:
            for queue in self._objects(queues):
                self._read_queue(queue)
        else:
            self._expected(root, "an object with `tasks` or `queues`")

    def _read_queue(self, node: Node) -> None:
        lane = self._text(node, "name")
        if lane is None:
            self._expected(node, "a queue with a `name`")
        tasks = node.members().get("tasks")
        if tasks is None:
            self._expected(node, "a queue with `tasks`")
            return
        for task in self._objects(tasks):
            draft = DraftTask(id=self._id(task), lane=lane)
            draft.title, draft.layer = self._text(task, "title"), self._layer(task)
            self._draft.tasks.append(draft)

    def _task(self, node: Node) -> DraftTask:
        self._warn_unknown(node)
        return DraftTask(
            id=self._id(node),
            title=self._text(node, "title"),
            agent=self._text(node, "agent"),
            payload=self._payload(node),
            depends_on=self._dependencies(node),
            lane=self._text(node, "lane"),
            route=self._read(node, "route", _route, "`cpu`, `gpu` or `distributed`"),
            cpus=self._read(node, "cpus", _amount, "a number of at least 0"),
            memory_mib=self._read(node, "memory_mib", _count, "a whole number of MiB, at least 0"),
            gpus=self._read(node, "gpus", _amount, "a number of at least 0"),
            duration_s=self._read(node, "duration_s", _amount, "a number of at least 0"),
            timeout_s=self._read(node, "timeout_s", _positive, "a number above 0"),
            retries=self._read(node, "retries", _count, "a whole number of at least 0"),
            priority=self._read(node, "priority", _integer, "a whole number"),
            layer=self._layer(node),
            metadata=self._metadata(node),
        )

    def _id(self, node: Node) -> Located[str]:
        """Return a task's id; a task without one gets an empty id, so that only its shape is reported."""
        found = self._text(node, "id")
        if found is None:
            if node.members().get("id") is None:
                self._expected(node, "a task with an `id`")
            return Located("", self._places.at(node.offset))
        forbidden = values.forbidden_in_id(found.value)
        if forbidden is not None:
            message = f"id {show(found.value)} holds the control character {show(forbidden)}"
            self._draft.faults.append(Fault("planfile.character", message, (found.place,)))
        return Located(found.value.strip(), found.place)

    def _dependencies(self, node: Node) -> list[Located[str]]:
        dependencies = node.members().get("depends_on")
        if dependencies is None or dependencies.value is None:
            return []
        if not isinstance(dependencies.value, list):
            self._expected(dependencies, "a list of ids")
        found = [self._located(item, _text, "an id") for item in dependencies.items()]
        return [Located(item.value.strip(), item.place) for item in found if item is not None]

    def _payload(self, node: Node) -> dict[str, object]:
        payload = node.members().get("payload")
        if payload is None or payload.value is None:
            return {}
        if not isinstance(payload.value, dict):
            self._expected(payload, "an object")
        return {key: member.plain() for key, member in payload.members().items()}

    def _metadata(self, node: Node) -> dict[str, str]:
        metadata = node.members().get("metadata")
        if metadata is None or metadata.value is None:
            return {}
        if not isinstance(metadata.value, dict):
            self._expected(metadata, "an object of texts")
        found = {key: self._located(item, _text, "a text") for key, item in metadata.members().items()}
        return {key: item.value for key, item in found.items() if item is not None}

    def _layer(self, node: Node) -> Located[str] | None:
        return self._read(node, "layer", _label, "a text or a number")

    def _text(self, node: Node, field: str) -> Located[str] | None:
        return self._read(node, field, _text, "a text")

    def _read(self, node: Node, field: str, convert: Callable[[object], T | None], expected: str) -> Located[T] | None:
        """Return the value of a field; a field that is absent or null says nothing."""
        member = node.members().get(field)
        if member is None or member.value is None:
            return None
        return self._located(member, convert, expected)

    def _located(self, node: Node, convert: Callable[[object], T | None], expected: str) -> Located[T] | None:
        value = convert(node.value)
        if value is None:
            self._expected(node, expected)
            return None
        return Located(value, self._places.at(node.offset))

    def _objects(self, node: Node) -> list[Node]:
        if not isinstance(node.value, list):
            self._expected(node, "a list")
        for item in node.items():
            if not isinstance(item.value, dict):
                self._expected(item, "an object")
        return [item for item in node.items() if isinstance(item.value, dict)]

    def _expected(self, node: Node, expected: str) -> None:
        is_scalar = not isinstance(node.value, dict | list)
        found = f"{node.kind} {show(str(node.value))}" if is_scalar and node.value is not None else node.kind
        message = f"{found} stands at {show(node.path)}, where {expected} was expected"
        self._draft.faults.append(Fault("planfile.shape", message, (self._places.at(node.offset),)))

    def _warn_unknown(self, node: Node) -> None:
        for key, member in node.members().items():
            if key not in _TASK_FIELDS:
                message = f"field {show(member.path)} of a task means nothing and is ignored"
                place = self._places.at(member.key_offset)
                self._draft.warnings.append(Fault("planfile.unknown_field", message, (place,)))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _label(value: object) -> str | None:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int | None:
    number = _integer(value)
    return number if number is not None and number >= 0 else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None


def _positive(value: object) -> float | None:
    number = _amount(value)
    return number if number else None


def _route(value: object) -> Route | None:
    return ROUTES.get(value.lower()) if isinstance(value, str) else None
