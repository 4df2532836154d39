"""Reading tables: one row is one task, and every fault of the file is found in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskexec.errors import Fault, Place
from taskexec.plan.bulk import collection_paused
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Row, scan_rows
from taskexec.sources.table.checks import UNSTORABLE, RowChecks
from taskexec.sources.table.dialect import Dialect, find_dialect
from taskexec.sources.table.fields import SLURM_IDS, normalize
from taskexec.sources.table.header import Header, missing_id, resolve_header
from taskexec.sources.table.names import TaskNames
from taskexec.sources.table.outline import OutlineRow, drop_summary_rows
from taskexec.sources.table.references import References
from taskexec.sources.table.rows import RowReader
from taskexec.sources.values import amounts
from taskexec.sources.values.amounts import show
from taskexec.sources.values.words import parse_truth

__all__ = ["COLUMNS_MAX", "ROWS_MAX", "read_csv"]

ROWS_MAX = 1_000_000
"""Most rows of a table."""

COLUMNS_MAX = 10_000
"""Most columns of a table."""

_OUTLINE_IDS = ("wbs", "wbscode")
_DOUBTFUL_ID = "task"
"""A column called so may hold ids as well as titles."""
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
    dialect = find_dialect(text, {normalize(name) for names in (columns or {}).values() for name in names})
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
        self._checks = RowChecks(draft, dialect, text)
        self._numbers: list[int] = []
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
            self._checks.warn_of_row_above(next(rows))
        header_row = next(rows)
        if len(header_row) > COLUMNS_MAX:
            message = f"the table has {len(header_row):,} columns, {COLUMNS_MAX:,} are the most"
            hint = f"leave columns out; look whether cells stand between {dialect.name}"
            self._fault("csv.width", message, header_row.places[0], hint)
            return
        self._checks.report_quotes(header_row)
        self._checks.report_cells(header_row)
        header = resolve_header(header_row, draft.source, columns, faults=draft.faults, warnings=draft.warnings)
        old_ids = _give_up_ids(header) if use_row_ids else None
        if header.columns:
            self._read_rows(header, header_row, rows)
        if not use_row_ids and "id" in header.columns:
            self._judge_ids(header)
        elif not header.columns or not (use_row_ids or self._name_rows()):
            draft.tasks.clear()
            draft.faults.insert(0, missing_id(header, header_row, draft.source))
            return
        self._settle_summaries(header)
        self._references.resolve(TaskNames(draft, old_ids))
        if self._references.by_other_names and not use_row_ids:
            self._warn_of_titles(self._references.by_other_names)
        self._describe(header, drop_summary_rows(draft, self._outline))

    def _name_rows(self) -> bool:
        """Return whether all names of tasks can be numbers of rows."""
        return self._references.are_numbers(max(self._numbers, default=0))

    def _judge_ids(self, header: Header) -> None:
        """Look whether predecessors are numbers of rows where another column was taken for ids."""
        ids = [task.id.value for task in self._draft.tasks]
        name = normalize(header.names[header.columns["id"][0]])
        if name in _OUTLINE_IDS and any("." in task_id for task_id in ids) and self._name_rows():
            message = "predecessors are numbers of rows, but the ids are codes of an outline"
            hint = "export the column ID as well, or number the rows (`--row-ids`)"
            self._fault("csv.outline_ids", message, self._draft.tasks[0].id.place, hint)
        elif name == _DOUBTFUL_ID and not any(map(str.isdecimal, ids)) and self._name_rows():
            self._number_rows(header)

    def _number_rows(self, header: Header) -> None:
        """Take what was read as ids for titles, and the numbers of the rows for ids."""
        for task, number in zip(self._draft.tasks, self._numbers, strict=True):
            task.title = task.title or task.id
            task.id = Located(str(number), task.id.place)
        header.columns.setdefault("title", header.columns.pop("id"))

    def _settle_summaries(self, header: Header) -> None:
        """Keep a column `summary` as metadata if it holds texts: then it does not tell which rows sum up others."""
        index = header.index("summary_row")
        if index is None or all(row.says_truth for row in self._outline):
            return
        header.metadata[index] = header.names[index]
        del header.columns["summary_row"]
        for position, (task, row) in enumerate(zip(self._draft.tasks, self._outline, strict=True)):
            self._outline[position] = OutlineRow(row.level, None, "")
            if row.text:
                task.metadata.setdefault(header.names[index], row.text)

    def _warn_of_titles(self, places: Sequence[Place]) -> None:
        message = f"dependencies name tasks by their titles, {len(places):,} times"
        hint = "titles may change or stand twice: name tasks by their ids"
        self._draft.warnings.append(Fault("csv.by_title", message, tuple(places), hint))

    def _read_rows(self, header: Header, header_row: Row, rows: Iterable[Row]) -> None:
        reader = RowReader(header, self._draft)
        columns = header.columns
        self._id_index = header.index("id")
        self._is_slurm = self._id_index is not None and normalize(header.names[self._id_index]) in SLURM_IDS
        self._has_outline = "outline" in columns or "summary_row" in columns
        self._links = [(index, False) for index in columns.get("depends_on", ())]
        self._links += [(index, True) for index in columns.get("blocks", ())]
        names = [normalize(text) for text in header_row.texts]
        number = 0
        first = header_row.texts[0].strip().casefold()
        for row in rows:
            number += 1  # blank rows count, as in the tools that name rows by their numbers
            if self._checks.is_no_task(row):
                continue
            if number > ROWS_MAX:
                message = f"the table has more than {ROWS_MAX:,} rows"
                self._fault("csv.rows", message, row.places[0], "split the plan")
                return
            if row.texts[0].strip().casefold() == first and self._is_header(row, names):
                message = "the header stands a second time"
                self._fault("csv.second_header", message, row.places[0], "take this line out")
                continue
            self._read_row(row, header, reader, number)
            self._numbers += [number] * (len(self._draft.tasks) - len(self._numbers))

    def _is_header(self, row: Row, names: Sequence[str]) -> bool:
        """Return whether a row says what the header says; a row with quotes is meant as a task."""
        is_quoted = any(cell.is_quoted for cell in row.cells_with_quotes())
        return len(names) > 1 and not is_quoted and [normalize(text) for text in row.texts] == names

    def _read_row(self, row: Row, header: Header, reader: RowReader, number: int) -> None:
        """Add the row's task, or only its id when the row cannot be read, so that what depends on it is right."""
        is_misquoted = row.has_quotes and self._checks.report_quotes(row)
        self._checks.report_cells(row)
        task_id = self._id(row, number)
        width = len(header.names)
        if len(row) > width and not any(text.strip() for text in row.texts[width:]):
            self._checks.warn_of_blank_cells(row, width)
            row = row.part(width)
        if len(row) != width:
            if not is_misquoted:  # a wrong quote splits cells at will: one fault is enough
                self._checks.report_ragged(row, width)
            if task_id is not None and task_id.value:
                self._add(DraftTask(id=task_id), OutlineRow(None, None, ""))
            return
        assert task_id is not None  # the id's column is within the width
        step = _SLURM_STEP.fullmatch(task_id.value) if self._is_slurm else None
        if step is not None:
            self._steps.append(step["job"])
            return
        count = len(self._draft.faults)
        task = reader.read(row, task_id)
        if is_misquoted:
            self._checks.drop_faults_of_wrong_quotes(row, count)
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
            if forbidden is not None and not UNSTORABLE.search(text):
                message = f"id {show(text)} holds the control character {show(forbidden)}"
                place = row.places[index]
                self._fault("csv.character", message, place, "write the id with visible characters")
        return Located(text.strip(), row.places[index])

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
    text = "" if summary is None else row.texts[summary].strip()
    is_summary = None if summary is None else parse_truth(text)
    return OutlineRow(int(depth) if depth.isdecimal() and len(depth) < 10 else None, is_summary, text)


_NO_OUTLINE = OutlineRow(None, None, "")
