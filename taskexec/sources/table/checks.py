"""What is wrong or odd with the rows of a table as they are written: quotes, cells, lines that are no rows."""

from __future__ import annotations

import re

from taskexec.errors import Fault, Place
from taskexec.plan.draft import PlanDraft
from taskexec.sources.table.cells import Row
from taskexec.sources.table.dialect import Dialect
from taskexec.sources.values.amounts import show

__all__ = ["UNSTORABLE", "RowChecks"]

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What no text can hold: NUL, and halves of surrogate pairs."""

_CELL_MAX = 1_048_576
_CELLS_OF_A_ROW = 4
"""A line within a cell with as many cells as the header looks like a row if they are at least so many."""
_RULE = re.compile(r":?-{2,}:?")


class RowChecks:
    """Checks the rows of one table; what is found goes to the draft."""

    def __init__(self, draft: PlanDraft, dialect: Dialect, text: str) -> None:
        self._draft = draft
        self._delimiter = dialect.delimiter
        self._delimiter_name = dialect.name
        self._may_be_wrong = "\0" in text or (not text.isascii() and bool(UNSTORABLE.search(text)))

    def is_no_task(self, row: Row) -> bool:
        """Return whether a row is blank, the rule below a header in Markdown, or commented out, which is said."""
        first = row.texts[0]
        if not first.strip() and row.is_blank:
            return True
        if first.startswith("# "):
            message = f"{show(self._delimiter.join(row.texts))} begins with `#` and is left out as a comment"
            hint = "take the line out, or the `#` away if it is a task"
            self._draft.warnings.append(Fault("csv.comment", message, (row.places[0],), hint))
            return True
        return self._delimiter == "|" and all(not text.strip() or _RULE.fullmatch(text.strip()) for text in row.texts)

    def report_quotes(self, row: Row) -> bool:
        """Report cells whose quotes are wrong, warn of stray ones; return whether any is wrong."""
        is_wrong = False
        for cell in row.cells_with_quotes():
            place = cell.place(row.source)
            if cell.problem:
                is_wrong = True
                hint = 'put the whole cell in quotes and write each quote inside it twice: "say ""hi"""'
                self._fault("csv.quote", f"{cell.problem} in {show(cell.text)}", place, hint)
            elif not cell.is_quoted and '"' in cell.text and self._delimiter != "|":
                message = f"quotes inside {show(cell.text)} stand for themselves: the cell does not begin with one"
                hint = "put the whole cell in quotes and write each quote inside it twice"
                self._draft.warnings.append(Fault("csv.stray_quote", message, (place,), hint))
            elif cell.is_quoted and _hides_rows(cell.text, self._delimiter, len(row)):
                message = f"the quoted cell {show(cell.text)} goes over lines that look like rows"
                hint = "a quote may be too many where it begins or ends; look whether a row is missing"
                self._draft.warnings.append(Fault("csv.hidden_rows", message, (place,), hint))
        return is_wrong

    def drop_faults_of_wrong_quotes(self, row: Row, count: int) -> None:
        """Take back all but the first faults of a file that stand at a cell with wrong quotes: one is enough."""
        faults = self._draft.faults
        wrong = {cell.place(row.source) for cell in row.cells_with_quotes() if cell.problem}
        faults[count:] = [fault for fault in faults[count:] if wrong.isdisjoint(fault.places)]

    def report_cells(self, row: Row) -> None:
        """Report cells that are too long or hold what no text can hold."""
        if not self._may_be_wrong and row.size <= _CELL_MAX:
            return
        for index, text in enumerate(row.texts):
            match = UNSTORABLE.search(text) if self._may_be_wrong else None
            if match:
                message = f"{show(text)} holds {show(match[0])}, which is not a character of a text"
                place = row.places[index]
                self._fault("csv.character", message, place, "remove it, or export the table anew as UTF-8 text")
            if len(text) > _CELL_MAX:
                message = f"a cell has {len(text):,} characters, {_CELL_MAX:,} are the most"
                place = row.places[index]
                self._fault("csv.cell_size", message, place, "keep the text in a file and name the file here")

    def report_ragged(self, row: Row, width: int) -> None:
        """Report a row with another number of cells than the header."""
        message = f"the row has {len(row)} {'cell' if len(row) == 1 else 'cells'} where the header has {width}"
        name = self._delimiter_name
        hint = f"cells stand between {name}; a cell that holds one, or a line break, must stand in quotes"
        if len(row) < width:
            hint = f"write the missing {name}: cells may be empty; a cell with a line break must stand in quotes"
        self._fault("csv.ragged", message, row.places[0], hint)

    def warn_of_blank_cells(self, row: Row, width: int) -> None:
        """Warn of blank cells behind the last column; they are left out."""
        message = f"the row has {len(row) - width} blank cells more than the header"
        place, hint = row.places[width], f"remove the {self._delimiter_name} at its end"
        self._draft.warnings.append(Fault("csv.blank_cells", message, (place,), hint))

    def warn_of_row_above(self, row: Row) -> None:
        """Warn of a line above the header; it is left out."""
        if not row.is_blank:
            message = f"{show(row.texts[0].strip())} stands above the header and is left out"
            place = row.places[0]
            self._draft.warnings.append(Fault("csv.above_header", message, (place,), "begin with the column names"))

    def _fault(self, code: str, message: str, place: Place, hint: str) -> None:
        self._draft.faults.append(Fault(code, message, (place,), hint))


def _hides_rows(text: str, delimiter: str, width: int) -> bool:
    """Return whether a cell holds a line with as many cells as its row, behind a line break."""
    if width < _CELLS_OF_A_ROW or "\n" not in text:
        return False
    return any(line.count(delimiter) >= width - 1 for line in text.splitlines()[1:])
