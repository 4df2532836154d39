"""Writing a plan as a State of Truth that `read_sot` reads as the same plan.

What Markdown carries safely stands in bullets that people read; all else stands in `Details`, as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from taskexec.domain.task import Task
from taskexec.plan import Plan
from taskexec.sources.task.writer import task_fields
from taskexec.sources.values.lists import NONE_WORDS

__all__ = ["write_sot"]

_HEAD = "# State of Truth\n\n## Execution Queue & Task Hooks\n"
_WORDS = re.compile(r"[\w.,()'/+]+(?:[ -][\w.,()'/+]+)*")
"""A text that means nothing in Markdown, and in which no dash or colon begins a field."""
_ID = re.compile(r"\w(?:[\w.:@/+-]*\w)?")
_QUEUE = re.compile(r"Queue [\w.,()'+]+(?: (?:— )?[\w.,()'+]+)*")
_LANE = re.compile(r"[^\W_]+(?: [^\W_]+)*")
_COMMAND = re.compile(r"[^\s`<>]+(?: [^\s`<>]+)*")
_PATH = re.compile(r"[\w.*?@:+=,/-]+")
_AGENT = re.compile(r"[A-Za-z]\w*")
_RESOURCES = {
    "cpus": "cpus={}",
    "memory_mib": "memory={}M",
    "gpus": "gpus={}",
    "gpu_memory_mib": "gpu_memory={}M",
    "disk_mib": "disk={}M",
    "nodes": "nodes={}",
}
_LABELS = {"has": "has={}", "not": "not={}"}
_LABEL = re.compile(r"\w(?:[\w.=:/+-]*\w)?")
_RETRY = (
    ("delay_s", "delay", "s"),
    ("factor", "factor", ""),
    ("max_delay_s", "max delay", "s"),
    ("jitter", "jitter", ""),
    ("on", "on", ""),
    ("memory_factor", "memory", ""),
)
"""Field of a policy, the word behind `Retry`, and the unit."""
_ESCAPED = {"`": "\\u0060", "<": "\\u003c", ">": "\\u003e"}
_ESCAPE = re.compile("[`<>\x00-\x1f\x7f-\x9f\u2028\u2029\\s]")


def write_sot(plan: Plan) -> str:
    """Return a plan as a State of Truth with one queue for each lane, in the order of their first tasks."""
    lanes: dict[str | None, list[Task]] = {}
    for task in plan.tasks:
        lanes.setdefault(task.lane, []).append(task)
    names = _queue_names(list(lanes))
    lines = [_HEAD]
    for number, (lane, tasks) in enumerate(lanes.items(), 1):
        lines.append(f"{number}. **{names[lane]}**")
        is_lane_said = lane is None or names[lane] == lane or _is_plain_lane(lane)
        if is_lane_said and names[lane] != lane:
            lines.append(f"   - Lane: {lane or 'none'}")
        lines += [line for task in tasks for line in _bullets(task, is_lane_said=is_lane_said)]
        lines.append("")
    return "\n".join(lines)


def _is_plain_lane(lane: str) -> bool:
    """Return whether a lane can be said in words without being read as none."""
    return bool(_LANE.fullmatch(lane)) and lane.casefold() not in NONE_WORDS


def _queue_names(lanes: Sequence[str | None]) -> dict[str | None, str]:
    """Return a name for the queue of each lane: the lane's own where it is one, else one that no lane has."""
    names: dict[str | None, str] = {lane: lane for lane in lanes if lane is not None and _QUEUE.fullmatch(lane)}
    for number, lane in enumerate(lane for lane in lanes if lane not in names):
        stem = lane if lane is not None and re.fullmatch(r"\w+", lane) else "tasks"
        name = f"Queue {number + 1} — {stem}"
        while name in names.values():
            name += " again"
        names[lane] = name
    return names


def _bullets(task: Task, *, is_lane_said: bool) -> Iterator[str]:
    """Yield the lines of a task."""
    fields = task_fields(task)
    lane = fields.pop("lane", None)
    if not is_lane_said:
        fields["lane"] = lane
    name = task.id
    if not _ID.fullmatch(name):
        fields["id"] = name
        name = f"task-{len(name)}-{orjson.dumps(name).hex()}"
    title = fields.get("title", "")
    has_title = bool(_WORDS.fullmatch(title))
    if has_title:
        del fields["title"]
    yield f"   - Task `{name}`" + (f" — {title}" if has_title else "")
    yield from (f"     - {line}" for line in _readable(fields))
    if fields:
        yield f"     - Details: `{_json(fields)}`"


