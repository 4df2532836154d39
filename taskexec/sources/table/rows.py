"""One row of a table as a task: every cell by what its column means."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from taskexec.domain.command import parse_call, parse_command
from taskexec.domain.resources import Route
from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Cell, Row
from taskexec.sources.table.columns import ColumnReader, Tres, amount_columns, is_slurm_memory, parse_tres
from taskexec.sources.table.header import Header
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Unreadable
from taskexec.sources.values.amounts import ROUTES, show
from taskexec.sources.values.lists import NONE_WORDS, split_texts, split_words
from taskexec.sources.values.words import is_abandoned, parse_status, parse_truth

__all__ = ["RowReader"]

_METADATA_SEPARATOR = ";"
_FULL = re.compile(r"100(?:[.,]0*)?\s*%?")
_TEXT_FIELDS = ("title", "agent", "lane", "queue", "command", "payload", "layer")
_RARER = frozenset(
    {"status", "progress", "labels", "acceptance_criteria", "requirements", "milestone", "tres", "memory"}
)
_REMEMBERED_MAX = 10_000
_CALL_HINT = 'write `module:function`, its arguments behind it as JSON: `jobs:build {"n": 3}`'
_QUOTE_HINT = "quote as in a POSIX shell: close each quote, and write a backslash twice"
_EMPTY_HINT = "write what is to be run, or leave the cell empty"
_PAYLOAD_HINT = 'write a JSON object, such as `{"n": 3}`; in a quoted cell each of its quotes stands twice'
_NEED_COMMAND = ("shell", "python")
_OWN_AGENTS = ("noop", "shell", "python")
_TRUTH_COLUMNS = frozenset({"done", "completed", "finished", "satisfied", "erledigt"})


_new_tuple = tuple.__new__  # half the time of `Located(…)`, and a large table has a million values


class RowReader:
    """Turns the rows below one header into tasks of a draft."""

    def __init__(self, header: Header, draft: PlanDraft) -> None:
        self._header = header
        self._draft = draft
        self._source = draft.source
        self._row = Row((), 0, source=draft.source, size=0)
        self._text_columns = [(field, header.columns[field][0]) for field in _TEXT_FIELDS if field in header.columns]
        self._amounts = amount_columns(header)
        tres = header.index("tres")
        self._tres = None if tres is None else ColumnReader("tres", tres, parse_tres)
        status = header.index("status")
        self._status_is_truth = status is not None and header.names[status].casefold() in _TRUTH_COLUMNS
        self._unknown_statuses: set[str] = set()
        self._has_memory_per_cpu = is_slurm_memory(header)
        self._has_rarer = not _RARER.isdisjoint(header.columns)
        self._payloads: dict[tuple[str, str | None], Mapping[str, JSON]] = {}

    def read(self, row: Row, task_id: Located[str]) -> DraftTask:
        """Return the task of a row that has as many cells as the header; dependencies are not read here."""
        self._row = row
        texts, places = row.texts, row.places
        found: dict[str, Located[str]] = {}
        for field, index in self._text_columns:
            text = texts[index].strip()
            if text:
                found[field] = _new_tuple(Located, (text, places[index]))
        agent = found.get("agent")
        lane, route = self._lane_and_route(found)
        task = DraftTask(
            id=task_id,
            title=found.get("title"),
            agent=agent,
            payload=self._payload(found, agent),
            lane=lane,
            route=route,
            layer=found.get("layer"),
            metadata=self._metadata() if self._header.metadata else {},
        )
        for name, column in self._amounts.items():
            text = texts[column.index]
            if text:
                value = column.understood.get(text)  # the usual case, without a call for each cell
                if value is None:
                    setattr(task, name, column.read(row, self._report_amount))
                else:
                    setattr(task, name, _new_tuple(Located, (value, places[column.index])))
        if self._has_rarer:
            self._read_rarer(task)
        return task

    def _read_rarer(self, task: DraftTask) -> None:
        """Read what most tables lack."""
        columns = self._header.columns
        if "status" in columns or "progress" in columns:
            self._read_status(task)
        if "labels" in columns:
            task.labels = self._words("labels")
        if "acceptance_criteria" in columns:
            task.acceptance_criteria = self._texts("acceptance_criteria")
        if "requirements" in columns:
            task.requirements = self._texts("requirements")
        if "milestone" in columns:
            self._read_milestone(task)
        if self._tres is not None:
            self._read_tres(task, self._tres)
        if task.memory_mib is not None and self._has_memory_per_cpu:
            self._multiply_memory(task, task.memory_mib)

    def _text(self, field: str) -> Located[str] | None:
        index = self._header.index(field)
        text = "" if index is None else self._row.texts[index].strip()
        return None if index is None or not text else Located(text, self._row.places[index])

    def _words(self, field: str) -> tuple[str, ...]:
        found = (split_words(self._row.texts[index]) for index in self._header.columns[field])
        return tuple(word for words in found for word in words)

    def _texts(self, field: str) -> tuple[str, ...]:
        found = (split_texts(self._row.texts[index]) for index in self._header.columns[field])
        return tuple(text for texts in found for text in texts)

    def _lane_and_route(self, found: Mapping[str, Located[str]]) -> tuple[Located[str] | None, Located[Route] | None]:
        lane = found.get("lane")
        queue = found.get("queue")
        if queue is None or queue.value.casefold() in NONE_WORDS:
            return lane, None
        route = ROUTES.get(queue.value.lower())
        if route is not None:
            return lane, Located(route, queue.place)
        if lane is not None and lane.value != queue.value:
            message = f"lane {show(lane.value)} is taken, the queue's name {show(queue.value)} is not"
            hint = "keep one of the two, or name a route in `queue`: cpu, gpu or distributed"
            self._draft.warnings.append(Fault("csv.lane", message, (queue.place, lane.place), hint))
        return lane or queue, None

    def _payload(self, found: Mapping[str, Located[str]], agent: Located[str] | None) -> Mapping[str, JSON]:
        command, payload = found.get("command"), found.get("payload")
        if payload is not None:
            if command is not None:
                message = f"task has a command {show(command.value)} and a payload"
                self._fault("csv.command", message, command, "keep one of the two cells")
            return self._json_payload()
        if command is not None:
            return self._command_payload(command, None if agent is None else agent.value)
        if agent is not None and agent.value in _NEED_COMMAND:
            message = f"agent {show(agent.value)} has no command; a text in column `command` was expected"
            self._fault("csv.command", message, agent, "write what is to be run, or take the agent out")
        return {}

    def _command_payload(self, command: Located[str], agent: str | None) -> Mapping[str, JSON]:
        """Return what a command means; equal ones share what they mean."""
        if agent is not None and agent not in _OWN_AGENTS:
            return {"command": command.value}
        key = (command.value, agent)
        payload = self._payloads.get(key)
        if payload is not None:
            return payload
        try:
            payload = _call_payload(command.value) if agent == "python" else _shell_payload(command.value)
        except (ValueError, RecursionError) as error:
            message = f"command {show(command.value)} {_call_problem(error)}"
            hint = _CALL_HINT if agent == "python" else _QUOTE_HINT
            self._fault("csv.command", message, command, _EMPTY_HINT if str(error) == "is empty" else hint)
            return {}
        if len(self._payloads) < _REMEMBERED_MAX:
            self._payloads[key] = payload
        return payload

    def _json_payload(self) -> Mapping[str, JSON]:
        """Return the JSON object in the payload's cell, read as strictly as a file of JSON."""
        places = _CellPlaces(self._row.cell(self._header.columns["payload"][0]), self._source)
        text = self._row.texts[self._header.columns["payload"][0]].strip()
        try:
            root, faults = parse_json(text, places, code="csv")
            value = root.plain()
        except Unreadable as unreadable:
            value, faults = None, [unreadable.fault]
        if not isinstance(value, dict) and not faults:
            faults = [Fault("csv.payload", "a JSON object was expected")]
        for fault in faults:
            found = fault.places if fault.places and fault.places[0].line else (places.at(0),)
            message = f"payload {show(text)} cannot be read: {fault.message}"
            self._draft.faults.append(Fault("csv.payload", message, found, fault.hint or _PAYLOAD_HINT))
        return value if isinstance(value, dict) else {}

    def _metadata(self) -> dict[str, str]:
        """Return the cells of unknown columns; those of equal names are joined with `;`."""
        metadata: dict[str, str] = {}
        for index, name in self._header.metadata.items():
            value = self._row.texts[index].strip()
            if value:
                metadata[name] = f"{metadata[name]}{_METADATA_SEPARATOR}{value}" if name in metadata else value
        return metadata

    def _read_status(self, task: DraftTask) -> None:
        """Read whether the task is done; a status that is more than that is kept as metadata."""
        status, progress = self._text("status"), self._text("progress")
        if progress is not None and _FULL.fullmatch(progress.value):
            task.satisfied = Located(True, progress.place)
        elif progress is not None:
            self._keep(task, "progress", progress.value)
        if status is None:
            return
        done = parse_truth(status.value) if self._status_is_truth else None
        done = parse_status(status.value) if done is None else done
        if done:
            task.satisfied = Located(True, status.place)
        if done and not is_abandoned(status.value):
            return
        self._keep(task, "status", status.value)
        self._warn_of_status(task, status, done)

    def _warn_of_status(self, task: DraftTask, status: Located[str], done: bool | None) -> None:
        word = status.value
        if done:
            message = f"task {show(task.id.value)} is {show(word)}: it is not run, and nothing waits for it"
            hint = "take the row out, or give it another status"
            self._draft.warnings.append(Fault("csv.abandoned", message, (status.place,), hint))
        elif done is None and word.casefold() not in self._unknown_statuses:
            self._unknown_statuses.add(word.casefold())
            message = f"status {show(word)} is not known: such tasks are run"
            hint = "write `done` for what is done already"
            self._draft.warnings.append(Fault("csv.status", message, (status.place,), hint))

    def _keep(self, task: DraftTask, field: str, value: str) -> None:
        index = self._header.index(field)
        if index is not None:
            task.metadata.setdefault(self._header.names[index], value)

    def _read_milestone(self, task: DraftTask) -> None:
        """Give a milestone that says nothing else no duration."""
        milestone = self._text("milestone")
        if milestone is not None and parse_truth(milestone.value) and task.duration_s is None:
            task.duration_s = Located(0.0, milestone.place)

    def _read_tres(self, task: DraftTask, column: ColumnReader[Tres]) -> None:
        found = column.read(self._row, self._report_amount)
        if found is None:
            return
        if found.value.gpus is not None and task.gpus is None:
            task.gpus = Located(found.value.gpus, found.place)
        if found.value.cpus is not None and task.cpus is None:
            task.cpus = Located(found.value.cpus, found.place)
        if found.value.memory_mib is not None and task.memory_mib is None:
            task.memory_mib = Located(found.value.memory_mib, found.place)

    def _multiply_memory(self, task: DraftTask, memory_mib: Located[int]) -> None:
        """Give a job that asks for memory per core (`4Gc`) what all its cores get."""
        index = self._header.index("memory")
        if index is not None and self._row.texts[index].rstrip().endswith("c"):
            cores = 1.0 if task.cpus is None else max(task.cpus.value, 1.0)
            task.memory_mib = Located(math.ceil(memory_mib.value * cores), memory_mib.place)

    def _report_amount(self, index: int, message: str, hint: str) -> None:
        place = self._row.places[index]
        name = self._header.names[index]
        self._draft.faults.append(Fault("csv.number", f"column {show(name)} {message}", (place,), hint))

    def _fault(self, code: str, message: str, found: Located[str], hint: str) -> None:
        self._draft.faults.append(Fault(code, message, (found.place,), hint))


class _CellPlaces:
    """Where the offsets of a cell's text stand, blanks around it left out."""

    def __init__(self, cell: Cell, source: str) -> None:
        self.source = source
        self._cell = cell
        self._blanks = len(cell.text) - len(cell.text.lstrip())

    def at(self, offset: int, /) -> Place:
        """Return the place of the character at an offset."""
        return next(self._cell.places_of([self._blanks + offset], self.source))


def _call_problem(error: ValueError | RecursionError) -> str:
    """Return what is wrong with a command, fit to stand behind it."""
    if isinstance(error, json.JSONDecodeError):
        return f"has arguments that are not JSON: {error.msg}, at character {error.pos + 1} of them"
    return "has arguments that are nested too deep" if isinstance(error, RecursionError) else str(error)


def _call_payload(text: str) -> Mapping[str, JSON]:
    call = parse_call(text)
    return {"call": call.target, "args": list(call.args), "kwargs": dict(call.kwargs or {})}


def _shell_payload(text: str) -> Mapping[str, JSON]:
    return {"commands": [parse_command(text).to_json()]}
