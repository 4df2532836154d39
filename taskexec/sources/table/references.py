"""Which tasks the cells of `depends_on` and `blocks` name, once all ids of a table are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.plan.plan import normal_id
from taskexec.plan.suggestion import Suggestions
from taskexec.sources.table.cells import Cell
from taskexec.sources.table.names import TaskNames
from taskexec.sources.values.amounts import show
from taskexec.sources.values.lists import NONE_WORDS, json_list

__all__ = ["References"]

_PARTS = re.compile(r"[^;|\r\n]+")
_BETWEEN_COMMAS = re.compile(r"[^,]+")
_LINK = re.compile(
    r"(?P<id>(?:\S.*?)?\d)\s*[:-]?\s*(?P<type>FS|SS|FF|SF|EA|AA|EE|AE)"
    r"\s*(?P<lag>[+-]?\s*[\d.,]+\s*(?:%|[^\W\d]+)?\.?|=-?P\w+)?"
    r"|(?P<number>\d+)\s*(?P<bare_lag>[+-]\s*[\d.,]+\s*(?:%|[^\W\d]+)\.?)",
    re.IGNORECASE,
)
"""A link of MS Project: an id that ends in a digit, the kind of link, and a lag; German letters as well."""
_FINISH_TO_START = ("FS", "EA")
_LINK_NAMES = {"SS": "start to start", "AA": "start to start", "FF": "finish to finish", "EE": "finish to finish"}
_LINK_HINT = "only finish-to-start links can be kept; split the task, or let it wait for the other's end"


@dataclass(frozen=True, slots=True)
class _Reference:
    """One name in a cell: who says it, what it says, and where."""

    task: DraftTask
    name: str
    place: Place


class References:
    """The cells of a table that name tasks, kept until all ids are known."""

    def __init__(self, draft: PlanDraft) -> None:
        self._draft = draft
        self._source = draft.source
        self._cells: list[tuple[DraftTask, Cell, bool]] = []
        self._names = TaskNames(draft)
        self.by_other_names: list[Place] = []
        """Where tasks were called by something else than their ids."""

    def add(self, task: DraftTask, cell: Cell, *, is_inverse: bool) -> None:
        """Keep a cell; `is_inverse` says that it names the tasks that wait for this one."""
        self._cells.append((task, cell, is_inverse))

    def are_numbers(self, rows: int) -> bool:
        """Return whether there are names and all of them can be numbers of rows, from 1."""
        numbers = {str(number) for number in range(1, rows + 1)}
        pieces = [piece for _, cell, _ in self._cells for _, piece in _pieces(cell.text, numbers.__contains__)]
        return bool(pieces) and all(piece in numbers or _linked(piece, numbers.__contains__) for piece in pieces)

    def resolve(self, names: TaskNames) -> None:
        """Give each task what it depends on; names that are none stay as they are, for validation to say so.

        Args:
            names: What the tasks are called.
        """
        self._names = names
        suggestions = Suggestions(names.ids)
        for task, cell, is_inverse in self._cells:
            if is_inverse:
                self._resolve_inverse(task, cell, suggestions)
            elif not self._resolve_plain(task, cell):
                for reference in self._references(task, cell):
                    found = self._find(reference)
                    name = reference.name if found is None else found.id.value
                    task.depends_on.append(Located(name, reference.place))

    def _resolve_plain(self, task: DraftTask, cell: Cell) -> bool:
        """Resolve a cell of nothing but ids with `;` between them; return whether it is one: most are."""
        if cell.is_quoted or self._names.has_old_ids:
            return False
        found = []
        column = cell.column
        for name in cell.text.split(";"):
            known = self._names.ids.get(name)
            if known is None:
                return False
            found.append(Located(known.id.value, Place(self._source, cell.line, column)))
            column += len(name) + 1
        task.depends_on += found
        return True

    def _resolve_inverse(self, task: DraftTask, cell: Cell, suggestions: Suggestions) -> None:
        for reference in self._references(task, cell):
            target = self._find(reference)
            if target is None:
                self._report_unknown(reference, suggestions)
            else:
                target.depends_on.append(Located(task.id.value, reference.place))

    def _find(self, reference: _Reference) -> DraftTask | None:
        """Return the task that is meant, and remember if it is not called by its id."""
        task = self._names.find(reference.name)
        if self._names.is_ambiguous(reference.name):
            message = f"{show(reference.name)} is the number of one row, and was the id of another"
            hint = "leave `--row-ids` away, or name the tasks by their titles"
            self._draft.faults.append(Fault("csv.ambiguous", message, (reference.place,), hint))
        if task is not None and reference.name not in self._names.ids:
            self.by_other_names.append(reference.place)
        return task

    def _references(self, task: DraftTask, cell: Cell) -> Iterator[_Reference]:
        is_known = self._names.__contains__
        pieces = list(_pieces(cell.text, is_known))
        places = cell.places_of((offset for offset, _ in pieces), self._source)
        for (_, piece), place in zip(pieces, places, strict=True):
            name = normal_id(piece)
            link = None if is_known(name) else _linked(piece, is_known)
            if link is None:
                yield _Reference(task, name, place)
            elif self._accepts(link, task, piece, place):
                yield _Reference(task, _target(link), place)

    def _accepts(self, link: re.Match[str], task: DraftTask, piece: str, place: Place) -> bool:
        """Return whether a link is an edge; what is lost of it is said."""
        kind = (link["type"] or "FS").upper()
        lag = link["lag"] or link["bare_lag"]
        if kind not in _FINISH_TO_START:
            name = _LINK_NAMES.get(kind, "start to finish")
            message = f"link {show(piece)} of task {show(task.id.value)} is {name}, which no graph of tasks expresses"
            self._draft.faults.append(Fault("csv.link", message, (place,), _LINK_HINT))
        elif lag:
            message = f"link {show(piece)} of task {show(task.id.value)} is kept without its lag"
            hint = "a task starts as soon as those before it have ended: remove the lag, or put a task in between"
            self._draft.warnings.append(Fault("csv.lag", message, (place,), hint))
        return kind in _FINISH_TO_START

    def _report_unknown(self, reference: _Reference, suggestions: Suggestions) -> None:
        likely = suggestions.find(reference.name)
        message = f"task {show(reference.task.id.value)} blocks {show(reference.name)}, which is no task of this plan"
        hint = "correct the name, remove it, or add a task of that id"
        if likely is not None:
            hint = f"did you mean {show(likely)}?"
        self._draft.faults.append(Fault("plan.unknown_dependency", message, (reference.place,), hint))


def _linked(piece: str, is_id: Callable[[str], bool]) -> re.Match[str] | None:
    """Return a link of MS Project, such as `3FS+2 days`, if what it begins with is an id."""
    link = _LINK.fullmatch(piece) if len(piece) <= 300 else None
    return link if link and is_id(_target(link)) else None


def _target(link: re.Match[str]) -> str:
    return normal_id(link["id"] or link["number"])


def _pieces(text: str, is_id: Callable[[str], bool]) -> Iterator[tuple[int, str]]:
    """Yield offset and text of each name in a cell, blanks around it left out.

    Names stand between `;`, `|` and line breaks, and between commas where the whole is no id and no link. A cell may
    also be a JSON list of texts, for ids that hold such characters.
    """
    as_json = json_list(text)
    if as_json:
        offset = text.index("[")
        yield from ((offset, name) for name in as_json)
        return
    for part in _PARTS.finditer(text):
        word = part[0].strip()
        offset = part.start() + len(part[0]) - len(part[0].lstrip())
        if not word or (word.casefold() in NONE_WORDS and not is_id(normal_id(word))):
            continue
        if "," not in word or is_id(normal_id(word)) or _linked(word, is_id):
            yield offset, word
            continue
        for piece in _BETWEEN_COMMAS.finditer(word):
            name = piece[0].strip()
            if name:
                yield offset + piece.start() + len(piece[0]) - len(piece[0].lstrip()), name
