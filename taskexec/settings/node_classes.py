"""The classes of nodes that `tek autoscale` counts, read from YAML (or JSON of the same shape):

    classes:
      cpu: {cpus: 16, memory: 64G, min: 1, max: 20}
      gpu: {cpus: 32, memory: 256G, gpus: 4, gpu_memory: 80G, labels: [ssd], max: 4}

A class serves the queue of its name, or those of `queues`. Whatever is preferred for what fits on several stands first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from taskexec.domain.autoscale import NodeClass
from taskexec.domain.labels import label_problem
from taskexec.domain.resources import Capacity, Gpu, Route
from taskexec.domain.sizes import parse_memory_mib
from taskexec.errors import Place, UsageError
from taskexec.settings.areas import Area

__all__ = ["NodeClassSettings", "read_node_classes"]


class NodeClassSettings(Area):
    """What is said of one class."""

    cpus: float = Field(gt=0, le=100_000, description="Cores of a node")
    memory: int = Field(default=0, ge=0, le=2**40, description="Memory of a node, in MiB or as `64G`")
    disk: int = Field(
        default=2**30, ge=0, le=2**50, description="Disk of a node, in MiB or as `1T`; as good as endless"
    )
    gpus: int = Field(default=0, ge=0, le=1024, description="GPUs of a node")
    gpu_memory: int = Field(default=0, ge=0, le=2**40, description="Memory of each of them")
    slots: int | None = Field(default=None, ge=1, le=4096, description="Tasks at once; none is one a core")
    labels: tuple[str, ...] = Field(default=(), description="Labels of its nodes")
    queues: tuple[Route, ...] = Field(default=(), description="Queues that they serve; none is that of its name")
    min: int = Field(default=0, ge=0, le=1_000_000, description="Nodes that always stay")
    max: int = Field(default=1, ge=0, le=1_000_000, description="Nodes there may be")

    @field_validator("memory", "disk", "gpu_memory", mode="before")
    @classmethod
    def _read_size(cls, value: object) -> object:
        return parse_memory_mib(value.strip()) if isinstance(value, str) else value

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if problem := label_problem(label):
                raise ValueError(f"label `{label}` {problem}")
        return labels

    def to_class(self, name: str) -> NodeClass:
        """Return the class of a name.

        Raises:
            ValueError: It serves no queue, or its limits are the wrong way round.
        """
        routes = self.queues or tuple(route for route in Route if route == name)
        if not routes:
            raise ValueError("should have `queues`, since no queue is called like it")
        if self.min > self.max:
            raise ValueError(f"has a `min` of {self.min} above its `max` of {self.max}")
        gpus = tuple(Gpu(f"{name}-{number}", "", self.gpu_memory) for number in range(self.gpus))
        capacity = Capacity(
            cpus=self.cpus,
            memory_mib=self.memory,
            gpus=gpus,
            slots=self.slots or max(1, int(self.cpus)),
            disk_mib=self.disk,
            labels=frozenset(self.labels),
        )
        return NodeClass(name=name, capacity=capacity, routes=tuple(map(str, routes)), least=self.min, most=self.max)


def read_node_classes(path: Path) -> list[NodeClass]:
    """Return the classes that a file names, in its order.

    Raises:
        UsageError: It cannot be read, or something in it cannot be used.
    """
    place = Place(str(path))
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}", place=place) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"the file is no YAML: {' '.join(str(error).split())}", place=place) from error
    named = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(named, dict) or not named:
        raise UsageError(
            "`classes` was expected, with at least one",
            hint="write `classes: {cpu: {cpus: 16, memory: 64G, max: 20}}`",
            place=place,
        )
    return [_read(str(name), said, place) for name, said in named.items()]


def _read(name: str, said: Any, place: Place) -> NodeClass:
    if not isinstance(said, dict):
        raise UsageError(f"class `{name}` should say what its nodes have, as `{{cpus: 16}}`", place=place)
    try:
        return NodeClassSettings(**{str(key): value for key, value in said.items()}).to_class(name)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"class `{name}`: `{where}`: {first['msg'].lower()}", place=place) from error
    except ValueError as error:
        raise UsageError(f"class `{name}` {error}", place=place) from error
