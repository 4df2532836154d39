"""The fields of one task as JSON and YAML write them: the same names and meanings in every kind of source.

`command` is a text, or a list of words; for the agent `python` it is `module:function {JSON}`. `commands` is a list
of `{"cmd": …, "cwd": …, "env": {…}}`. `queue` is a route, or else a lane. Ranges are judged in `plan.limits`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from taskexec.plan.draft import DraftTask, Located
from taskexec.sources.task.alternatives import read_alternatives, read_labels
from taskexec.sources.task.commands import CommandReader
from taskexec.sources.task.payload import INSTRUCTIONS, read_payload
from taskexec.sources.task.retry import read_retry
from taskexec.sources.task.telling import KEEP_ONE, put_value, read_texts, refuse_nul, refuse_value
from taskexec.sources.task.values import VALUES, read_route
from taskexec.sources.tree.node import Findings, Node
from taskexec.sources.values.amounts import forbidden_in_id, show
from taskexec.sources.values.needs import LABELS
from taskexec.sources.values.words import parse_status

__all__ = ["ID_HINT", "INSTRUCTIONS", "KEEP_ONE", "TASK_FIELDS", "FieldReader"]

ID_HINT = "give the task an id of its own, a text"
"""What to do about a task without an id."""
_WORDS = ("labels", "acceptance_criteria", "requirements")
_PATHS = ("inputs", "outputs")

TASK_FIELDS = dict.fromkeys(
    (
        *("id", "depends_on", *VALUES, *LABELS, "alternatives", "retry", "queue", "status"),
        *(*_WORDS, *_PATHS, "metadata", *INSTRUCTIONS),
    )
).keys()
"""All fields of a task, in this order."""


@dataclass(slots=True)
class FieldReader:
    """Reads the fields of tasks; what is wrong becomes a fault at its value, and that field says nothing.

    >>> # overriding a task that was read from elsewhere:
    >>> # for name, value in FieldReader(findings).read(node).items(): setattr(task, name, value)
    """

    findings: Findings
    """Where faults and warnings go, and what their codes begin with."""
    is_strict: bool = False
    """Whether an unknown field or word of state is a fault; else a warning."""
    owner: str = "a task"
    """What the fields belong to, in words."""
    is_confined: bool = False
    """Whether a command's folder outside the plan's is a fault."""

    def task(self, node: Node, *, known: Collection[str] = TASK_FIELDS, also: Collection[str] = ()) -> DraftTask | None:
        """Return the task of an object with an `id`; without one there is none, and its shape is a fault.

        Arguments are those of `read`.
        """
        found = self.read(node, known=known, also=also)
        if "id" not in found:
            id_node = node.members().get("id")
            if id_node is None or id_node.value is None:
                self.findings.expected(node, "a task with an `id`", hint=ID_HINT)
            return None
        return DraftTask(**found)

    def read(
        self,
        node: Node,
        *,
        known: Collection[str] = TASK_FIELDS,
        also: Collection[str] = (),
        inherited: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the fields of `DraftTask` that an object names, each with its value; null says nothing.

        Args:
            node: The object; another value is a fault and has no fields.
            known: The fields that may stand here.
            also: Further fields, which the caller reads itself.
            inherited: What is read already, in the same form; its agent counts for `command` when the object
                names none. It is not in the result.
        """
        if not node.is_object:
            self.findings.expected(node, "an object")
            return {}
        found: dict[str, Any] = {}
        at = self.findings.places.at
        members = node.members()
        others: dict[str, Node] = {}
        for key, member in members.items():
            if key not in known:
                if key not in also:
                    self._unknown(member, (*known, *also))
            elif member.value is None:
                continue
            elif (field := VALUES.get(key)) is None:
                others[key] = member
            elif (value := field.convert(member)) is None or (isinstance(value, str) and "\0" in value):
                refuse_value(self.findings, field, member)
            elif field.target in found:
                put_value(self.findings, found, field.target, Located(value, at(member.offset)), member)
            else:
                found[field.target] = Located(value, at(member.offset))
        if others:
            self._read_others(others, found, inherited or {})
        return found

    def id(self, node: Node) -> Located[str] | None:
        """Return an id without blanks around it, or None when it cannot be one.

        A number is a fault, and yet the id that others may name; control characters are a fault as well.
        """
        if not isinstance(node.value, str):
            self.findings.expected(node, "a text", hint=None if isinstance(node.value, int | float) else ID_HINT)
            if type(node.value) not in (int, float):
                return None
        return self.named(node.text(), node.offset)

    def named(self, name: str, offset: int) -> Located[str]:
        """Return an id that stands at an offset, without blanks around it; control characters are a fault."""
        forbidden = forbidden_in_id(name)
        if forbidden is not None:
            message = f"id {show(name)} holds the control character {show(forbidden)}"
            self.findings.fault("character", message, offset, hint="write the id with visible characters")
        return Located(name.strip(), self.findings.places.at(offset))

    def names(self, node: Node) -> list[Located[str]]:
        """Return the ids of a list of texts, or of one text, without blanks around them."""
        at = self.findings.places.at
        return [
            Located(str(item.value).strip(), at(item.offset))
            for item in read_texts(self.findings, node, "a list of ids", "an id")
        ]

    def _read_others(self, said: Mapping[str, Node], found: dict[str, Any], inherited: Mapping[str, Any]) -> None:
        """Read the fields that are no single value, or whose meaning hangs on others."""
        if "id" in said and (name := self.id(said["id"])) is not None:
            found["id"] = name
        if "depends_on" in said:
            found["depends_on"] = self.names(said["depends_on"])
        if "retry" in said:
            self._read_retry(said["retry"], found)
        if "queue" in said:
            self._read_queue(said["queue"], found)
        if "status" in said:
            self._read_status(said["status"], found)
        if "metadata" in said:
            found["metadata"] = self._metadata(said["metadata"])
        self._read_lists(said, found)
        self._read_instructions([said[key] for key in INSTRUCTIONS if key in said], found, inherited)

    def _read_lists(self, said: Mapping[str, Node], found: dict[str, Any]) -> None:
        for key in _WORDS:
            if key in said:
                found[key] = tuple(str(item.value) for item in read_texts(self.findings, said[key]))
        for key in _PATHS:
            if key in said:
                found[key] = tuple(self._paths(said[key]))
        for key, target in LABELS.items():
            if key in said:
                found[target] = read_labels(said[key], self.findings)
        if "alternatives" in said:
            found["alternatives"] = read_alternatives(said["alternatives"], self.findings, is_strict=self.is_strict)

    def _read_instructions(self, said: list[Node], found: dict[str, Any], inherited: Mapping[str, Any]) -> None:
        if len(said) > 1:
            both = " and ".join(f"`{member.key}`" for member in said)
            offsets = [member.key_offset for member in said]
            self.findings.fault("shape", f"{both} of one task say what to do", *offsets, hint=KEEP_ONE)
        elif said:
            agent = found.get("agent") or inherited.get("agent")
            reader = CommandReader(self.findings, is_strict=self.is_strict, is_confined=self.is_confined)
            name = None if agent is None else agent.value.strip()
            found["payload"] = read_payload(said[0], name, reader)

    def _read_retry(self, node: Node, found: dict[str, Any]) -> None:
        said = read_retry(node, self.findings, is_strict=self.is_strict)
        if isinstance(said, Located):
            put_value(self.findings, found, "retries", said, node)
        elif said is not None:
            found["retry"] = said

    def _paths(self, node: Node) -> list[Located[str]]:
        at = self.findings.places.at
        texts = read_texts(self.findings, node, "a list of paths", "a path as a text")
        return [Located(str(item.value), at(item.offset)) for item in texts]

    def _read_queue(self, node: Node, found: dict[str, Any]) -> None:
        route = read_route(node)
        place = self.findings.places.at(node.offset)
        if route is not None:
            put_value(self.findings, found, "route", Located(route, place), node)
        elif not isinstance(node.value, str):
            self.findings.expected(node, "a route or a lane", hint='write a text such as `"gpu"` or `"nightly"`')
        elif "\0" in node.value:
            refuse_nul(self.findings, node)
        elif "lane" not in found:
            found["lane"] = Located(node.value, place)
        elif found["lane"].value != node.value:
            message = f"lane {show(found['lane'].value)} is taken, the queue's name {show(node.value)} is not"
            self.findings.warn("lane", message, node.offset, hint="keep `lane` or `queue`")

    def _read_status(self, node: Node, found: dict[str, Any]) -> None:
        if not isinstance(node.value, str):
            self.findings.expected(node, "a text such as `done` or `open`", hint='write `"done"` or `"open"`')
            return
        is_done = parse_status(node.value.strip())
        if is_done is not None:
            put_value(self.findings, found, "satisfied", Located(is_done, self.findings.places.at(node.offset)), node)
            return
        message = f"status {show(node.value)} is not known"
        say = self.findings.fault if self.is_strict else self.findings.warn
        say("status", message, node.offset, hint="`done` and `open` are; anything else is not done")

    def _metadata(self, node: Node) -> dict[str, str]:
        if not node.is_object:
            self.findings.expected(node, "an object of texts", hint='write it as `{"owner": "Ann"}`')
        metadata = {}
        for key, member in node.members().items():
            if "\0" in key or (isinstance(member.value, str) and "\0" in member.value):
                refuse_nul(self.findings, member)
            elif member.is_object or member.is_list:
                self.findings.expected(member, "a text, a number or a truth value")
            elif member.value is not None:
                metadata[key] = member.text()
        return metadata

    def _unknown(self, node: Node, known: Collection[str]) -> None:
        is_of_task = node.key in TASK_FIELDS and self.owner != "a task"
        hint = f"write it in each task: {self.owner} cannot say it" if is_of_task else None
        self.findings.unknown(node, known, is_fault=self.is_strict, owner=self.owner, hint=hint)
