"""Plans made by a program: tasks, stages and what depends on what."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.errors import Fault, Place, PlanRejected, UsageError

if TYPE_CHECKING:
    from taskexec.client.sync import Client, Run
    from taskexec.plan import Plan

__all__ = ["Stage", "TaskRef", "WorkflowBuilder"]

_UNKNOWN_FIELD = "planfile.unknown_field"
"""A warning in a file, which another version may have written; in a program it is a mistake."""
_JSON_PATH = re.compile(r"`\$\.tasks\[(\d+)\]\.?([^`]*)`")
_FORMS = {".csv": "csv", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".md": "sot"}


class TaskRef:
    """A task of a workflow; `a >> b` says that `b` waits for `a`."""

    def __init__(self, task: str, depends_on: list[str]) -> None:
        self.id = task
        self._depends_on = depends_on

    def __repr__(self) -> str:
        """Return what it is."""
        return f"TaskRef({self.id!r})"

    def after(self, *others: str | TaskRef) -> TaskRef:
        """Have it wait for others; return itself."""
        self._depends_on.extend(str(other.id if isinstance(other, TaskRef) else other) for other in others)
        return self

    def __rshift__(self, other: Any) -> Any:
        """Have another task, or each of several, wait for this one; return what stands at the right."""
        for one in _several(other):
            one.after(self)
        return other

    def __rrshift__(self, others: Iterable[TaskRef]) -> TaskRef:
        """Have this task wait for several."""
        return self.after(*others)

    def __lshift__(self, other: Any) -> Any:
        """Have this task wait for another, or for each of several; return what stands at the right."""
        self.after(*_several(other))
        return other


class Stage:
    """Tasks of a workflow that all wait for all tasks of the stage before."""

    def __init__(self, workflow: WorkflowBuilder, name: str, before: Stage | None) -> None:
        self.name = name
        self.tasks: list[TaskRef] = []
        self._workflow = workflow
        self._before = before

    def add(self, task: str, command: str | None = None, **fields: Any) -> TaskRef:
        """Add a task to it; arguments as `WorkflowBuilder.add`. Its lane is the stage, unless `lane` says another."""
        ref = self._workflow._add(_caller(), task, command, {"lane": self.name, **fields})
        self.tasks.append(ref)
        return ref

    def _join(self) -> None:
        """Have its tasks wait for those of the nearest stage before that has any."""
        before = self._before
        while before is not None and not before.tasks:
            before = before._before
        for task in self.tasks if before is not None else ():
            task.after(*before.tasks if before is not None else ())


class WorkflowBuilder:
    """A plan that a program puts together; what is wrong with it is told by `build`, all at once.

    >>> flow = WorkflowBuilder("nightly")
    >>> build = flow.add("build", "make")
    >>> test = flow.add("test", "make test", memory="2G")
    >>> build >> test
    TaskRef('test')
    >>> [task.id for task in flow.build().tasks]
    ['build', 'test']
    """

    def __init__(self, name: str = "workflow") -> None:
        """Begin an empty workflow; its name stands where the file of a plan would stand."""
        self.name = name
        self._tasks: list[tuple[dict[str, Any], list[str], Place]] = []
        self._stages: list[Stage] = []

    def add(self, task: str, command: str | None = None, **fields: Any) -> TaskRef:
        """Add a task.

        Args:
            task: Its id.
            command: Command line for the shell; None where `call`, `agent` or nothing says what it does.
            fields: `depends_on` is a task or a list of them, by id or as `TaskRef`; `call` a Python callable as
                `module:function`, with `args` and `kwargs`; `agent` and `payload` any agent's; all else as in a plan:
                `cpus`, `memory`, `gpus`, `timeout`, `retries`, `priority`, `lane`, `labels`, …

        Returns:
            The task, for `>>`.
        """
        return self._add(_caller(), task, command, fields)

    def stage(self, name: str) -> Stage:
        """Begin a stage: what is added to it waits for everything in the stage before."""
        stage = Stage(self, name, self._stages[-1] if self._stages else None)
        self._stages.append(stage)
        return stage

    def __len__(self) -> int:
        """Return the number of its tasks."""
        return len(self._tasks)

    def build(self) -> Plan:
        """Return the checked plan; the workflow can be added to afterwards.

        Raises:
            PlanRejected: It has faults; places are the lines of the program that added the tasks.
        """
        from taskexec.plan import Located, build_plan
        from taskexec.sources import read_planfile

        text, faults = self._text()
        if faults:
            raise PlanRejected(faults)
        draft = read_planfile(text, self.name, allow_outside=True)
        draft.kind = "workflow"
        draft.reading.form = f"workflow built by a program, {len(self)} tasks"
        for task, (_, _, place) in zip(draft.tasks, self._tasks, strict=False):
            task.id = Located(task.id.value, place)
        draft.faults += [fault for fault in draft.warnings if fault.code == _UNKNOWN_FIELD]
        try:
            return build_plan(draft)
        except PlanRejected as error:
            raise PlanRejected([self._placed(fault) for fault in error.faults()]) from None

    def submit(self, client: Client, **options: Any) -> Run:
        """Submit it; options are those of `SubmitOptions`."""
        return client.submit(self, **options)

    def to_yaml(self) -> str:
        """Return it as the text of a workflow file.

        Raises:
            PlanRejected: It has faults.
        """
        from taskexec.sources import write_plan

        return write_plan(self.build(), "yaml")

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, in the form of its suffix: `.yaml`, `.json`, `.csv` or `.md`; return the path.

        Raises:
            PlanRejected: It has faults.
            UsageError: The suffix is another.
        """
        from taskexec.sources import write_plan

        target = Path(path)
        form = _FORMS.get(target.suffix.lower())
        if form is None:
            raise UsageError(f"`{target.name}` should end in one of {', '.join(_FORMS)}")
        target.write_text(write_plan(self.build(), form), encoding="utf-8")
        return target

    def _add(self, place: Place, task: str, command: str | None, fields: Mapping[str, Any]) -> TaskRef:
        given = dict(fields)
        depends_on = [str(one.id if isinstance(one, TaskRef) else one) for one in _several(given.pop("depends_on", ()))]
        said = {"id": task} | ({} if command is None else {"command": command}) | _instructions(given)
        self._tasks.append((said, depends_on, place))
        return TaskRef(task, depends_on)

    def _text(self) -> tuple[str, list[Fault]]:
        """Return the plan as JSON, one task a line from line 2 on, and what cannot be written as JSON."""
        added = [list(depends_on) for _, depends_on, _ in self._tasks]
        for stage in self._stages:
            stage._join()
        lines, faults = [], []
        for said, depends_on, place in self._tasks:
            try:
                lines.append(json.dumps(said | {"depends_on": list(dict.fromkeys(depends_on))}, allow_nan=False))
            except (TypeError, ValueError) as error:
                faults.append(
                    Fault("workflow.value", f"task `{said['id']}` cannot be written as JSON: {error}", (place,))
                )
        for (_, depends_on, _), before in zip(self._tasks, added, strict=True):
            depends_on[:] = before  # a stage may still grow
        return '{"tasks": [\n' + ",\n".join(lines) + "\n]}", faults

    def _placed(self, fault: Fault) -> Fault:
        """Return a fault in the words and at the places of the program."""
        places = [
            self._tasks[place.line - 2][2] if place.file == self.name and place.line >= 2 else place
            for place in fault.places
        ]
        message = _JSON_PATH.sub(self._field, fault.message).replace(
            " of a task means nothing and is ignored", " means nothing"
        )
        return replace(fault, message=message, places=tuple(dict.fromkeys(places)))

    def _field(self, path: re.Match[str]) -> str:
        said = f"task `{self._tasks[int(path[1])][0]['id']}`"
        return f"`{path[2]}` of {said}" if path[2] else said


def _instructions(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a task with a Python callable put as its agent takes it."""
    call = given.pop("call", None)
    if call is None:
        return given
    arguments = {name: given.pop(name) for name in ("args", "kwargs") if name in given}
    return {"agent": "python", "payload": {"call": _name_of(call), **arguments}, **given}


def _name_of(call: str | Callable[..., Any]) -> str:
    """Return `module:function`; a function stands for its own name."""
    if isinstance(call, str):
        return call
    module, name = getattr(call, "__module__", None), getattr(call, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise UsageError(
            f"`{name or call!r}` is not a function that a worker could import",
            hint="give `module:function`, of a module in the folder of the project",
        )
    return f"{module}:{name}"


def _several(given: Any) -> Sequence[Any]:
    return [given] if isinstance(given, str | TaskRef) else list(given)


def _caller() -> Place:
    """Return the line of the program that called the method that called this."""
    frame = sys._getframe(2)
    return Place(frame.f_code.co_filename, frame.f_lineno)
