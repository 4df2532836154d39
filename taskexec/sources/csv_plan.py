"""Reading the neutral CSV table: one row is one task, and every fault of the file is found in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from taskexec.domain.command import parse_call, parse_command
from taskexec.domain.resources import Route
from taskexec.domain.task import JSON
from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources import values
from taskexec.sources.bulk import collection_paused
from taskexec.sources.cells import Cell, scan_rows
from taskexec.sources.csv_header import COLUMNS, Header, resolve_header
from taskexec.sources.values import ROUTES, show

__all__ = ["read_csv"]

T = TypeVar("T")

_SEPARATOR = ";"
_DEPENDENCY = re.compile(rf"[^{_SEPARATOR}\s](?:[^{_SEPARATOR}]*[^{_SEPARATOR}\s])?")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NEED_COMMAND = ("shell", "python")
_OWN_AGENTS = ("noop", "shell", "python")


def read_csv(text: str, source: str) -> PlanDraft:
    """Return what a CSV plan says.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.

    Returns:
        A draft with a task for every row whose id can be read, and with all faults of the file.
    """
    draft = PlanDraft(source=source, kind="csv")
    rows = scan_rows(text.removeprefix("\ufeff"))
    first = next(rows, None)
    if first is None:
        hint = f"the first line names the columns: {','.join(COLUMNS[:10])}"
        draft.faults.append(Fault("csv.empty", "the file is empty", (Place(source),), hint))
        return draft
    _report_quotes(first, draft)
    header = resolve_header(first, source, faults=draft.faults, warnings=draft.warnings)
    if "id" in header.known:
        reader = _RowReader(header, draft, may_hold_unstorable=bool(_UNSTORABLE.search(text)))
        with collection_paused():
            reader.read_all(rows)
    return draft


def _report_quotes(row: Iterable[Cell], draft: PlanDraft) -> bool:
    """Append a fault for each cell of a row whose quotes are wrong; return whether there was any."""
    faults = [
        Fault(
            "csv.quote",
            f"{cell.problem} in {show(cell.text)}",
            (cell.place(draft.source),),
            'put the whole cell in quotes and write each quote inside it twice: "say ""hi"""',
        )
        for cell in row
        if cell.problem
    ]
    draft.faults.extend(faults)
    return bool(faults)


