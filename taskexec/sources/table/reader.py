"""Reading tables: one row is one task, and every fault of the file is found in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskexec.errors import Fault, Place
from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Row, scan_rows
from taskexec.sources.table.dialect import Dialect, find_dialect
from taskexec.sources.table.fields import normalize
from taskexec.sources.table.header import Header, missing_id, resolve_header
from taskexec.sources.table.names import TaskNames
from taskexec.sources.table.outline import OutlineRow, drop_summary_rows
from taskexec.sources.table.references import References
from taskexec.sources.table.rows import RowReader
from taskexec.sources.values import amounts
from taskexec.sources.values.amounts import show
from taskexec.sources.values.words import parse_truth

__all__ = ["ROWS_MAX", "read_csv"]

ROWS_MAX = 1_000_000
"""Most rows of a table."""

_CELL_MAX = 1_048_576
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SLURM_IDS = ("jobid", "jobidraw")
_SLURM_STEP = re.compile(r"(?P<job>\d+(?:[_+][^.]*)?)\.(?:batch|extern|interactive|\d+)")
_FIRST_LINE = "begin with a row of column names, such as id,title,command,depends_on,cpus,memory,duration"


def read_csv(
    text: str, source: str, *, columns: Mapping[str, Sequence[str]] | None = None, use_row_ids: bool = False
) -> PlanDraft:
    """Return what a table of tasks says.

    Args:
        text: The whole file; a byte order mark is ignored.
        source: The file's path as the user gave it, for places.
        columns: The user's own names of columns, by field (`table.fields.FIELDS`).
        use_row_ids: Whether the number of a row, from 1 below the header, is its task's id; any column of ids is
            then kept as metadata.

    Returns:
        A draft with a task for every row whose id can be read, and with all faults of the file.
    """
    draft = PlanDraft(source=source, kind="csv")
    text = text.removeprefix("\ufeff")
    dialect = find_dialect(text)
    if dialect is None:
        draft.faults.append(Fault("csv.empty", "nothing stands in the file", (Place(source),), _FIRST_LINE))
        return draft
    with collection_paused():
        _TableReader(draft, dialect, text).read(columns or {}, use_row_ids=use_row_ids)
    return draft


class _TableReader:
    """Reads one table into a draft."""

    def __init__(self, draft: PlanDraft, dialect: Dialect, text: str) -> None:
        self._draft = draft
        self._dialect = dialect
        self._text = text
        self._references = References(draft)
        self._outline: list[OutlineRow] = []
        self._may_hold_unstorable = "\0" in text or (not text.isascii() and bool(_UNSTORABLE.search(text)))
        self._steps: list[str] = []
        self._id_index: int | None = None
        self._is_slurm = False
        self._has_outline = False
        self._links: list[tuple[int, bool]] = []

    def read(self, columns: Mapping[str, Sequence[str]], *, use_row_ids: bool) -> None:
        """Read the whole table."""
        draft, dialect = self._draft, self._dialect
        rows = scan_rows(self._text, draft.source, delimiter=dialect.delimiter, start=dialect.start, line=dialect.line)
        for _ in range(dialect.above):
            self._warn_of_row_above(next(rows))
        header_row = next(rows)
        self._report_quotes(header_row)
        self._report_cells(header_row)
        header = resolve_header(header_row, draft.source, columns, faults=draft.faults, warnings=draft.warnings)
        old_ids = _give_up_ids(header) if use_row_ids else None
        if header.columns:
            self._read_rows(header, header_row, rows)
        has_ids = "id" in header.columns or (use_row_ids and bool(header.columns))
        if not has_ids and not (header.columns and self._references.are_numbers(len(draft.tasks))):
            draft.tasks.clear()
            draft.faults.insert(0, missing_id(header, header_row, draft.source))
            return
        self._references.resolve(TaskNames(draft, old_ids))
        if self._references.by_other_names and not use_row_ids:
            self._warn_of_titles(self._references.by_other_names)
        self._describe(header, drop_summary_rows(draft, self._outline))

    def _read_rows(self, header: Header, header_row: Row, rows: Iterable[Row]) -> None:
        reader = RowReader(header, self._draft)
        columns = header.columns
        self._id_index = header.index("id")
        self._is_slurm = self._id_index is not None and normalize(header.names[self._id_index]) in _SLURM_IDS
        self._has_outline = "outline" in columns or "summary_row" in columns
        self._links = [(index, False) for index in columns.get("depends_on", ())]
        self._links += [(index, True) for index in columns.get("blocks", ())]
        names = [normalize(text) for text in header_row.texts]
        number = 0
        first = header_row.texts[0].strip().casefold()
        for row in rows:
            if not row.texts[0].strip() and row.is_blank:
                continue
            number += 1
            if number > ROWS_MAX:
                message = f"the table has more than {ROWS_MAX:,} rows"
                self._fault("csv.rows", message, row.places[0], "split the plan")
                return
            if row.texts[0].strip().casefold() == first and self._is_header(row, names):
                message = "the header stands a second time"
                self._fault("csv.second_header", message, row.places[0], "take this line out")
                continue
            self._read_row(row, header, reader, number)

    def _is_header(self, row: Row, names: Sequence[str]) -> bool:
        """Return whether a row says what the header says; a row with quotes is meant as a task."""
        is_quoted = any(cell.is_quoted for cell in row.cells_with_quotes())
        return len(names) > 1 and not is_quoted and [normalize(text) for text in row.texts] == names

    def _read_row(self, row: Row, header: Header, reader: RowReader, number: int) -> None:
        """Add the row's task, or only its id when the row cannot be read, so that what depends on it is right."""
        is_misquoted = row.has_quotes and self._report_quotes(row)
        if self._may_hold_unstorable or row.size > _CELL_MAX:
            self._report_cells(row)
        task_id = self._id(row, number)
        width = len(header.names)
        if len(row) > width and not any(text.strip() for text in row.texts[width:]):
            self._warn_of_blank_cells(row, width)
            row = row.part(width)
        if len(row) != width:
            if not is_misquoted:  # a wrong quote splits cells at will: one fault is enough
                self._report_ragged(row, width)
            if task_id is not None and task_id.value:
                self._add(DraftTask(id=task_id), OutlineRow(None, None))
            return
        assert task_id is not None  # the id's column is within the width
        step = _SLURM_STEP.fullmatch(task_id.value) if self._is_slurm else None
        if step is not None:
            self._steps.append(step["job"])
            return
        count = len(self._draft.faults)
        task = reader.read(row, task_id)
        if is_misquoted:
            self._drop_faults_of_wrong_quotes(row, count)
        for index, is_inverse in self._links:
            text = row.texts[index]
            if text and not text.isspace():
                self._references.add(task, row.cell(index), is_inverse=is_inverse)
        self._add(task, _outline_of(row, header) if self._has_outline else _NO_OUTLINE)

    def _add(self, task: DraftTask, outline: OutlineRow) -> None:
        self._draft.tasks.append(task)
        self._outline.append(outline)

    def _id(self, row: Row, number: int) -> Located[str] | None:
        """Return the id of a row, or None when the row is too short to have one."""
        index = self._id_index
        if index is None:
            return Located(str(number), row.places[0])
        if index >= len(row):
            return None
        text = row.texts[index]
        if not text.isprintable():
            forbidden = amounts.forbidden_in_id(text)
            if forbidden is not None and not _UNSTORABLE.search(text):
                message = f"id {show(text)} holds the control character {show(forbidden)}"
                place = row.places[index]
                self._fault("csv.character", message, place, "write the id with visible characters")
        return Located(text.strip(), row.places[index])

    def _report_quotes(self, row: Row) -> bool:
        """Report cells whose quotes are wrong, warn of stray ones; return whether any is wrong."""
        is_wrong = False
        for cell in row.cells_with_quotes():
            place = cell.place(self._draft.source)
            if cell.problem:
                is_wrong = True
                hint = 'put the whole cell in quotes and write each quote inside it twice: "say ""hi"""'
                self._fault("csv.quote", f"{cell.problem} in {show(cell.text)}", place, hint)
            elif not cell.is_quoted and '"' in cell.text and self._dialect.delimiter != "|":
                message = f"quotes inside {show(cell.text)} stand for themselves: the cell does not begin with one"
                hint = "put the whole cell in quotes and write each quote inside it twice"
                self._draft.warnings.append(Fault("csv.stray_quote", message, (place,), hint))
        return is_wrong

    def _drop_faults_of_wrong_quotes(self, row: Row, count: int) -> None:
        """Take back all but the first faults of a file that stand at a cell with wrong quotes: one is enough."""
        source, faults = self._draft.source, self._draft.faults
        wrong = {cell.place(source) for cell in row.cells_with_quotes() if cell.problem}
        faults[count:] = [fault for fault in faults[count:] if wrong.isdisjoint(fault.places)]

    def _report_cells(self, row: Row) -> None:
        """Report cells that are too long or hold what no text can hold."""
        if self._may_hold_unstorable:
            for index, text in enumerate(row.texts):
                match = _UNSTORABLE.search(text)
                if match:
                    message = f"{show(text)} holds {show(match[0])}, which is not a character of a text"
                    place = row.places[index]
                    self._fault("csv.character", message, place, "remove it, or export the table anew as UTF-8 text")
        for index, text in enumerate(row.texts):
            if len(text) > _CELL_MAX:
                message = f"a cell has {len(text):,} characters, {_CELL_MAX:,} are the most"
                place = row.places[index]
                self._fault("csv.cell_size", message, place, "keep the text in a file and name the file here")

    def _report_ragged(self, row: Row, width: int) -> None:
        message = f"the row has {len(row)} {'cell' if len(row) == 1 else 'cells'} where the header has {width}"
        name = self._dialect.name
        hint = f"cells stand between {name}; a cell that holds one, or a line break, must stand in quotes"
        if len(row) < width:
            hint = f"write the missing {name}: cells may be empty; a cell with a line break must stand in quotes"
        self._fault("csv.ragged", message, row.places[0], hint)

    def _warn_of_blank_cells(self, row: Row, width: int) -> None:
        message = f"the row has {len(row) - width} blank cells more than the header"
        place, hint = row.places[width], f"remove the {self._dialect.name} at its end"
        self._draft.warnings.append(Fault("csv.blank_cells", message, (place,), hint))

    def _warn_of_titles(self, places: Sequence[Place]) -> None:
        message = f"dependencies name tasks by their titles, {len(places):,} times"
        hint = "titles may change or stand twice: name tasks by their ids"
        self._draft.warnings.append(Fault("csv.by_title", message, tuple(places), hint))

    def _warn_of_row_above(self, row: Row) -> None:
        if not row.is_blank:
            message = f"{show(row.texts[0].strip())} stands above the header and is left out"
            place = row.places[0]
            self._draft.warnings.append(Fault("csv.above_header", message, (place,), "begin with the column names"))

    def _describe(self, header: Header, summary_rows: int) -> None:
        """Say how the table was understood."""
        reading = self._draft.reading
        reading.form = f"table (CSV), {self._dialect.name} between cells"
        reading.columns = header.describe()
        reading.metadata = list(header.metadata.values())
        if "id" not in header.columns:
            reading.defaults.append("id: the number of the row")
        reading.defaults.extend(_defaults(header))
        counts = ((summary_rows, "summary row", "summary rows"), (len(self._steps), "step of a job", "steps of jobs"))
        reading.left_out.extend(f"{count:,} {one if count == 1 else more}" for count, one, more in counts if count)

    def _fault(self, code: str, message: str, place: Place, hint: str) -> None:
        self._draft.faults.append(Fault(code, message, (place,), hint))


def _give_up_ids(header: Header) -> str | None:
    """Keep a column of ids as metadata; return its key there, or None without one."""
    index = header.index("id")
    if index is None:
        return None
    del header.columns["id"]
    header.metadata[index] = header.names[index]
    return header.names[index]


def _defaults(header: Header) -> Iterator[str]:
    if not {"command", "payload", "agent"} & header.columns.keys():
        yield "agent noop: no column says what to run, so that tasks do nothing"
    if "depends_on" not in header.columns and "blocks" not in header.columns:
        yield "no dependencies: no column names them"


def _outline_of(row: Row, header: Header) -> OutlineRow:
    level, summary = header.index("outline"), header.index("summary_row")
    if level is None and summary is None:
        return _NO_OUTLINE
    depth = "" if level is None else row.texts[level].strip()
    is_summary = None if summary is None else parse_truth(row.texts[summary])
    return OutlineRow(int(depth) if depth.isdecimal() and len(depth) < 10 else None, is_summary)


_NO_OUTLINE = OutlineRow(None, None)
