"""Reading JSON plans: those that `tek plan --save-plan` writes, and the `plan.json` of the older kit."""

from __future__ import annotations

from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.task.fields import FieldReader
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Unreadable
from taskexec.sources.values.amounts import show

__all__ = ["read_planfile"]

_VERSIONS = {"1": 1, "1.0": 1, "2": 2, "2.0": 2}
_QUEUE_TASK_FIELDS = ("id", "title", "layer")


def read_planfile(text: str, source: str) -> PlanDraft:
    """Return what a JSON plan says.

    `tasks` wins over `queues`; without it, each queue is a lane whose tasks do nothing and have no order, as
    in the older kit. Fields at the top that mean nothing here are ignored.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
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
            _PlanReader(draft, findings).read(root)
    except Unreadable as unreadable:
        draft.faults.append(unreadable.fault)
    return draft


class _PlanReader:
    """Fills a draft from the tree of a JSON plan."""

    def __init__(self, draft: PlanDraft, findings: Findings) -> None:
        self._draft = draft
        self._findings = findings
        self._fields = FieldReader(findings)

    def read(self, root: Node) -> None:
        """Read the whole plan."""
        tasks, queues = root.members().get("tasks"), root.members().get("queues")
        self._read_version(root.members().get("version"), otherwise=1 if tasks is None else 2)
        if tasks is not None:
            self._draft.tasks.extend(self._fields.task(node) for node in self._objects(tasks))
        elif queues is not None:
            self._draft.reading.defaults.append("no order: queues of the older kit do not say what waits for what")
            for queue in self._objects(queues):
                self._read_queue(queue)
        else:
            self._findings.expected(root, "an object with `tasks` or `queues`")

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
            self._findings.expected(node, "a queue with `tasks`")
            return
        for task in self._objects(tasks):
            draft = self._queue_task(task)
            draft.lane = lane
            self._draft.tasks.append(draft)

    def _lane(self, queue: Node) -> Located[str] | None:
        name = queue.members().get("name")
        if name is None or name.value is None:
            self._findings.expected(queue, "a queue with a `name`")
            return None
        if not isinstance(name.value, str):
            self._findings.expected(name, "a text")
            return None
        return Located(name.value, self._findings.places.at(name.offset))

    def _queue_task(self, node: Node) -> DraftTask:
        """Return a task that is known by id, title and layer only."""
        return self._fields.task(node, known=_QUEUE_TASK_FIELDS, also=node.members())

    def _objects(self, node: Node) -> list[Node]:
        if not node.is_list:
            self._findings.expected(node, "a list")
        for item in node.items():
            if not item.is_object:
                self._findings.expected(item, "an object")
        return [item for item in node.items() if item.is_object]