class _RowReader:
    """Turns the rows below a header into tasks of a draft."""

    def __init__(self, header: Header, draft: PlanDraft, *, may_hold_unstorable: bool) -> None:
        self._header = header
        self._draft = draft
        self._source = draft.source
        self._may_hold_unstorable = may_hold_unstorable
        self._row: list[Cell] = []

    def read_all(self, rows: Iterable[list[Cell]]) -> None:
        for row in rows:
            if row[0].text.strip() or any(cell.text.strip() for cell in row):
                self._row = row
                self._draft.tasks.extend(self._read_row())

    def _read_row(self) -> list[DraftTask]:
        """Return the row's task, or nothing when not even its id can be read."""
        is_misquoted = _report_quotes(self._row, self._draft)
        self._report_unstorable()
        if len(self._row) == self._header.width:
            return [self._task()]
        if not is_misquoted:  # a wrong quote splits cells at will: one fault is enough
            self._report_ragged()
        return self._id_only()

    def _id_only(self) -> list[DraftTask]:
        """Return a task with nothing but the id, so that tasks that depend on it are not called faulty."""
        if self._header.known["id"] >= len(self._row):
            return []
        name = self._id()
        return [DraftTask(id=name)] if name.value else []

    def _task(self) -> DraftTask:
        agent = self._text("agent")
        lane, route = self._lane_and_route()
        return DraftTask(
            id=self._id(),
            title=self._text("title"),
            agent=agent,
            payload=self._payload(agent),
            depends_on=self._dependencies(),
            lane=lane,
            route=route,
            cpus=self._parsed("cpus", values.parse_amount),
            memory_mib=self._parsed("memory_mb", values.parse_memory_mib),
            gpus=self._parsed("gpus", values.parse_amount),
            duration_s=self._parsed("duration_s", values.parse_amount),
            timeout_s=self._parsed("timeout_s", values.parse_positive),
            retries=self._parsed("retries", values.parse_count),
            priority=self._parsed("priority", values.parse_integer),
            layer=self._text("layer"),
            metadata=self._metadata(),
        )

    def _cell(self, column: str) -> Cell | None:
        """Return the cell of a column, or None when the table lacks the column or the cell is blank."""
        index = self._header.known.get(column)
        if index is None:
            return None
        cell = self._row[index]
        return cell if cell.text.strip() else None

    def _text(self, column: str) -> Located[str] | None:
        cell = self._cell(column)
        return None if cell is None else Located(cell.text.strip(), cell.place(self._source))

    def _parsed(self, column: str, parse: Callable[[str], T]) -> Located[T] | None:
        cell = self._cell(column)
        if cell is None:
            return None
        text = cell.text.strip()
        try:
            return Located(parse(text), cell.place(self._source))
        except ValueError as error:
            self._fault("csv.number", f"{show(text)} in column `{column}`: {error}", cell)
            return None

    def _id(self) -> Located[str]:
        cell = self._row[self._header.known["id"]]
        forbidden = values.forbidden_in_id(cell.text)
        if forbidden is not None and not _UNSTORABLE.search(cell.text):
            message = f"id {show(cell.text)} holds the control character {show(forbidden)}"
            self._fault("csv.character", message, cell, "write the id with visible characters")
        return Located(cell.text.strip(), cell.place(self._source))

    def _dependencies(self) -> list[Located[str]]:
        cell = self._cell("depends_on")
        if cell is None:
            return []
        names = [match[0] for match in _DEPENDENCY.finditer(cell.text)]
        offsets = [match.start() for match in _DEPENDENCY.finditer(cell.text)]
        return list(map(Located, names, cell.places_of(offsets, self._source)))

    def _lane_and_route(self) -> tuple[Located[str] | None, Located[Route] | None]:
        lane = self._text("lane")
        queue = self._text("queue")
        if queue is None:
            return lane, None
        route = ROUTES.get(queue.value.lower())
        if route is not None:
            return lane, Located(route, queue.place)
        if lane is not None and lane.value != queue.value:
            message = f"lane {show(lane.value)} is taken, the queue's name {show(queue.value)} is not"
            self._draft.warnings.append(Fault("csv.lane", message, (queue.place, lane.place)))
        return lane or queue, None

    def _payload(self, agent: Located[str] | None) -> Mapping[str, JSON]:
        cell = self._cell("command")
        name = None if agent is None else agent.value
        if cell is None:
            if agent is not None and name in _NEED_COMMAND:
                message = f"agent {show(agent.value)} has no command; a text in column `command` was expected"
                self._draft.faults.append(Fault("csv.command", message, (agent.place,)))
            return {}
        text = cell.text.strip()
        if name is not None and name not in _OWN_AGENTS:
            return {"command": text}
        try:
            return _call_payload(text) if name == "python" else {"commands": [parse_command(text).to_json()]}
        except (ValueError, RecursionError) as error:
            self._fault("csv.command", f"command {show(text)} cannot be read: {error}", cell)
            return {}

    def _metadata(self) -> dict[str, str]:
        """Return the cells of unknown columns; those of equal names are joined with `;`."""
        metadata: dict[str, str] = {}
        for name, index in self._header.metadata:
            value = self._row[index].text.strip()
            if value:
                metadata[name] = f"{metadata[name]}{_SEPARATOR}{value}" if name in metadata else value
        return metadata

    def _report_ragged(self) -> None:
        message = f"the row has {len(self._row)} cells where the header has {self._header.width}"
        hint = "a cell that holds a comma or a line break must stand in quotes"
        self._fault("csv.ragged", message, self._row[0], hint)

    def _report_unstorable(self) -> None:
        if not self._may_hold_unstorable:
            return
        for cell in self._row:
            match = _UNSTORABLE.search(cell.text)
            if match:
                message = f"{show(cell.text)} holds {show(match[0])}, which is not a character of a text"
                self._fault("csv.character", message, cell, "save the file as UTF-8 text")

    def _fault(self, code: str, message: str, cell: Cell, hint: str | None = None) -> None:
        self._draft.faults.append(Fault(code, message, (cell.place(self._source),), hint))


def _call_payload(text: str) -> Mapping[str, JSON]:
    call = parse_call(text)
    return {"call": call.target, "args": list(call.args), "kwargs": dict(call.kwargs or {})}
