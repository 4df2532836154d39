"""One row of a table as a task: every cell by what its column means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from taskexec.domain.resources import Route
from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located, PlanDraft
from taskexec.sources.table.cells import Row
from taskexec.sources.table.columns import (
    ColumnReader,
    Tres,
    alternatives_column,
    amount_columns,
    is_slurm_memory,
    parse_tres,
    retry_columns,
    total_cores,
)
from taskexec.sources.table.fields import SLURM_ONLY, normalize
from taskexec.sources.table.header import Header
from taskexec.sources.table.instructions import InstructionReader
from taskexec.sources.table.status import STATUS_FIELDS, StatusReader
from taskexec.sources.values.amounts import ROUTES, show
from taskexec.sources.values.lists import NONE_WORDS, split_texts, split_words
from taskexec.sources.values.needs import LABELS, located_alternative
from taskexec.sources.values.words import parse_truth

__all__ = ["RowReader"]

_METADATA_SEPARATOR = ";"
_TEXT_FIELDS = ("title", "agent", "lane", "queue", "command", "payload", "layer")
_RARER = frozenset({*STATUS_FIELDS, "milestone", "tres", "has", "not", "nodes", "alternatives"})
_SLURM_CHOICE = re.compile(r"[|()\[\]*!]")
"""What Slurm's constraints have beside names that all must be there."""

_new_tuple = tuple.__new__  # half the time of `Located(…)`, and a large table has a million values


