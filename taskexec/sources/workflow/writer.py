"""Writing a plan as a workflow (YAML) that `read_workflow` reads as the same plan."""

from __future__ import annotations

from typing import Any

import yaml

from taskexec.plan import Plan
from taskexec.sources.task.writer import task_fields
from taskexec.sources.tree.yaml_scalars import resolve_scalar

__all__ = ["write_workflow"]

_VERSION = 1
_NEXT_LINE = "\x85"
_WIDTH = 1_000_000
"""Lines are not folded: a command stays on its line."""


def write_workflow(plan: Plan) -> str:
    """Return a plan as a workflow with one entry for each task, in source order."""
    tasks = {task.id: _entry(task_fields(task)) for task in plan.tasks}
    document = {"version": _VERSION, "tasks": tasks}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _entry(fields: dict[str, Any]) -> Any:
    """Return the shortest entry that says these fields: nothing, a command alone, or all of them."""
    if not fields:
        return None
    return fields["command"] if list(fields) == ["command"] else fields


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.2 would take for something else, and never writes an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_text(text) else '"')


def _represent_nothing(dumper: yaml.SafeDumper, _value: None) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:null", "null")


def _is_text(text: str) -> bool:
    """Return whether a text without quotes, or in single ones, is read as itself."""
    if _NEXT_LINE in text:  # a line break for YAML 1.1 only
        return False
    try:
        return bool(resolve_scalar(text, None, is_plain=True) == text)
    except ValueError:
        return False


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(type(None), _represent_nothing)
