"""Applying a hooks file: commands for single tasks or for all tasks of a lane, kept apart from the plan."""

from __future__ import annotations

from collections.abc import Mapping

from taskexec.domain.command import Command, parse_command
from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.plan.draft import PlanDraft
from taskexec.sources.json_places import JSONUnreadable, Node, parse_json
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.values import show

__all__ = ["apply_hooks"]

_SHAPE = '{"TASK-001": {"commands": [{"cwd": ".", "cmd": ["echo", "x"]}]}}'


def apply_hooks(draft: PlanDraft, text: str, source: str) -> None:
    """Give the tasks of a draft the commands of a hooks file.

    A key is a task's id or a lane's full name; a task's own hook wins over its lane's. A task that a hook
    matches becomes a shell task, whatever it was; an empty list of commands makes it do nothing. Faults and
    warnings go to the draft; a hook with a fault is not applied.

    Args:
        draft: The plan; changed in place.
        text: The whole hooks file, JSON; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
    """
    text = text.removeprefix("\ufeff")
    places = TextPlaces(text, source)
    try:
        root, faults = parse_json(text, places, code="hooks")
    except JSONUnreadable as unreadable:
        draft.faults.append(unreadable.fault)
        return
    draft.faults.extend(faults)
    reader = _HookReader(draft, places)
    payloads = reader.read(root)
    reader.warn_unmatched(root)
    for task in draft.tasks:
        lane = None if task.lane is None else task.lane.value
        for key in (task.id.value, lane):
            if key is not None and key in root.members():
                if key in payloads:
                    task.payload, task.agent = payloads[key], None
                break


class _HookReader:
    """Checks the shape of a hooks file."""

    def __init__(self, draft: PlanDraft, places: TextPlaces) -> None:
        self._draft = draft
        self._places = places

    def read(self, root: Node) -> dict[str, Mapping[str, JSON]]:
        """Return the payload for each key whose hook has no fault."""
        if not isinstance(root.value, dict):
            self._fault(root, f"{root.kind} stands where an object was expected")
        hooks = {key: self._payload(hook) for key, hook in root.members().items()}
        return {key: payload for key, payload in hooks.items() if payload is not None}

    def warn_unmatched(self, root: Node) -> None:
        """Warn of every key that names no task and no lane."""
        known = {task.id.value for task in self._draft.tasks}
        known |= {task.lane.value for task in self._draft.tasks if task.lane is not None}
        for key, hook in root.members().items():
            if key not in known:
                message = f"hook {show(key)} is used by no task: it is neither an id nor a lane of the plan"
                hint = "write a lane's name in full, with its dash, as it stands in the plan"
                self._warn("hooks.unmatched", message, self._places.at(hook.key_offset), hint)

    def _payload(self, hook: Node) -> Mapping[str, JSON] | None:
        commands = hook.members().get("commands")
        if commands is None:
            self._fault(hook, f"hook {show(str(hook.key))} has no `commands`")
            return None
        self._warn_unknown(hook, ("commands",))
        if not isinstance(commands.value, list):
            self._fault(commands, f"{commands.kind} stands where a list of commands was expected")
            return None
        read = [self._command(item) for item in commands.items()]
        found = [command.to_json() for command in read if command is not None]
        return {"commands": found} if len(found) == len(read) else None

    def _command(self, node: Node) -> Command | None:
        instruction = node.members().get("cmd")
        if instruction is None:
            self._fault(node, f"{node.kind} stands where a command with `cmd` was expected")
            return None
        self._warn_unknown(node, ("cmd", "cwd"))
        folder = node.members().get("cwd")
        if folder is not None and not _is_text(folder, or_null=True):
            self._fault(folder, f"{folder.kind} stands where a folder was expected")
            return None
        cwd = None if folder is None or folder.value is None else str(folder.value)
        if isinstance(instruction.value, list):
            return self._argument_list(instruction, cwd)
        return self._command_text(instruction, cwd)

    def _argument_list(self, node: Node, cwd: str | None) -> Command | None:
        for item in node.items():
            if not _is_text(item):
                self._fault(item, f"{item.kind} stands where a text without NUL was expected")
                return None
        words = tuple(str(item.value) for item in node.items())
        if not words or not words[0]:
            self._fault(node, "the command is empty")
            return None
        return Command(words, cwd)

    def _command_text(self, node: Node, cwd: str | None) -> Command | None:
        if not isinstance(node.value, str):
            self._fault(node, f"{node.kind} stands where a list of words or a text was expected")
            return None
        try:
            return Command(parse_command(node.value).argv, cwd)
        except ValueError as error:
            self._fault(node, f"command {show(node.value)} {error}")
            return None

    def _warn_unknown(self, node: Node, known: tuple[str, ...]) -> None:
        for key, member in node.members().items():
            if key not in known:
                message = f"field {show(member.path)} means nothing in a hook"
                self._warn("hooks.unknown_field", message, self._places.at(member.key_offset), None)

    def _fault(self, node: Node, message: str) -> None:
        place = self._places.at(node.offset)
        fault = Fault("hooks.shape", f"{message}, at {show(node.path)}", (place,), f"a hook looks like {_SHAPE}")
        self._draft.faults.append(fault)

    def _warn(self, code: str, message: str, place: Place, hint: str | None) -> None:
        self._draft.warnings.append(Fault(code, message, (place,), hint))


def _is_text(node: Node, *, or_null: bool = False) -> bool:
    if node.value is None:
        return or_null
    return isinstance(node.value, str) and "\0" not in node.value
