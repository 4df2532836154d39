"""Log lines, ours and those of the libraries: events with fields, for people on a terminal and as JSON elsewhere.

Whoever logs uses `logging` with `extra={field: value}`; what is said with `log_fields` stands in every line of the same
thread. structlog gives the lines their form and is imported for the first of them. No line holds a secret.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from taskexec.domain.clock import iso_time
from taskexec.domain.names import is_run_id
from taskexec.domain.secrets import Redactor
from taskexec.domain.trace import trace_id_of

__all__ = ["LogFormat", "log_fields", "start_logs"]

LogFormat = Literal["auto", "human", "json"]

_NO_FIELDS: Mapping[str, Any] = {}
_FIELDS: ContextVar[Mapping[str, Any]] = ContextVar("taskexec_log_fields", default=_NO_FIELDS)


@contextlib.contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Have fields, such as `run`, `task` and `attempt`, in every line that this thread logs for a while."""
    token = _FIELDS.set({**_FIELDS.get(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def start_logs(
    form: LogFormat,
    level: str,
    *,
    stream: TextIO | None = None,
    redactor: Redactor | None = None,
    **fields: Any,
) -> None:
    """Have all that this process logs written in one form; a second call changes the form.

    Args:
        form: `human`, `json`, or `auto`: for people when the stream is a terminal.
        level: Least level that is written, by its name.
        stream: Where to; None is standard error.
        redactor: What knows the secrets; None makes one from the environment.
        fields: What stands in every line, such as `worker`.
    """
    out = sys.stderr if stream is None else stream
    handler = _Handler(stream)
    is_human = form == "human" or (form == "auto" and out.isatty())
    known = Redactor.of(os.environ) if redactor is None else redactor
    handler.setFormatter(_LateFormatter(known, fields, is_human=is_human, is_coloured=is_human and _is_coloured(out)))
    root = logging.getLogger()
    for former in root.handlers[:]:
        if isinstance(former, _Handler):
            root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _is_coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


class _Handler(logging.StreamHandler[TextIO]):
    """Our only handler, known by its type; without a stream it writes to what is standard error at the time."""

    def __init__(self, stream: TextIO | None) -> None:
        self._given = stream
        super().__init__(stream)

    @property
    def stream(self) -> TextIO:
        """Where it writes to."""
        return sys.stderr if self._given is None else self._given

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Change nothing: the base class sets what it is given."""


class _LateFormatter(logging.Formatter):
    """Gives lines their form; structlog, which takes a tenth of a second to import, comes with the first one."""

    def __init__(self, redactor: Redactor, fields: Mapping[str, Any], *, is_human: bool, is_coloured: bool) -> None:
        super().__init__()
        self._redactor = redactor
        self._fields = dict(fields)
        self._is_human = is_human
        self._is_coloured = is_coloured
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        if self._inner is None:
            self._inner = self._make()
        line = self._inner.format(record)
        return self._redactor.text(line) if self._is_human else line

    def _make(self) -> logging.Formatter:
        import structlog

        before: list[Any] = [
            structlog.stdlib.ExtraAdder(),
            _add_standing(self._fields, with_trace=not self._is_human),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _add_time("timestamp" if self._is_human else "at"),
        ]
        if self._is_human:
            last: list[Any] = [
                structlog.dev.ConsoleRenderer(
                    colors=self._is_coloured, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
                )
            ]
        else:
            last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=self._to_json)]
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )

    def _to_json(self, event: Mapping[str, Any], **_: Any) -> str:
        """Return a line; secrets are looked for in its texts, since a mask could break what JSON has made of them."""
        import orjson

        line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
        if self._redactor.may_change(line):
            line = orjson.dumps(self._redactor.json(orjson.loads(line)))
        return line.decode()


Event = MutableMapping[str, Any]


def _add_standing(fields: Mapping[str, Any], *, with_trace: bool) -> Any:
    """Return a processor that adds what stands in every line, and the trace of the run that a line speaks of."""

    def add(_: Any, __: str, event: Event) -> Event:
        data = event.pop("data", None)  # what Celery says of a message a second time, in full length
        for name in ("message", "asctime"):  # what other handlers leave in a record
            event.pop(name, None)
        if isinstance(data, Mapping):
            _add_message(event, str(data.get("id", "")))
        for name, value in (*_FIELDS.get().items(), *fields.items()):
            event.setdefault(name, value)
        if with_trace and isinstance(run := event.get("run"), str):
            event.setdefault("trace_id", f"{trace_id_of(run):032x}")
        return event

    return add


def _add_message(event: Event, message_id: str) -> None:
    """Add which task of which run a line of Celery is about: `<run>.<index>` is its id there."""
    run, _, index = message_id.partition(".")
    if index.isdigit() and is_run_id(run):
        event.setdefault("run", run)
        event.setdefault("index", int(index))


def _add_time(name: str) -> Any:
    """Return a processor that adds when a line was logged, and puts first what comes first in every line."""

    def add(_: Any, __: str, event: Event) -> Event:
        first = {name: iso_time(event["_record"].created), "level": event.pop("level"), "event": event.pop("event")}
        return {**first, **event}

    return add
