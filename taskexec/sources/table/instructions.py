"""What a row of a table tells its agent to do: the cells of `command` and `payload`."""

from __future__ import annotations

from collections.abc import Mapping

from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.plan.draft import Located, PlanDraft
from taskexec.sources.table.cells import Cell, Row
from taskexec.sources.table.header import Header
from taskexec.sources.task.instructions import NEED_COMMAND, CommandWrong, payload_of
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Unreadable
from taskexec.sources.values.amounts import show

__all__ = ["InstructionReader"]

_REMEMBERED_MAX = 10_000
_PAYLOAD_HINT = 'write a JSON object, such as `{"n": 3}`'
_IN_QUOTES = "; in a quoted cell each of its quotes stands twice"


class InstructionReader:
    """Reads the instructions of rows below one header; equal commands share what they mean."""

    def __init__(self, header: Header, draft: PlanDraft) -> None:
        self._payload_index = header.index("payload")
        self._draft = draft
        self._payloads: dict[tuple[str, str | None], Mapping[str, JSON]] = {}

    def read(self, row: Row, found: Mapping[str, Located[str]]) -> Mapping[str, JSON]:
        """Return the payload of a row's task; nothing when there are no instructions, or wrong ones.

        Args:
            row: The row.
            found: Its cells of texts that are not blank, by field.
        """
        command, payload, agent = found.get("command"), found.get("payload"), found.get("agent")
        if payload is not None:
            if command is not None:
                message = f"task has a command {show(command.value)} and a payload"
                self._fault(message, command, "keep one of the two cells")
            return self._json_payload(row)
        if command is not None:
            return self._command_payload(command, None if agent is None else agent.value)
        if agent is not None and agent.value in NEED_COMMAND:
            message = f"agent {show(agent.value)} has no command; a text in column `command` was expected"
            self._fault(message, agent, "write what is to be run, or take the agent out")
        return {}

    def _command_payload(self, command: Located[str], agent: str | None) -> Mapping[str, JSON]:
        """Return what a command means; equal ones share what they mean."""
        key = (command.value, agent)
        payload = self._payloads.get(key)
        if payload is not None:
            return payload
        try:
            payload = payload_of(command.value, agent)
        except CommandWrong as wrong:
            self._fault(f"command {show(command.value)} {wrong}", command, wrong.hint)
            return {}
        if len(self._payloads) < _REMEMBERED_MAX:
            self._payloads[key] = payload
        return payload

    def _json_payload(self, row: Row) -> Mapping[str, JSON]:
        """Return the JSON object in the payload's cell, read as strictly as a file of JSON."""
        assert self._payload_index is not None  # there is such a cell
        places = _CellPlaces(row.cell(self._payload_index), row.source)
        text = row.texts[self._payload_index].strip()
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
            self._draft.faults.append(Fault("csv.payload", message, found, (fault.hint or _PAYLOAD_HINT) + _IN_QUOTES))
        return value if isinstance(value, dict) else {}

    def _fault(self, message: str, found: Located[str], hint: str) -> None:
        self._draft.faults.append(Fault("csv.command", message, (found.place,), hint))


class _CellPlaces:
    """Where the offsets of a cell's text stand, blanks around it left out."""

    def __init__(self, cell: Cell, source: str) -> None:
        self.source = source
        self._cell = cell
        self._blanks = len(cell.text) - len(cell.text.lstrip())

    def at(self, offset: int, /) -> Place:
        """Return the place of the character at an offset."""
        return next(self._cell.places_of([self._blanks + offset], self.source))
