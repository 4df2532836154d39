"""Applying a hooks file: commands for single tasks or for all tasks of a lane, kept apart from the plan.

The file is JSON: `{"TASK-001": {"commands": [{"cmd": ["make", "test"], "cwd": "sub", "env": {"CI": "1"}}]}}`. The
commands of a hook run in order until one fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskexec.domain.task import JSON
from taskexec.errors import Fault
from taskexec.plan.draft import PlanDraft
from taskexec.plan.suggestion import Suggestions
from taskexec.sources.task.commands import CommandReader
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Unreadable, did_you_mean
from taskexec.sources.values.amounts import show

__all__ = ["apply_hooks"]

_SHAPE_HINT = 'a hook looks like {"TASK-001": {"commands": [{"cwd": ".", "cmd": ["echo", "x"]}]}}'


def apply_hooks(draft: PlanDraft, text: str, source: str, *, allow_outside: bool = False) -> None:
    """Give the tasks of a draft the commands of a hooks file.

    A key is a task's id or a lane's full name; a task's own hook wins over its lane's. A task that a hook
    matches becomes a shell task, whatever it was; an empty list of commands makes it do nothing. Faults and
    warnings go to the draft; a hook with a fault is not applied.

    Args:
        draft: The plan; changed in place.
        text: The whole hooks file, JSON; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
        allow_outside: Whether a `cwd` may be absolute, or leave the plan's folder by `..`; else it is a fault.
    """
    text = text.removeprefix("\ufeff")
    findings = Findings(TextPlaces(text, source), "hooks", draft.faults, draft.warnings)
    draft.reading.files.append(source)
    try:
        root, faults = parse_json(text, findings.places, code="hooks")
    except Unreadable as unreadable:
        draft.faults.append(_with_remedy(unreadable.fault, text))
        return
    draft.faults.extend(faults)
    payloads = _HookReader(findings, allow_outside=allow_outside).read(root)
    _warn_unmatched(draft, findings, root)
    hooks = root.members()
    for task in draft.tasks:
        lane = None if task.lane is None else task.lane.value
        key = next((key for key in (task.id.value, lane) if key is not None and key in hooks), None)
        if key in payloads:
            task.payload, task.agent = payloads[key], None


class _HookReader:
    """Reads the hooks of a file."""

    def __init__(self, findings: Findings, *, allow_outside: bool) -> None:
        self._findings = findings
        self._commands = CommandReader(findings, hint=_SHAPE_HINT, is_confined=not allow_outside)

    def read(self, root: Node) -> dict[str | None, Mapping[str, JSON]]:
        """Return the payload for each key whose hook has no fault."""
        if not root.is_object:
            self._findings.expected(root, "an object of hooks", hint=_SHAPE_HINT)
        hooks = {key: self._payload(hook) for key, hook in root.members().items()}
        return {key: payload for key, payload in hooks.items() if payload is not None}

    def _payload(self, hook: Node) -> Mapping[str, JSON] | None:
        commands = hook.members().get("commands")
        if commands is None:
            self._findings.expected(hook, "a hook with `commands`", hint=_SHAPE_HINT)
            return None
        for key, member in hook.members().items():
            if key != "commands":
                hint = did_you_mean(key, ("commands",)) or f"remove it; {_SHAPE_HINT}"
                self._findings.unknown(member, ("commands",), is_fault=False, owner="a hook", hint=hint)
        found = self._commands.read_list(commands)
        return None if found is None else {"commands": [command.to_json() for command in found]}


def _warn_unmatched(draft: PlanDraft, findings: Findings, root: Node) -> None:
    """Warn of every key that names no task and no lane, with the name that it may have been meant for."""
    known = dict.fromkeys(task.id.value for task in draft.tasks)
    known |= dict.fromkeys(task.lane.value for task in draft.tasks if task.lane is not None)
    suggestions = Suggestions(known)
    for key, hook in root.members().items():
        if key not in known:
            message = f"hook {show(key)} is used by no task: it is neither an id nor a lane of the plan"
            likely = suggestions.find(key)
            hint = "write a lane's name in full, with its dash, as it stands in the plan"
            if likely is not None:
                hint = f"did you mean {show(likely)}?"
            findings.warn("unmatched", message, hook.key_offset, hint=hint)


def _with_remedy(fault: Fault, text: str) -> Fault:
    """Return the fault of a text that is no JSON with what to write instead, if it looks like something else."""
    if fault.code != "hooks.json" or text.lstrip().startswith(("{", "[")):
        return fault
    return replace(fault, hint=f"a hooks file is JSON, nothing else; {_SHAPE_HINT}")
