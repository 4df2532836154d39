"""The fields of one task as JSON, YAML and `Details` write them: those that say more than a reader supposes."""

from __future__ import annotations

from typing import Any

from taskexec.domain.resources import choose_route
from taskexec.domain.task import Task
from taskexec.plan import task_to_json
from taskexec.sources.task.instructions import NEED_COMMAND, command_text, implied_agent

__all__ = ["task_fields"]

_SUPPOSED: dict[str, Any] = {
    "title": "",
    "payload": {},
    "depends_on": [],
    "lane": None,
    "cpus": 1.0,
    "memory_mib": 0,
    "duration_s": None,
    "timeout_s": None,
    "retries": 0,
    "priority": 0,
    "layer": None,
    "metadata": {},
}
"""What a reader supposes of the fields that `task_to_json` always gives."""
_AS_IT_IS = frozenset({"payload", "metadata"})


def task_fields(task: Task) -> dict[str, Any]:
    """Return the fields of a task that its reader could not suppose, without its id; a command as its text."""
    fields = {name: value for name, value in task_to_json(task).items() if name != "id"}
    supposed = _SUPPOSED | {
        "agent": implied_agent(task),
        "route": choose_route(None, task.needs).value,
        "gpus": 1.0 if task.needs.gpu_memory_mib else 0.0,
    }
    said = {
        name: value if name in _AS_IT_IS else _plain(value)
        for name, value in fields.items()
        if name not in supposed or value != supposed[name]
    }
    if task.agent in NEED_COMMAND and not task.payload:
        said["payload"] = {}  # says that nothing is meant, where a command would be missed
    command = command_text(task)
    if command is None:
        return said
    said.pop("payload", None)
    return {"command": command} | said


def _plain(value: Any) -> Any:
    """Return a whole number without its decimals, also within what is said of retries and alternatives."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
