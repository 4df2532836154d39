"""Applying the older kit's `manifest.json`: layers and agents for tasks that say nothing about these themselves.

    {
      "version": "1.0",
      "layers": {"core": {"agent": "shell", "tasks": ["TASK-001"], "queues": ["Queue A — Name"]}},
      "agents": {"TASK-002": "noop", "Queue B — Name": "python", "*": "noop"},
      "default_agent": "noop"
    }

`layers` may be a list of such objects with a `name` instead. A task's own layer wins, then the layer that names the
task, then the one that names its queue. A task that names no agent and has no instructions gets the agent that
`agents` gives its id, else its queue, else that of its layer, else `*`, else `default_agent`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.plan.plan import normal_id
from taskexec.plan.suggestion import Suggestions
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Unreadable
from taskexec.sources.values.amounts import show

__all__ = ["apply_manifest"]

_TOP_FIELDS = ("version", "layers", "agents", "default_agent")
_LAYER_FIELDS = ("agent", "tasks", "queues")
_EVERY = "*"
_SHAPE_HINT = 'a manifest looks like {"layers": {"core": {"tasks": ["TASK-001"]}}, "default_agent": "noop"}'

_Name = Located[str]


def apply_manifest(draft: PlanDraft, text: str, source: str) -> None:
    """Give the tasks of a draft the layers and agents of a manifest.

    Faults and warnings go to the draft; what has a fault is not applied, the rest is.

    Args:
        draft: The plan; changed in place.
        text: The whole manifest, JSON; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
    """
    text = text.removeprefix("\ufeff")
    findings = Findings(TextPlaces(text, source), "manifest", draft.faults, draft.warnings)
    draft.reading.files.append(source)
    try:
        root, duplicates = parse_json(text, findings.places, code="manifest")
    except Unreadable as unreadable:
        draft.faults.append(unreadable.fault)
        return
    draft.faults.extend(duplicates)
    manifest = _ManifestReader(draft, findings)
    manifest.read(root.grown())
    for task in draft.tasks:
        manifest.complete(task)


@dataclass(slots=True)
class _Rules:
    """What a manifest says, by id and by queue."""

    layer_of: dict[tuple[str, str], tuple[_Name, int]] = field(default_factory=dict)
    """By `task` or `queue` and its name: the layer, and where the layer names it."""
    agent_of_layer: dict[str, _Name] = field(default_factory=dict)
    agents: dict[str, _Name] = field(default_factory=dict)
    default_agent: _Name | None = None


class _ManifestReader:
    """Reads a manifest and completes tasks with it."""

    def __init__(self, draft: PlanDraft, findings: Findings) -> None:
        self._findings = findings
        self._rules = _Rules()
        self._ids = dict.fromkeys(normal_id(task.id.value) for task in draft.tasks)
        self._queues = dict.fromkeys(task.lane.value.strip() for task in draft.tasks if task.lane is not None)
        self._suggestions = Suggestions([*self._ids, *self._queues])

    def read(self, root: Node) -> None:
        """Read the whole manifest."""
        if not root.is_object:
            self._findings.expected(root, "an object with `layers` or `agents`", hint=_SHAPE_HINT)
        self._warn_unknown(root, _TOP_FIELDS, "a manifest")
        said = {key: member for key, member in root.members().items() if member.value is not None}
        if "version" in said and said["version"].text() not in ("1", "1.0"):
            message = f"version {show(str(said['version'].plain()))} is not known; 1.0 was expected"
            hint = "this file was written for a newer `tek`: update, or write version 1.0"
            self._findings.fault("version", message, said["version"].offset, hint=hint)
        if "layers" in said:
            for name, layer in self._layers(said["layers"]):
                self._read_layer(name, layer)
        if "agents" in said:
            self._read_agents(said["agents"])
        if "default_agent" in said:
            self._rules.default_agent = self._text(said["default_agent"])

    def complete(self, task: DraftTask) -> None:
        """Give a task the layer and the agent that it does not name itself."""
        rules, task_id = self._rules, normal_id(task.id.value)
        queue = "" if task.lane is None else task.lane.value.strip()
        named = rules.layer_of.get(("task", task_id)) or rules.layer_of.get(("queue", queue))
        task.layer = task.layer or (named and named[0])
        if task.agent is not None or task.payload:
            return
        layer = "" if task.layer is None else task.layer.value.strip()
        own = rules.agents.get(task_id) or rules.agents.get(normal_id(queue)) or rules.agent_of_layer.get(layer)
        task.agent = own or rules.agents.get(_EVERY) or rules.default_agent

    def _layers(self, node: Node) -> Iterator[tuple[_Name, Node]]:
        """Yield the layers with their names, whichever way they are written."""
        if node.is_object:
            for name, layer in node.members().items():
                yield Located(name, self._findings.places.at(layer.key_offset)), layer
        elif not node.is_list:
            self._findings.expected(node, "an object of layers by name, or a list of layers", hint=_SHAPE_HINT)
        for layer in node.items():
            named = layer.members().get("name")
            if named is None:
                hint = 'write a layer of a list as `{"name": "core", "tasks": ["TASK-001"]}`'
                self._findings.expected(layer, "a layer with a `name`", hint=hint)
            elif (name_text := self._text(named)) is not None:
                yield name_text, layer

    def _read_layer(self, name: _Name, node: Node) -> None:
        if not node.is_object:
            self._findings.expected(node, 'a layer such as `{"tasks": ["TASK-001"]}`', hint=_SHAPE_HINT)
            return
        is_listed = isinstance(node.key, int)
        self._warn_unknown(node, (*_LAYER_FIELDS, "name") if is_listed else _LAYER_FIELDS, "a layer")
        members = node.members()
        agent = members.get("agent")
        if agent is not None and agent.value is not None and (found := self._text(agent)) is not None:
            self._rules.agent_of_layer[name.value.strip()] = found
        for written, offset in self._names(members.get("tasks")):
            self._assign("task", normal_id(written), name, offset)
            self._check_known(written, offset, "task", is_known=normal_id(written) in self._ids)
        for written, offset in self._names(members.get("queues")):
            self._assign("queue", written.strip(), name, offset)
            self._check_known(written, offset, "queue", is_known=written.strip() in self._queues)

    def _assign(self, kind: str, key: str, layer: _Name, offset: int) -> None:
        first, first_offset = self._rules.layer_of.setdefault((kind, key), (layer, offset))
        if first.value != layer.value:
            message = f"{show(key)} stands in two layers, {show(first.value)} and {show(layer.value)}"
            self._findings.fault("layer", message, first_offset, offset, hint="keep it in one of them")

    def _read_agents(self, node: Node) -> None:
        if not node.is_object:
            hint = 'write agents as `{"TASK-001": "shell", "*": "noop"}`'
            self._findings.expected(node, "an object of agents by task or queue", hint=hint)
        for name, member in node.members().items():
            agent = self._text(member)
            if agent is not None:
                self._rules.agents[normal_id(name)] = agent
            is_known = name == _EVERY or normal_id(name) in self._ids or name.strip() in self._queues
            self._check_known(name, member.key_offset, "task or queue", is_known=is_known)

    def _check_known(self, name: str, offset: int, kind: str, *, is_known: bool) -> None:
        if not is_known:
            likely = self._suggestions.find(name.strip())
            hint = f"write the {kind} as it stands in the plan, or remove it"
            if likely is not None:
                hint = f"did you mean {show(likely)}?"
            self._findings.warn("unmatched", f"{show(name)} is no {kind} of the plan", offset, hint=hint)

    def _names(self, node: Node | None) -> Iterable[tuple[str, int]]:
        """Return the texts of a list, each with its offset."""
        if node is None or node.value is None:
            return []
        if not node.is_list:
            self._findings.expected(node, "a list of names", hint='write a list of texts: `["TASK-001"]`')
        for item in node.items():
            if not isinstance(item.value, str):
                self._findings.expected(item, "a text")
        return [(item.value, item.offset) for item in node.items() if isinstance(item.value, str)]

    def _text(self, node: Node) -> _Name | None:
        if not isinstance(node.value, str) or not node.value.strip():
            hint = "write a name, such as `shell`" if node.value == "" else None
            self._findings.expected(node, "a text that is not empty", hint=hint)
            return None
        return Located(node.value, self._findings.places.at(node.offset))

    def _warn_unknown(self, node: Node, known: tuple[str, ...], owner: str) -> None:
        for key, member in node.members().items():
            if key not in known:
                self._findings.unknown(member, known, is_fault=False, owner=owner)