class RowReader:
    """Turns the rows below one header into tasks of a draft."""

    def __init__(self, header: Header, draft: PlanDraft) -> None:
        self._header = header
        self._draft = draft
        self._row = Row((), 0, source=draft.source, size=0)
        self._text_columns = [(field, header.columns[field][0]) for field in _TEXT_FIELDS if field in header.columns]
        self._amounts = amount_columns(header)
        tres = header.index("tres")
        self._tres = None if tres is None else ColumnReader("tres", tres, parse_tres)
        self._statuses = StatusReader(header, draft)
        self._has_status = not header.columns.keys().isdisjoint(STATUS_FIELDS)
        self._instructions = InstructionReader(header, draft)
        self._has_memory_per_cpu = is_slurm_memory(header)
        self._retry = retry_columns(header)
        lists: dict[str, Callable[[str], tuple[Any, ...]]] = {
            "labels": self._words,
            **dict.fromkeys(("acceptance_criteria", "requirements"), self._texts),
            **dict.fromkeys(("inputs", "outputs"), self._paths),
        }
        self._lists = [(field, read) for field, read in lists.items() if field in header.columns]
        self._labels = [(name, field) for name, field in LABELS.items() if name in header.columns]
        self._alternatives = alternatives_column(header)
        self._totals = total_cores(header)
        self._has_rarer = bool(
            self._has_memory_per_cpu or self._retry or self._lists or not _RARER.isdisjoint(header.columns)
        )

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
            payload=self._instructions.read(row, found),
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
        if self._has_status:
            self._statuses.read(self._row, task)
        for field, read in self._lists:
            setattr(task, field, read(field))
        if self._retry:
            self._read_retry(task)
        if "milestone" in self._header.columns:
            self._read_milestone(task)
        if self._tres is not None:
            self._read_tres(task, self._tres)
        for name, target in self._labels:
            setattr(task, target, self._read_labels(name))
        if self._alternatives is not None:
            self._read_alternatives(task, self._alternatives)
        if task.nodes is not None and task.nodes.value > 1:
            self._divide(task, task.nodes.value)
        if task.memory_mib is not None and self._has_memory_per_cpu:
            self._multiply_memory(task, task.memory_mib)

    def _words(self, field: str) -> tuple[str, ...]:
        found = (split_words(self._row.texts[index]) for index in self._header.columns[field])
        return tuple(word for words in found for word in words)

    def _texts(self, field: str) -> tuple[str, ...]:
        found = (split_texts(self._row.texts[index]) for index in self._header.columns[field])
        return tuple(text for texts in found for text in texts)

    def _paths(self, field: str) -> tuple[Located[str], ...]:
        texts, places = self._row.texts, self._row.places
        columns = self._header.columns[field]
        return tuple(Located(path, places[index]) for index in columns for path in split_words(texts[index]))

    def _read_retry(self, task: DraftTask) -> None:
        found = {name: column.read(self._row, self._report_amount) for name, column in self._retry.items()}
        task.retry = {name: value for name, value in found.items() if value is not None} or None

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

    def _metadata(self) -> dict[str, str]:
        """Return the cells of unknown columns; those of equal names are joined with `;`."""
        metadata: dict[str, str] = {}
        for index, name in self._header.metadata.items():
            value = self._row.texts[index].strip()
            if value:
                metadata[name] = f"{metadata[name]}{_METADATA_SEPARATOR}{value}" if name in metadata else value
        return metadata

    def _read_milestone(self, task: DraftTask) -> None:
        """Give a milestone that says nothing else no duration; a text is the milestone that a tracker plans it for."""
        milestone = self._header.text(self._row, "milestone")
        if milestone is None:
            return
        word = milestone.value
        if parse_truth(word) is None or word == "1":
            task.metadata.setdefault(self._header.names[self._header.columns["milestone"][0]], word)
        elif parse_truth(word) and task.duration_s is None:
            task.duration_s = Located(0.0, milestone.place)

    def _read_tres(self, task: DraftTask, column: ColumnReader[Tres]) -> None:
        found = column.read(self._row, self._report_amount)
        if found is None:
            return
        for name in ("cpus", "memory_mib", "gpus"):
            amount = getattr(found.value, name)
            if amount is not None and getattr(task, name) is None:
                setattr(task, name, Located(amount, found.place))

    def _read_labels(self, name: str) -> tuple[Located[str], ...] | None:
        """Return the labels of all columns of a field, or None where they say nothing."""
        row, found = self._row, []
        for index in self._header.columns[name]:
            text = row.texts[index]
            if normalize(self._header.names[index]) in SLURM_ONLY:
                if _SLURM_CHOICE.search(text):
                    message = f"says {show(text.strip())}, which is more than a list of labels"
                    self._report("csv.labels", index, message, "write what the worker must have, such as `ssd&a100`")
                    continue
                text = text.replace("&", ";")
            found += [Located(label, row.places[index]) for label in split_words(text)]
        return tuple(found) or None

    def _read_alternatives(self, task: DraftTask, column: ColumnReader[tuple[Mapping[str, Any], ...]]) -> None:
        said = column.read(self._row, self._report_amount)
        if said is not None:
            task.alternatives = tuple(located_alternative(found, said.place) for found in said.value)

    def _divide(self, task: DraftTask, nodes: int) -> None:
        """Give each rank its part of what Slurm counts over all nodes of a job."""
        columns = [self._totals, None if self._tres is None else self._tres.index]
        totals = [self._row.places[index] for index in columns if index is not None]
        for name in ("cpus", "gpus", "memory_mib"):
            amount = getattr(task, name)
            if amount is not None and amount.place in totals:
                part = amount.value / nodes
                setattr(task, name, Located(math.ceil(part) if name == "memory_mib" else part, amount.place))

    def _multiply_memory(self, task: DraftTask, memory_mib: Located[int]) -> None:
        """Give a job that asks for memory per core (`4Gc`) what all its cores get."""
        index = self._header.index("memory")
        if index is not None and self._row.texts[index].rstrip().endswith("c"):
            cores = 1.0 if task.cpus is None else max(task.cpus.value, 1.0)
            task.memory_mib = Located(math.ceil(memory_mib.value * cores), memory_mib.place)

    def _report_amount(self, index: int, message: str, hint: str) -> None:
        self._report("csv.number", index, message, hint)

    def _report(self, code: str, index: int, message: str, hint: str) -> None:
        place = self._row.places[index]
        name = self._header.names[index]
        self._draft.faults.append(Fault(code, f"column {show(name)} {message}", (place,), hint))
