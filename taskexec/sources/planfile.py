"""Reading JSON plans: those that `tek plan --save-plan` writes, and the `plan.json` of the older kit."""

from __future__ import annotations

from dataclasses import replace

from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.task.fields import FieldReader
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Unreadable
from taskexec.sources.values.amounts import show

__all__ = ["read_planfile"]

_VERSIONS = {"1": 1, "1.0": 1, "2": 2, "2.0": 2}
_EXAMPLE = 'a plan as `{"tasks": [{"id": "build", "command": "make"}]}`'
_QUEUE_HINT = 'write a queue as `{"name": "Queue A", "tasks": [{"id": "build"}]}`'


def read_planfile(text: str, source: str, *, allow_outside: bool = False) -> PlanDraft:
    """Return what a JSON plan says.

    `tasks` wins over `queues`; without it, each queue is a lane whose tasks do nothing and have no order, as
    in the older kit. Fields at the top that mean nothing here are ignored.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
        allow_outside: Whether the `cwd` of `commands` may be absolute, or leave the plan's folder by `..`; else it
            is a fault. Those in a `payload`, as `tek` itself writes them, are taken as they are.
    """
    text = text.removeprefix("\ufeff")
    draft = PlanDraft(source=source, kind="plan")
    draft.reading.form = "plan (JSON)"
    places = TextPlaces(text, source)
    findings = Findings(places, "planfile", draft.faults, draft.warnings)
    try:
        with collection_paused():
            root, duplicates = parse_json(text, places, code="planfile")
            draft.faults.extend(duplicates)
            _PlanReader(draft, findings, allow_outside=allow_outside).read(root)
    except Unreadable as unreadable:
        fault = unreadable.fault
        draft.faults.append(fault if text.strip() else replace(fault, hint=f"write {_EXAMPLE}"))
    return draft


class _PlanReader:
    """Fills a draft from the tree of a JSON plan."""

    def __init__(self, draft: PlanDraft, findings: Findings, *, allow_outside: bool) -> None:
        self._draft = draft
        self._findings = findings
        self._fields = FieldReader(findings, is_confined=not allow_outside)

    def read(self, root: Node) -> None:
        """Read the whole plan."""
        tasks, queues = root.members().get("tasks"), root.members().get("queues")
        self._read_version(root.members().get("version"), otherwise=1 if tasks is None else 2)
        if tasks is not None:
            found = (self._fields.task(node) for node in self._objects(tasks))
            self._draft.tasks.extend(task for task in found if task is not None)
        elif queues is not None:
            self._draft.reading.defaults.append("no order: queues of the older kit do not say what waits for what")
            for queue in self._objects(queues):
                self._read_queue(queue)
        elif root.is_object:
            self._findings.fault("shape", "`tasks` is missing", root.offset, hint=f"write {_EXAMPLE}")
        else:
            self._findings.expected(root, "an object with `tasks` or `queues`", hint=f"write {_EXAMPLE}")

    def _read_version(self, version: Node | None, *, otherwise: int) -> None:
        number = otherwise
        if version is not None:
            known = None if version.is_object or version.is_list else _VERSIONS.get(version.text())
            if known is None:
                message = f"version {show(str(version.plain()))} is not known; 1 or 2 was expected"
                hint = "this file was written by a newer `tek`: update"
                self._findings.fault("version", message, version.offset, hint=hint)
            number = known or otherwise
        self._draft.reading.form = f"plan (JSON), version {number}"

    def _read_queue(self, node: Node) -> None:
        lane = self._lane(node)
        tasks = node.members().get("tasks")
        if tasks is None:
            self._findings.expected(node, "a queue with `tasks`", hint=_QUEUE_HINT)
            return
        for task in self._objects(tasks):
            draft = self._queue_task(task)
            if draft is not None:
                draft.lane = lane
                self._draft.tasks.append(draft)

    def _lane(self, queue: Node) -> Located[str] | None:
        name = queue.members().get("name")
        if name is None or name.value is None:
            self._findings.expected(queue, "a queue with a `name`", hint=_QUEUE_HINT)
            return None
        if not isinstance(name.value, str):
            self._findings.expected(name, "a text")
            return None
        if "\0" in name.value:
            message = f"{show(name.value)} holds a NUL character"
            self._findings.fault("character", message, name.offset, hint="write the text without it")
        return Located(name.value, self._findings.places.at(name.offset))

    def _queue_task(self, node: Node) -> DraftTask | None:
        """Return a task of a queue; the older kit knows id, title and layer, but what says more is taken as well."""
        return self._fields.task(node)

    def _objects(self, node: Node) -> list[Node]:
        if not node.is_list:
            self._findings.expected(node, "a list of objects", hint=f"write {_EXAMPLE}")
        for item in node.items():
            if not item.is_object:
                self._findings.expected(item, "an object", hint=f"write {_EXAMPLE}")
        return [item for item in node.items() if item.is_object]