def _readable(fields: dict[str, Any]) -> Iterator[str]:
    """Yield what can be said in words, and take it out of the fields."""
    has_plain_agent = bool(_AGENT.fullmatch(fields.get("agent", "shell")))
    if has_plain_agent and _COMMAND.fullmatch(fields.get("command", "")):
        yield f"Command: `{fields.pop('command')}`"
    depends_on = fields.get("depends_on", ())
    if depends_on and all(_ID.fullmatch(name) and not name.lower().startswith("queue") for name in depends_on):
        yield "Depends on: " + ", ".join(f"`{name}`" for name in fields.pop("depends_on"))
    yield from _asked(fields)
    if has_plain_agent and "agent" in fields:
        yield f"Agent: {fields.pop('agent')}"
    yield from _limits(fields)
    for name in ("retries", "priority"):
        if name in fields:
            yield f"{name.capitalize()}: {fields.pop(name)}"
    yield from _retry(fields)
    for name in ("inputs", "outputs"):
        if name in fields and all(map(_PATH.fullmatch, fields[name])):
            yield f"{name.capitalize()}: " + ", ".join(f"`{path}`" for path in fields.pop(name))
    if fields.pop("satisfied", False):
        yield "Status: done"


def _asked(fields: dict[str, Any]) -> Iterator[str]:
    """Yield the line of what a task asks for; alternatives stand behind its own words, where it has some."""
    resources = ", ".join(_resources(fields))
    alternatives = [*map(_alternative, fields.get("alternatives", ()))]
    if resources and all(alternatives):
        fields.pop("alternatives", None)
        resources = " | ".join([resources, *alternatives])
    if resources:
        yield f"Resources: {resources}"


def _resources(fields: dict[str, Any]) -> Iterator[str]:
    """Yield what a task or an alternative asks for, as far as words can say it, and take that out of the fields."""
    for name, pattern in _RESOURCES.items():
        if _is_plain(fields, name):
            yield pattern.format(_taken(fields, name))
    for name, pattern in _LABELS.items():
        if name in fields and all(map(_LABEL.fullmatch, fields[name])):
            yield from map(pattern.format, fields.pop(name))
    for name in ("exclusive", "packed"):
        if fields.pop(name, False):
            yield name


def _alternative(said: Mapping[str, Any]) -> str:
    """Return an alternative in words; nothing where not all of it can be said so."""
    fields = dict(said)
    words = [*_resources(fields)]
    if _is_plain(fields, "weight"):
        words.append(f"weight={_taken(fields, 'weight')}")
    return "" if fields else ", ".join(words)


def _limits(fields: dict[str, Any]) -> Iterator[str]:
    for name, key in (("duration_s", "Duration"), ("timeout_s", "Timeout"), ("total_timeout_s", "Total timeout")):
        if _is_plain(fields, name):
            yield f"{key}: {_taken(fields, name)}s"
    if "deadline_at" in fields:
        yield f"Deadline: {fields.pop('deadline_at')}"


def _retry(fields: dict[str, Any]) -> Iterator[str]:
    """Yield how a task is tried again, if all of it can be said in words."""
    retry = fields.get("retry", {})
    if retry and all(name == "on" or _is_plain(retry, name) for name in retry):
        del fields["retry"]
        for name, key, unit in _RETRY:
            if name in retry:
                value = ", ".join(retry[name]) if name == "on" else retry[name]
                yield f"Retry {key}: {value}{unit}"


def _is_plain(fields: Mapping[str, Any], name: str) -> bool:
    return name in fields and "e" not in repr(fields[name])


def _taken(fields: dict[str, Any], name: str) -> str:
    return repr(fields.pop(name))


def _json(fields: Mapping[str, Any]) -> str:
    """Return JSON in which nothing means anything in Markdown."""
    return _ESCAPE.sub(_escaped, orjson.dumps(fields).decode())


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if character == " " else _ESCAPED.get(character, f"\\u{ord(character):04x}")
