"""Where the entries of a run come from: its server, or the ledger in its folder at home."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import orjson

from taskexec.api.plan_reading import read_plan_document
from taskexec.completion.former import transition_of
from taskexec.completion.ledger import SIGNED
from taskexec.domain.events import LogEntry, Transition, parse_entry
from taskexec.domain.secrets import Redactor
from taskexec.observability.timeline import RunTimeline
from taskexec.store.run_lines import RedisRunLines
from taskexec.store.runs import RedisRunStore

__all__ = ["Happening", "HomeOrigin", "Origin", "ServerOrigin", "order_of"]

Happening = tuple[str, Transition]
"""An entry's id, and one of its transitions."""
_ENTRY_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_TOO_LARGE = 2**64
"""Redis refuses ids with a part of this size."""


def order_of(entry: str) -> tuple[int, int]:
    """Return an id of the log as what it is ordered by.

    Raises:
        ValueError: It is none.
    """
    found = _ENTRY_ID.fullmatch(entry)
    order = (int(found[1]), int(found[2] or 0)) if found is not None else (_TOO_LARGE, 0)
    if max(order) >= _TOO_LARGE:
        raise ValueError("should be the id of an event, such as `1767168000000-0`")
    return order


class Origin(Protocol):
    """Where a run's plan and its entries come from."""

    @property
    def stamp(self) -> object:
        """What is equal as long as this can be gone on with."""

    def begin(self) -> RunTimeline:
        """Return the run as it stood before the first entry that `read` gives.

        Raises:
            NotFound, ConnectionLost, OSError, ValueError: It cannot be read.
        """

    def read(self, after: str, *, wait_s: float = 0.0) -> list[LogEntry]:
        """Return entries behind one, oldest first, waiting up to `wait_s` for the first.

        Raises:
            ConnectionLost: The server did not answer.
        """

    def happened(self, after: str, until: str) -> Iterator[Happening]:
        """Yield what happened behind one entry, up to another one."""

    def now_us(self) -> int:
        """Return the time of the clock that entries go by."""


class ServerOrigin:
    """A run on its server."""

    def __init__(self, store: RedisRunStore, run_id: str, folder: Path, redactor: Redactor) -> None:
        """Read a run from its server; `folder` is the one at home, which may know of former lives of it."""
        self._redactor = redactor
        self._store = store
        self._run_id = run_id
        self._folder = folder
        self._offset_us = 0
        self.life: str | None = None
        """The id of the first entry of the log that was read last."""

    @property
    def stamp(self) -> object:
        """See `Origin.stamp`: a log is gone on with for ever."""
        return None

    def begin(self) -> RunTimeline:
        """See `Origin.begin`."""
        plan = read_plan_document(zlib.decompress(self._store.documents(self._run_id)[0]), self._redactor)
        timeline = RunTimeline(plan)
        lines = RedisRunLines(self._store.connection)
        self._offset_us = lines.now_us() - time.time_ns() // 1000
        self.life = self._store.first_entry(self._run_id)
        if lines.is_continued(self._run_id):
            for _, transition in _before(_of_ledger(self._folder, timeline.index_of), self.life):
                timeline.take(transition)
        return timeline

    def read(self, after: str, *, wait_s: float = 0.0) -> list[LogEntry]:
        """See `Origin.read`."""
        return self._store.read_log(self._run_id, after, wait_s=wait_s)

    def happened(self, after: str, until: str) -> Iterator[Happening]:
        """See `Origin.happened`."""
        last = order_of(until)
        while entries := self._store.read_log(self._run_id, after):
            for entry in entries:
                if order_of(entry.id) > last:
                    return
                for transition in parse_entry(entry):
                    yield entry.id, transition
            after = entries[-1].id

    def now_us(self) -> int:
        """See `Origin.now_us`."""
        return time.time_ns() // 1000 + self._offset_us

    def has_begun_anew(self) -> bool:
        """Return whether the log is another one than was read: the run was taken up on a server that had lost it.

        Raises:
            NotFound: The server does not know the run.
            ConnectionLost: It did not answer.
        """
        first = self._store.first_entry(self._run_id)
        if first is None:
            self._store.head(self._run_id)
            return False
        is_new, self.life = first != self.life, first
        return is_new


class HomeOrigin:
    """A run in its folder at home: what the ledger holds at this moment."""

    def __init__(self, folder: Path, redactor: Redactor) -> None:
        """Read a run from its folder."""
        self._redactor = redactor
        self._folder = folder
        self._read_to = "0"

    @property
    def stamp(self) -> object:
        """See `Origin.stamp`."""
        try:
            found = (self._folder / "ledger.jsonl").stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def begin(self) -> RunTimeline:
        """See `Origin.begin`: all that stands in the ledger has happened."""
        timeline = RunTimeline(read_plan_document((self._folder / "plan.json").read_bytes(), self._redactor))
        for entry, transition in _of_ledger(self._folder, timeline.index_of):
            timeline.take(transition)
            timeline.last_id = entry
        return timeline

    def read(self, after: str, *, wait_s: float = 0.0) -> list[LogEntry]:
        """See `Origin.read`: nothing more comes."""
        return []

    def happened(self, after: str, until: str) -> Iterator[Happening]:
        """See `Origin.happened`."""
        first, last = order_of(after), order_of(until)
        plan = read_plan_document((self._folder / "plan.json").read_bytes(), self._redactor)
        index_of = {task["id"]: index for index, task in enumerate(plan["tasks"])}
        del plan
        for entry, transition in _of_ledger(self._folder, index_of):
            if first < order_of(entry) <= last:
                yield entry, transition

    def now_us(self) -> int:
        """See `Origin.now_us`."""
        return time.time_ns() // 1000


def _of_ledger(folder: Path, index_of: Mapping[str, int]) -> Iterator[Happening]:
    """Yield what a ledger at home holds; nothing when there is none."""
    try:
        file = (folder / "ledger.jsonl").open("rb")
    except OSError:
        return
    with file:
        for line in file:
            if not line.endswith(b"\n"):  # somebody is writing it
                return
            content = orjson.loads(line)
            if content["event"] != SIGNED:
                yield content["entry"], transition_of(content, index_of)


def _before(happenings: Iterable[Happening], life: str | None) -> Iterator[Happening]:
    """Yield what happened before a life of the run began."""
    for entry, transition in happenings:
        if entry == life:
            return
        yield entry, transition
