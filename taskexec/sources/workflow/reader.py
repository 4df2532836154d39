"""Reading workflows: YAML, or JSON of the same shape, in which one entry may stand for many tasks.

At the top stand `version`, `name`, `defaults`, `lanes`, `include` and `tasks`; tasks are an object by id, or a list
of objects with `id`. A task's own fields win over those of its lane, those over `defaults`; `metadata` is united.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.task.fields import ID_HINT, INSTRUCTIONS, TASK_FIELDS, FieldReader
from taskexec.sources.task.instructions import NEED_COMMAND
from taskexec.sources.task.retry import united_retry
from taskexec.sources.tree.node import Findings, Node, did_you_mean
from taskexec.sources.values.amounts import show
from taskexec.sources.workflow.files import ReadInclude, WorkflowFile, load_files
from taskexec.sources.workflow.links import Entry, Lane, link_entries
from taskexec.sources.workflow.matrix import EXPANSION_FIELDS, TASKS_MAX, Expansion, find_expressions

__all__ = ["read_workflow"]

TOP_FIELDS = ("version", "name", "defaults", "lanes", "include", "tasks")
"""What may stand at the top."""
_FOREIGN_KEYS = ("jobs", "stages", "steps", "services", "pipeline")
_FOREIGN_HINT = "this is a file of another tool: write its jobs under `tasks`, with `command` and `depends_on`"
_NOT_DEFAULT = ("id", "depends_on", "command", "commands")
DEFAULT_FIELDS = dict.fromkeys(name for name in TASK_FIELDS if name not in _NOT_DEFAULT).keys()
"""What `defaults` may say."""
LANE_FIELDS = dict.fromkeys(name for name in DEFAULT_FIELDS if name not in ("lane", "queue")).keys()
"""What a lane may say besides its own `depends_on` and `order`."""
_LANE_OWN = ("depends_on", "order")
_OWN_FIELDS = dict.fromkeys(name for name in TASK_FIELDS if name not in ("id", *INSTRUCTIONS)).keys()
_ORDERS = ("sequential", "parallel")
_TASKS_HINT = "write `tasks:`, and below it an entry for each task, such as `build: make all`"
_EXCLUDE_HINT = "exclude fewer combinations, or remove the task"


def read_workflow(
    text: str, source: str, *, read_include: ReadInclude | None = None, allow_outside: bool = False
) -> PlanDraft:
    """Return what a workflow says.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
        read_include: Reads the files it includes (see `files.ReadInclude`); None refuses them.
        allow_outside: Whether the `cwd` of `commands` may be absolute, or leave the plan's folder by `..`; else it
            is a fault.
    """
    draft = PlanDraft(source=source, kind="workflow")
    with collection_paused():
        files = load_files(draft, text, read_include)
        reader = _WorkflowReader(draft, allow_outside=allow_outside)
        for file in files:
            reader.read_frame(file, is_first=file is files[-1])
        for file in files:
            reader.read_tasks(file)
        link_entries(draft, reader.entries, reader.lanes)
    form = "JSON" if files and files[-1].is_json else "YAML"
    name = f" {show(reader.name)}" if reader.name else ""
    draft.reading.form = f"workflow{name} ({form}), {_count(draft.tasks, 'task', 'tasks')}"
    draft.reading.form += f" from {_count(reader.entries, 'entry', 'entries')}"
    return draft


def _count(things: list[Any], one: str, many: str) -> str:
    return f"{len(things):,} {one if len(things) == 1 else many}"


class _WorkflowReader:
    """Fills a draft from the files of a workflow; `read_frame` of all files comes before `read_tasks` of any."""

    def __init__(self, draft: PlanDraft, *, allow_outside: bool) -> None:
        self.name = ""
        self.entries: list[Entry] = []
        self.lanes: dict[str, Lane] = {}
        self._draft = draft
        self._is_confined = not allow_outside
        self._defaults: dict[str, Any] = {}
        self._defaults_shown: dict[str, str] = {}

    def read_frame(self, file: WorkflowFile, *, is_first: bool) -> None:
        """Read all but the tasks of a file; what it says wins over what was read before."""
        members = file.root.members()
        _check_top(file, is_first=is_first)
        for key, member in members.items():
            if key not in TOP_FIELDS:
                hint = _FOREIGN_HINT if key in _FOREIGN_KEYS else None
                file.findings.unknown(member, TOP_FIELDS, is_fault=True, owner="a workflow", hint=hint)
        said = {key: member for key, member in members.items() if member.value is not None}
        if "version" in said and said["version"].text() not in ("1", "1.0"):
            message = f"version {show(str(said['version'].plain()))} is not known; 1 was expected"
            file.findings.fault("version", message, said["version"].offset, hint="this file needs a newer `tek`")
        if "name" in said and not isinstance(said["name"].value, str):
            file.findings.expected(said["name"], "a text")
        elif "name" in said and is_first:
            self.name = said["name"].text().strip()
        if "defaults" in said:
            self._read_defaults(said["defaults"], file.findings)
        if "lanes" in said:
            self._read_lanes(said["lanes"], file.findings)

    def read_tasks(self, file: WorkflowFile) -> None:
        """Read the tasks of a file."""
        tasks = file.root.members().get("tasks")
        reader = FieldReader(file.findings, is_strict=True, is_confined=self._is_confined)
        if tasks is None or tasks.value is None:
            return
        if tasks.is_object:
            for key, node in tasks.members().items():
                self._read_entry(reader, reader.named(key, node.key_offset), node, file)
        elif not tasks.is_list:
            file.findings.expected(tasks, "an object of tasks by id, or a list of tasks", hint=_TASKS_HINT)
        for item in tasks.items():
            name = item.members().get("id")
            located = None if name is None else reader.id(name)
            if name is None:
                file.findings.expected(item, "a task with an `id`", hint=ID_HINT)
            if located is not None:
                self._read_entry(reader, located, item, file)

    def _read_defaults(self, node: Node, findings: Findings) -> None:
        found = FieldReader(findings, is_strict=True, owner="`defaults`").read(node, known=DEFAULT_FIELDS)
        self._defaults = _united(self._defaults, found)
        for key, member in node.members().items():
            self._defaults_shown[key] = f"{_shown(key, member)}: `defaults` of {findings.places.source}"
        self._draft.reading.defaults = list(self._defaults_shown.values())

    def _read_lanes(self, node: Node, findings: Findings) -> None:
        if not node.is_object:
            findings.expected(
                node, "an object of lanes by name", hint="write `NAME: {order: sequential}` below `lanes:`"
            )
        reader = FieldReader(findings, is_strict=True, owner="a lane")
        for name, member in node.members().items():
            lane = self.lanes.setdefault(
                name.strip(), Lane(Located(name.strip(), findings.places.at(member.key_offset)))
            )
            if member.value is None:
                continue
            lane.fields = _united(lane.fields, reader.read(member, known=LANE_FIELDS, also=_LANE_OWN))
            depends_on, order = member.members().get("depends_on"), member.members().get("order")
            if depends_on is not None and depends_on.value is not None:
                lane.depends_on = reader.names(depends_on)
            if order is not None and order.value is not None:
                if order.value not in _ORDERS:
                    hint = "write `order: sequential` for one task after the other, or remove `order`"
                    findings.expected(order, "`sequential` or `parallel`", hint=hint)
                lane.is_sequential = order.value == "sequential"

    def _read_entry(self, reader: FieldReader, name: Located[str], node: Node, file: WorkflowFile) -> None:
        task = _as_object(node)
        if task is None:
            hint = 'write a command, or an object such as `{command: "make", cpus: 2}`'
            file.findings.expected(node, "an object, a command as a text, or nothing", hint=hint)
            self.entries.append(Entry(name, [DraftTask(id=name)]))
            return
        if not isinstance(node.key, int) and "id" in task.members():
            message = f"task {show(name.value)} has its id twice"
            hint = "the key before the task is its id: remove the field"
            file.findings.fault("shape", message, task.members()["id"].key_offset, hint=hint)
        entry = Entry(name)
        self.entries.append(entry)
        if not task.members().keys().isdisjoint(EXPANSION_FIELDS):
            self._expand(reader, entry, task, file.findings)
            return
        if file.has_expressions:
            self._warn_expressions(task, file.findings)
        entry.tasks = [self._read_task(reader, entry, task)]
        self._draft.tasks += entry.tasks

    def _expand(self, reader: FieldReader, entry: Entry, node: Node, findings: Findings) -> None:
        """Read an entry with `matrix` or `foreach`; after a fault, the other members are known by id only."""
        entry.is_expanded = True
        if not entry.name.value:  # the ids of its members would not be blank
            findings.expected(node, "a task with an `id`", hint=ID_HINT)
        expansion = Expansion(node, findings, most=TASKS_MAX - len(self._draft.tasks))
        count = len(findings.faults)
        is_sound = expansion.is_sound and expansion.check_expressions()
        for member in expansion.members():
            if is_sound:
                task = member.substitute_task(expansion.task, expansion.templates)
                entry.tasks.append(self._read_task(reader, entry, task, member.suffix))
                is_sound = len(findings.faults) == count
            else:
                entry.tasks.append(DraftTask(id=_member_id(entry, member.suffix)))
        if expansion.is_sound and not entry.tasks:
            findings.fault("matrix", f"`exclude` leaves nothing of {show(node.path)}", node.offset, hint=_EXCLUDE_HINT)
        self._draft.tasks += entry.tasks

    def _read_task(self, reader: FieldReader, entry: Entry, node: Node, suffix: str = "") -> DraftTask:
        own = reader.read(node, known=_OWN_FIELDS, also=("id", *INSTRUCTIONS, *EXPANSION_FIELDS))
        lane = own.get("lane") or self._defaults.get("lane")
        settings = None if lane is None else self.lanes.get(lane.value.strip())
        inherited = self._defaults if settings is None else _united(self._defaults, settings.fields)
        fields = _united(inherited, own) if inherited else own
        payload = reader.read(node, known=INSTRUCTIONS, also=node.members(), inherited=fields)
        self._settle_agent(reader.findings, fields, own, node, has_instructions="payload" in fields | payload)
        return DraftTask(id=_member_id(entry, suffix), **(fields | payload))

    def _settle_agent(
        self,
        findings: Findings,
        fields: dict[str, Any],
        own: Mapping[str, Any],
        node: Node,
        *,
        has_instructions: bool,
    ) -> None:
        """Refuse an agent that is left without a command; one that is only inherited does not count then."""
        agent = fields.get("agent")
        if has_instructions or agent is None or agent.value not in NEED_COMMAND:
            return
        if "agent" not in own:
            del fields["agent"]
        elif not any(key in node.members() for key in INSTRUCTIONS):
            message = f"agent {show(agent.value)} of {show(node.path)} has no command"
            findings.fault("command", message, node.members()["agent"].offset, hint="write `command: …`")

    def _warn_expressions(self, node: Node, findings: Findings) -> None:
        for text in find_expressions(node):
            message = f"{show(text.text())} stays as it is: the task has neither `matrix` nor `foreach`"
            hint = "give the task `matrix` or `foreach`, or write the value itself"
            findings.warn("expression", message, text.offset, hint=hint)


def _check_top(file: WorkflowFile, *, is_first: bool) -> None:
    """Say what is wrong with the top of a file that has no tasks."""
    root, keys = file.root, file.root.members().keys()
    if root.value is None:
        message = "the file says nothing: it is empty, or holds comments only"
        file.findings.fault("shape", message, root.offset, hint=_TASKS_HINT)
    elif not root.is_object:
        file.findings.expected(root, "an object with `tasks`", hint=_TASKS_HINT)
    elif is_first and not {"tasks", "include"} & keys:
        unknown = [key for key in keys if key not in TOP_FIELDS]
        if not any(did_you_mean(key, ("tasks", "include")) for key in unknown):
            file.findings.fault("shape", "`tasks` is missing", root.offset, hint=_TASKS_HINT)


def _shown(key: str, node: Node) -> str:
    """Return a field with its value, for people; of lists and objects what they hold."""
    inside = [*node.members(), *(item.text() for item in node.items())]
    return f"{key} {', '.join(inside) if node.is_object or node.is_list else node.text()}"


def _as_object(node: Node) -> Node | None:
    """Return an entry in its long form: a text is a command, null does nothing; None for other values."""
    if node.is_object:
        return node
    short = Node({}, node.offset, node.key, node.key_offset, node.parent)
    if isinstance(node.value, str):
        short.members()["command"] = Node(node.value, node.offset, "command", node.offset, short)
    elif node.value is not None:
        return None
    return short


def _member_id(entry: Entry, suffix: str) -> Located[str]:
    return Located(entry.name.value + suffix, entry.name.place) if suffix else entry.name


def _united(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, where the second wins; metadata and `retry` are united name by name."""
    united = {**first, **second}
    if "metadata" in first and "metadata" in second:
        united["metadata"] = {**first["metadata"], **second["metadata"]}
    if "retry" in first and "retry" in second:
        united["retry"] = united_retry(first["retry"], second["retry"])
    return united
