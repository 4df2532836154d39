"""The plan: an immutable, validated, digested graph of tasks, and its form as plan.json."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from taskexec.domain.clock import iso_time
from taskexec.domain.resources import Alternative, Needs
from taskexec.domain.retry import DEFAULT_RETRY
from taskexec.domain.task import Task
from taskexec.errors import Fault, NotFound, Place
from taskexec.plan.digest import digest_of_meaning
from taskexec.plan.draft import Reading
from taskexec.plan.folders import evidence_folder
from taskexec.plan.graph import Graph

__all__ = ["Plan", "normal_id", "plan_to_json", "queue_name", "task_to_json"]

_FORMAT_VERSION = 2
_get_later = attrgetter(
    *("gpu_memory_mib", "disk_mib", "has", "has_not", "exclusive", "nodes", "packed", "alternatives")
)
_NOTHING_LATER = _get_later(Needs())


def normal_id(text: str) -> str:
    """Return an id in the form in which ids are compared: trimmed, in Unicode's composed form (NFC)."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked plan. Equal plans mean the same, whatever file, row order or formatting they come from."""

    source: str
    """The file it was read from, as the user gave it."""
    kind: str
    """`csv`, `sot`, `workflow` (YAML) or `plan` (JSON)."""
    tasks: tuple[Task, ...]
    """In source order; at least one."""
    places: tuple[Place, ...]
    """Where each task stands, by index; not part of the meaning."""
    graph: Graph
    """Dependencies by index into `tasks`; acyclic."""
    warnings: tuple[Fault, ...] = ()
    """What was read, but may not be what was meant."""
    reading: Reading = field(default_factory=Reading)
    """How the source was understood; not part of the meaning."""

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Plan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits over all that the tasks mean.

        Raises:
            TypeError: A payload holds what JSON cannot carry; never for a plan of `build_plan`.
        """
        return digest_of_meaning(map(task_to_json, self.tasks))

    def index_of(self, task_id: str) -> int:
        """Return the index of a task.

        Raises:
            NotFound: The plan has no task with this id.
        """
        index = self._indices.get(normal_id(task_id))
        if index is None:
            raise NotFound(f"no task `{task_id}` in {self.source}")
        return index

    @cached_property
    def _indices(self) -> Mapping[str, int]:
        return {task.id: index for index, task in enumerate(self.tasks)}


def task_to_json(task: Task) -> dict[str, Any]:
    """Return a task as it stands in plan.json; later fields are left out where they say nothing."""
    fields: dict[str, Any] = {
        "id": task.id,
        "title": task.title,
        "agent": task.agent,
        "payload": task.payload if isinstance(task.payload, dict) else dict(task.payload),
        "depends_on": list(task.depends_on),
        "lane": task.lane,
        "route": task.route.value,
        "cpus": task.needs.cpus,
        "memory_mib": task.needs.memory_mib,
        "gpus": task.needs.gpus,
        "duration_s": task.duration_s,
        "timeout_s": task.timeout_s,
        "retries": task.retries,
        "priority": task.priority,
        "layer": task.layer,
        "metadata": dict(task.metadata),
    }
    if _get_later(task.needs) != _NOTHING_LATER:
        fields |= _later_needs(task.needs)
    if task.is_satisfied:
        fields["satisfied"] = True
    for name in ("labels", "acceptance_criteria", "requirements", "inputs", "outputs"):
        if getattr(task, name):
            fields[name] = list(getattr(task, name))
    if task.retry is not DEFAULT_RETRY and (retry := task.retry.to_json()):
        fields["retry"] = retry
    if task.total_timeout_s is not None:
        fields["total_timeout_s"] = task.total_timeout_s
    if task.deadline_at is not None:
        fields["deadline_at"] = iso_time(task.deadline_at)
    return fields


def _later_needs(needs: Needs) -> dict[str, Any]:
    """Return what a task or an alternative asks for beside cores, memory and GPUs, where it says something."""
    said = {
        "gpu_memory_mib": needs.gpu_memory_mib,
        "disk_mib": needs.disk_mib,
        "has": list(needs.has),
        "not": list(needs.has_not),
        "exclusive": needs.exclusive,
        "nodes": needs.nodes if needs.nodes != 1 else 0,
        "packed": needs.packed,
        "alternatives": [*map(_alternative_to_json, needs.alternatives)],
    }
    return {name: value for name, value in said.items() if value}


def _alternative_to_json(alternative: Alternative) -> dict[str, Any]:
    """Return an alternative; how many ranks a task has is not its to say."""
    needs = alternative.needs
    fields: dict[str, Any] = {"weight": alternative.weight, "cpus": needs.cpus}
    if needs.memory_mib:
        fields["memory_mib"] = needs.memory_mib
    if needs.gpus or needs.gpu_memory_mib:
        fields["gpus"] = needs.gpus
    return fields | _later_needs(replace(needs, nodes=1, packed=False))


def queue_name(task: Task) -> str:
    """Return the group that people see a task in: its lane, or its route when it has none."""
    return task.lane or task.route.value


def plan_to_json(plan: Plan, *, generated_at: str | None = None) -> dict[str, Any]:
    """Return a plan as plan.json, version 2; it keeps the fields of the older kit's version 1.

    Args:
        plan: The plan.
        generated_at: Instant in ISO 8601 that the file states as its own; None states none.
    """
    folders = {task.id: evidence_folder(task.id) for task in plan.tasks}
    return {
        "version": _FORMAT_VERSION,
        "source": plan.source,
        **({} if generated_at is None else {"generated_at": generated_at}),
        "digest": plan.digest,
        "queues": _queues(plan.tasks),
        "tasks": [task_to_json(task) for task in plan.tasks],
        "folders": {task_id: folder for task_id, folder in folders.items() if folder != task_id},
    }


def _queues(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    queues: dict[str, list[dict[str, Any]]] = {}
    for task in tasks:
        queues.setdefault(queue_name(task), []).append({"id": task.id, "title": task.title, "layer": task.layer})
    return [{"name": name, "tasks": members} for name, members in queues.items()]
