"""Writing a plan as a table that `read_csv` reads as the same plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence

from taskexec.domain.clock import iso_time
from taskexec.domain.resources import choose_route
from taskexec.domain.retry import RETRIED_BY_DEFAULT
from taskexec.domain.task import Task
from taskexec.plan import Plan
from taskexec.sources.table.fields import FIELDS, METADATA_PREFIX, field_and_unit
from taskexec.sources.task.instructions import command_text, implied_agent
from taskexec.sources.values.lists import split_texts, split_words
from taskexec.sources.values.needs import need_words

__all__ = ["write_csv"]

_NEEDS_QUOTES = re.compile(r'[,;|\t"\r\n]|^[\s#]|\s$|^$')
_IN_LIST = re.compile(r"[;|]")

_COLUMNS: tuple[tuple[str, Callable[[Task], str]], ...] = (
    ("title", lambda task: task.title),
    ("command", lambda task: command_text(task) or ""),
    ("payload", lambda task: _payload(task)),
    ("agent", lambda task: "" if task.agent == implied_agent(task) else task.agent),
    ("depends_on", lambda task: _ids(task.depends_on)),
    ("lane", lambda task: task.lane or ""),
    ("queue", lambda task: "" if task.route is choose_route(None, task.needs) else task.route.value),
    ("cpus", lambda task: _number(task.needs.cpus, 1.0)),
    ("memory_mib", lambda task: _number(task.needs.memory_mib, 0)),
    ("gpus", lambda task: _gpus(task)),
    ("gpu_memory_mib", lambda task: _number(task.needs.gpu_memory_mib, 0)),
    ("disk_mib", lambda task: _number(task.needs.disk_mib, 0)),
    ("has", lambda task: _list(task.needs.has, ";", split_words)),
    ("not", lambda task: _list(task.needs.has_not, ";", split_words)),
    ("exclusive", lambda task: "yes" if task.needs.exclusive else ""),
    ("nodes", lambda task: _number(task.needs.nodes, 1)),
    ("packed", lambda task: "yes" if task.needs.packed else ""),
    ("alternatives", lambda task: _alternatives(task)),
    ("duration_s", lambda task: _number(task.duration_s, None)),
    ("timeout_s", lambda task: _number(task.timeout_s, None)),
    ("total_timeout_s", lambda task: _number(task.total_timeout_s, None)),
    ("deadline", lambda task: "" if task.deadline_at is None else iso_time(task.deadline_at)),
    ("retries", lambda task: _number(task.retries, 0)),
    ("retry_delay_s", lambda task: _number(task.retry.delay_s, 0.0)),
    ("retry_factor", lambda task: _number(task.retry.factor, 1.0)),
    ("retry_max_delay_s", lambda task: _number(task.retry.max_delay_s, None)),
    ("retry_jitter", lambda task: _number(task.retry.jitter, 0.0)),
    ("retry_on", lambda task: "" if task.retry.on == RETRIED_BY_DEFAULT else ";".join(task.retry.on)),
    ("retry_memory", lambda task: _number(task.retry.memory_factor, 1.0)),
    ("priority", lambda task: _number(task.priority, 0)),
    ("status", lambda task: "done" if task.is_satisfied else ""),
    ("layer", lambda task: task.layer or ""),
    ("labels", lambda task: _list(task.labels, ";", split_words)),
    ("acceptance_criteria", lambda task: _list(task.acceptance_criteria, "|;", split_texts)),
    ("requirements", lambda task: _list(task.requirements, "|;", split_texts)),
    ("inputs", lambda task: _list(task.inputs, ";", split_words)),
    ("outputs", lambda task: _list(task.outputs, ";", split_words)),
)
"""Every column but the id, and the cell of a task in it; empty says what the reader supposes anyway."""


def write_csv(plan: Plan) -> str:
    """Return a plan as a table with commas and LF; columns that no task needs are left out."""
    keys = list(dict.fromkeys(key for task in plan.tasks for key in task.metadata))
    columns = [(name, [cell(task) for task in plan.tasks]) for name, cell in _COLUMNS]
    columns += [(_metadata_name(key), [task.metadata.get(key, "") for task in plan.tasks]) for key in keys]
    filled = [(name, cells) for name, cells in columns if any(cells)]
    header = ["id", *(name for name, _ in filled)]
    rows = zip([task.id for task in plan.tasks], *(cells for _, cells in filled), strict=True)
    return "".join([_line(header), *(_row(row, header) for row in rows)])


def _row(cells: Sequence[str], header: Sequence[str]) -> str:
    """Return one line; a row that says the same as the header is quoted, which a header is not."""
    is_like_header = [cell.casefold() for cell in cells] == header
    return _line(cells, quote_all=is_like_header)


def _line(cells: Iterable[str], *, quote_all: bool = False) -> str:
    return (
        ",".join(_quoted(cell) if cell and (quote_all or _NEEDS_QUOTES.search(cell)) else cell for cell in cells) + "\n"
    )


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _metadata_name(key: str) -> str:
    """Return the name of a column that is kept as metadata with this key."""
    is_known = any(field_and_unit(key, field) for field in FIELDS)
    return METADATA_PREFIX + key if is_known or key.startswith(METADATA_PREFIX) else key


def _payload(task: Task) -> str:
    """Return the instructions of a task that no command says."""
    if command_text(task) is not None or (not task.payload and task.agent == "noop"):
        return ""
    return json.dumps(dict(task.payload), ensure_ascii=False)


def _ids(ids: Sequence[str]) -> str:
    if any(_IN_LIST.search(name) for name in ids) or (ids and ids[0].startswith('["')):
        return json.dumps(list(ids), ensure_ascii=False)
    return ";".join(ids)


def _list(texts: Sequence[str], separator: str, split: Callable[[str], list[str]]) -> str:
    """Return texts in one cell, as JSON where the reader would part them otherwise."""
    joined = separator.join(texts)
    return joined if split(joined) == list(texts) else json.dumps(list(texts), ensure_ascii=False)


def _gpus(task: Task) -> str:
    """Return the GPUs of a task; memory of a GPU asks for one by itself."""
    return _number(task.needs.gpus, 1.0 if task.needs.gpu_memory_mib else 0.0)


def _alternatives(task: Task) -> str:
    """Return what would do as well; labels hold nothing that parts words."""
    options = task.needs.alternatives
    return "; ".join(" ".join(need_words(option.needs, option.weight)) for option in options)


def _number(value: float | None, default: float | None) -> str:
    if value is None or value == default:
        return ""
    return str(int(value)) if value == int(value) else repr(value)
