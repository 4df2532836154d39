"""Reading a cluster to simulate from YAML (or JSON of the same shape):

    version: 1
    workers:
      - {name: big, count: 4, cpus: 64, memory: 256G, classes: [cpu]}
      - {name: gpu, cpus: 96, memory: 1T, gpus: 8, gpu_memory: 80G, gpu_model: H100, labels: [ssd], join_at: 10m}

Only `name` and `cpus` must be said. A worker has as many slots as cores, serves all queues and has all agents unless
something else is said. Faults are all found at once, each with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taskexec.domain.resources import Capacity, Gpu, Route
from taskexec.domain.sizes import parse_memory_mib
from taskexec.errors import Fault, Place, PlanRejected
from taskexec.simulation.cluster import WORKERS_MAX, ClusterSpec, WorkerGroup
from taskexec.sources.decoding import decode
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.node import Findings, Node, Unreadable
from taskexec.sources.tree.yaml_text import parse_yaml
from taskexec.sources.values.amounts import ROUTES, parse_amount, parse_count, show
from taskexec.sources.values.durations import parse_duration_s

__all__ = ["TOP_FIELDS", "WORKER_FIELDS", "read_cluster"]

TOP_FIELDS = ("version", "workers")
"""What may stand at the top."""
_GPUS_MAX = 1024
_CODE = "cluster_spec"
_EXAMPLE = (
    "write `workers:`, and below it an entry for each kind, such as `- {name: w, count: 4, cpus: 16, memory: 64G}`"
)
_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    "count": parse_count,
    "cpus": parse_amount,
    "memory": parse_memory_mib,
    "gpus": parse_count,
    "gpu_memory": parse_memory_mib,
    "disk": parse_memory_mib,
    "slots": parse_count,
    "join_at": parse_duration_s,
    "leave_at": parse_duration_s,
    "start_overhead_s": parse_amount,
}
_LISTS = ("labels", "classes", "agents")
WORKER_FIELDS = ("name", *_NUMBERS, "gpu_model", *_LISTS)
"""What may be said of workers."""


def read_cluster(path: Path) -> ClusterSpec:
    """Return the cluster that a file describes.

    Raises:
        PlanRejected: The file cannot be read, or has faults; all of them are listed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        place = Place(str(path))
        raise PlanRejected(
            [Fault(f"{_CODE}.missing", f"the file cannot be read: {error.strerror}", (place,))]
        ) from error
    text = decode(data, str(path)).text
    findings = Findings(TextPlaces(text, str(path)), _CODE)
    try:
        root, duplicates = parse_yaml(text, findings.places, code=_CODE)
    except Unreadable as unreadable:
        raise PlanRejected([unreadable.fault]) from unreadable
    findings.faults += duplicates
    groups = _SpecReader(findings).read(root)
    if findings.faults:
        raise PlanRejected(findings.faults)
    return ClusterSpec(tuple(groups), str(path))


