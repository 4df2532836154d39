"""Plans as they are kept in memory for as long as somebody looks at their run: small, and read without a detour."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from taskexec.domain.secrets import Redactor

__all__ = ["PackedObject", "read_plan_document"]

_DECODER = json.JSONDecoder()
_LEFT_OUT = frozenset({"queues", "folders"})
"""What stands in a plan a second time, for people and for other programs."""
_ALWAYS = frozenset({"id", "title", "agent", "payload", "depends_on", "lane", "route", "priority"})
"""What each task has, whatever it says."""
_PART = 64 * 1024
"""So many characters of tasks are decoded together: what they are at first takes ten times as much."""
_NEXT_TASK = re.compile(r'\},(?=\s*\{\s*"id":)')
"""Between two tasks, as we write plans; it can also stand between objects within a task, but in no text."""
_SHOWN = ("title", "lane")
"""What is shown of tasks in many places: it is kept without secrets, so that none of these can forget it."""


class PackedObject(Mapping[str, Any]):
    """An object that is kept as its JSON: small, and decoded whenever it is looked at."""

    __slots__ = ("_json",)

    def __init__(self, value: Mapping[str, Any]) -> None:
        """Pack an object that JSON can hold."""
        self._json = bytes(memoryview(orjson.dumps(value)))  # what orjson gives holds some kilobytes for a short text

    def _value(self) -> dict[str, Any]:
        return dict(orjson.loads(self._json))

    def __getitem__(self, name: str) -> Any:
        return self._value()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def items(self) -> Any:
        """Return names and values, decoded once."""
        return self._value().items()


def read_plan_document(data: bytes, redactor: Redactor) -> dict[str, Any]:
    """Return a `plan.json` without what stands in it twice; fields of tasks that say nothing are left out.

    Titles and lanes come without secrets, and so does the plan's source; whoever shows other fields redacts them.
    Tasks are read some hundred at a time: as a whole, a plan of 20,000 takes 60 MB.

    Raises:
        ValueError: It is no plan.
    """
    try:
        plan = _read(data.decode())
        _redact(plan, redactor)
        return plan
    except (IndexError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"no plan: {error}") from error


def _redact(plan: dict[str, Any], redactor: Redactor) -> None:
    if isinstance(plan.get("source"), str):
        plan["source"] = redactor.text(plan["source"])
    tasks = plan.get("tasks", ())
    for name in _SHOWN:
        told = {value for task in tasks if (value := task.get(name)) and isinstance(value, str)}
        if redactor.may_change("\n".join(told).encode("utf-8", "surrogatepass")):
            clean = {value: redactor.text(value) for value in told}
            for task in tasks:
                if isinstance(value := task.get(name), str) and value:
                    task[name] = clean[value]


def _read(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        raise ValueError("no plan")
    plan: dict[str, Any] = {}
    seen: dict[Any, Any] = {}
    at = _skip(text, 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _behind(text, at, ":")
        if name == "tasks":
            plan[name], at = _tasks(text, at, seen)
        else:
            value, at = _DECODER.raw_decode(text, at)
            if name not in _LEFT_OUT:
                plan[name] = value
        at = _behind(text, at, ",", or_before="}")
    return plan


def _behind(text: str, at: int, mark: str, *, or_before: str = "") -> int:
    """Return the position of what follows on a mark, which may be missing before another one."""
    at = _skip(text, at)
    if or_before and text[at : at + 1] == or_before:
        return at
    if text[at : at + 1] != mark:
        raise ValueError(f"no plan: `{mark}` is missing at {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\n", "\r", "\t"}:
        at += 1
    return at


def _tasks(text: str, at: int, seen: dict[Any, Any]) -> tuple[list[dict[str, Any]], int]:
    if text[at : at + 1] != "[":
        raise ValueError("no plan: its tasks are no list")
    tasks: list[dict[str, Any]] = []
    at = _skip(text, at + 1)
    one_by_one = at
    while text[at : at + 1] != "]":
        part, end = _part(text, at) if at >= one_by_one else ([], at)
        if not part:
            one_by_one = max(one_by_one, end)
            task, end = _DECODER.raw_decode(text, at)
            part = [task]
        tasks.extend(_small(task, seen) for task in part)
        at = _behind(text, end, ",", or_before="]")
    return tasks, at + 1


def _part(text: str, at: int) -> tuple[list[dict[str, Any]], int]:
    """Return the tasks from a position on, and where they end; none where they cannot be told apart up to there."""
    found = _NEXT_TASK.search(text, at + _PART)
    if found is None:
        return [], len(text)
    end = found.start() + 1
    try:
        return orjson.loads(f"[{text[at:end]}]"), end  # what ends within a task is no JSON
    except orjson.JSONDecodeError:
        return [], end


def _small(task: Mapping[str, Any], seen: dict[Any, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    for name, value in task.items():
        if not value and name not in _ALWAYS:
            continue
        kind = type(value)
        if kind is str or kind is float:
            value = seen.setdefault(value, value)
        elif kind is dict and value:
            value = PackedObject(value)
        elif name == "depends_on":
            value = [seen.setdefault(one, one) for one in value]
        small[seen.setdefault(name, name)] = value
    return small