class _SpecReader:
    """Reads the tree of a specification."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def read(self, root: Node) -> list[WorkerGroup]:
        """Return the groups; what is wrong is in the findings."""
        for key, member in root.members().items():
            if key not in TOP_FIELDS:
                self._findings.unknown(member, TOP_FIELDS, is_fault=True, owner="a cluster")
        version = root.members().get("version")
        if version is not None and version.text() not in ("1", "1.0"):
            message = f"version {show(version.text())} is not known; 1 was expected"
            self._findings.fault("version", message, version.offset, hint="this file needs a newer `tek`")
        workers = root.members().get("workers")
        if workers is None or not workers.is_list or not workers.items():
            self._findings.expected(workers or root, "a list of workers", hint=_EXAMPLE)
            return []
        groups, names = [], dict[str, int]()
        for node in workers.items():
            group = self._group(node)
            if group is None:
                continue
            groups.append(group)
            for name in (group.name, *(group.names() if group.count <= WORKERS_MAX else ())):
                first = names.setdefault(name, node.offset)
                if first != node.offset:
                    message = f"two workers are called {show(name)}"
                    self._findings.fault("name", message, first, node.offset, hint="give each entry a name of its own")
                    break
        if sum(group.count for group in groups) > WORKERS_MAX:
            message = f"there are more than {WORKERS_MAX:,} workers"
            self._findings.fault("count", message, workers.offset, hint="simulate fewer")
        return groups

    def _group(self, node: Node) -> WorkerGroup | None:
        if not node.is_object:
            self._findings.expected(node, "an object of what a worker has", hint=_EXAMPLE)
            return None
        before = len(self._findings.faults)
        for key, member in node.members().items():
            if key not in WORKER_FIELDS:
                self._findings.unknown(member, WORKER_FIELDS, is_fault=True, owner="a worker")
        said = {key: member for key, member in node.members().items() if member.value is not None}
        name = self._text(said["name"]) if "name" in said else None
        found = {key: self._number(said[key], parse) for key, parse in _NUMBERS.items() if key in said}
        lists = {key: self._texts(said[key]) for key in _LISTS if key in said}
        routes = self._routes(said["classes"], lists["classes"]) if "classes" in said else frozenset(Route)
        model = self._text(said["gpu_model"]) if "gpu_model" in said else ""
        for needed in ("name", "cpus"):
            if needed not in said:
                self._findings.expected(node, f"a worker with {show(needed)}", hint=_EXAMPLE)
        self._check_ranges(said, found)
        if len(self._findings.faults) > before or name is None:
            return None
        gpus = (Gpu(f"gpu-{number}", model or "", found.get("gpu_memory", 0)) for number in range(found.get("gpus", 0)))
        capacity = Capacity(
            cpus=found["cpus"],
            memory_mib=found.get("memory", 0),
            gpus=tuple(gpus),
            slots=found.get("slots", max(1, int(found["cpus"]))),
            disk_mib=found.get("disk", 0),
            labels=frozenset(lists.get("labels", ())),
        )
        return WorkerGroup(
            name=name,
            capacity=capacity,
            count=found.get("count", 1),
            routes=routes,
            agents=frozenset(lists["agents"]) if "agents" in lists else None,
            join_at_s=found.get("join_at", 0.0),
            leave_at_s=found.get("leave_at"),
            start_overhead_s=found.get("start_overhead_s", 0.0),
        )

    def _check_ranges(self, said: Mapping[str, Node], found: Mapping[str, Any]) -> None:
        least = {"count": 1, "slots": 1}
        for key, lowest in least.items():
            if found.get(key) is not None and found[key] < lowest:
                self._findings.expected(said[key], f"a whole number of at least {lowest}")
        if (found.get("gpus") or 0) > _GPUS_MAX:
            self._findings.expected(said["gpus"], f"at most {_GPUS_MAX:,} GPUs")
        leaves, joins = found.get("leave_at"), found.get("join_at") or 0.0
        if leaves is not None and leaves <= joins:
            self._findings.expected(said["leave_at"], "a time after `join_at`")

    def _number(self, node: Node, parse: Callable[[str], Any]) -> Any:
        if node.is_object or node.is_list or isinstance(node.value, bool):
            self._findings.expected(node, "an amount")
            return None
        try:
            return parse(node.text())
        except ValueError as error:
            message = f"{show(node.text())} stands at {show(node.path)}: {error}"
            self._findings.fault("amount", message, node.offset)
            return None

    def _text(self, node: Node) -> str | None:
        if isinstance(node.value, dict | list | bool) or not node.text().strip():
            self._findings.expected(node, "a text")
            return None
        return node.text().strip()

    def _texts(self, node: Node) -> list[str]:
        texts = [self._text(item) for item in (node.items() if node.is_list else [node])]
        return [text for text in texts if text is not None]

    def _routes(self, node: Node, names: list[str]) -> frozenset[Route]:
        unknown = [name for name in names if name.lower() not in ROUTES]
        if unknown or not names:
            message = f"{show(unknown[0] if unknown else 'nothing')} is no queue; cpu, gpu or distributed was expected"
            self._findings.fault("class", message, node.offset)
        return frozenset(ROUTES[name.lower()] for name in names if name.lower() in ROUTES)
