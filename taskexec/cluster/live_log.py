"""The output of a task as the server holds it: chunks of what is long, and the rest with the attempt's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from taskexec.completion.evidence import decode_inline
from taskexec.completion.ledger import split_record
from taskexec.domain.events import LogEntry, Transition, TransitionKind, parse_entry
from taskexec.domain.states import FINAL_TASK_STATUSES
from taskexec.store.runs import RedisRunStore

__all__ = ["STREAMS", "LiveLog", "LogPiece"]

STREAMS = ("stdout.log", "stderr.log")
"""Files of evidence that hold what an attempt wrote."""

_MARGIN_MS = 1000
"""Chunks are looked for from so long before their attempt was claimed: two clocks readings of one server."""
_WITH_OUTPUT = {TransitionKind.SUCCEEDED, TransitionKind.FAILED, TransitionKind.TRIED, TransitionKind.LOST}


class LogPiece(NamedTuple):
    """Some bytes that an attempt wrote."""

    attempt: int
    stream: str
    """One of `STREAMS`."""
    offset: int
    """Bytes of this stream before it."""
    data: bytes


class LiveLog:
    """Reads what one task has written, attempt after attempt, each byte once.

    Chunks of all tasks of a run are in one stream. Only those are read that came since the first attempt that is
    meant was claimed.
    """

    def __init__(
        self, store: RedisRunStore, run_id: str, index: int, *, first: int = 1, last: int | None = None
    ) -> None:
        """Begin at an attempt.

        Args:
            store: The run's server.
            run_id: The run.
            index: Position of the task in its plan.
            first: Number of the first attempt to read; 0 is the first one.
            last: Number of the last one; None goes on with those that follow.
        """
        self._store = store
        self._run_id = run_id
        self._index = index
        self._first = max(first, 1)
        self._last = last
        self._read: dict[tuple[int, str], int] = {}
        self._held: list[Mapping[str, bytes]] = []
        self._current = 0
        self._log_at = "0"
        self._output_at: str | None = None
        self.has_ended = False
        """Whether nothing more will come: the task, the run or the last attempt that is meant has ended."""
        self.is_up_to_date = False
        """Whether the last read found nothing new in the run."""

    @property
    def has_started(self) -> bool:
        """Whether an attempt that is meant has started."""
        return self._output_at is not None

    def read_bytes(self, attempt: int, stream: str) -> int:
        """Return how many bytes of a stream were read."""
        return self._read.get((attempt, stream), 0)

    def read(self, *, wait_s: float = 0.0) -> Iterator[LogPiece]:
        """Yield what is new, waiting up to `wait_s` for something to happen.

        Raises:
            ConnectionLost: The server did not answer; call again to go on.
        """
        if self._output_at is None:
            entries = self._store.read_log(self._run_id, self._log_at, wait_s=wait_s)
        else:
            # the log is read first: what an attempt wrote was sent before its end was logged
            entries = self._store.read_log(self._run_id, self._log_at)
        self.is_up_to_date = not entries
        self._find_start(entries)
        yield from self._take_chunks(wait_s=0.0 if entries else wait_s)
        for entry in entries:
            self._log_at = entry.id
            yield from self._take(entry)

    def _find_start(self, entries: list[LogEntry]) -> None:
        if self._output_at is not None:
            return
        for entry in entries:
            for transition in parse_entry(entry):
                is_ours = transition.index == self._index and self._is_meant(transition.attempt)
                if is_ours and transition.kind is TransitionKind.RUNNING:
                    self._output_at = f"{max(entry.at_us // 1000 - _MARGIN_MS, 0)}-0"
                    return

    def _is_meant(self, attempt: int) -> bool:
        return attempt >= self._first and (self._last is None or attempt <= self._last)

    def _take_chunks(self, *, wait_s: float) -> Iterator[LogPiece]:
        """Yield the chunks of the attempt that runs; those of a later one wait for the end of the one before."""
        if self._output_at is None:
            return
        while chunks := self._store.read_output(self._run_id, self._output_at, wait_s=wait_s):
            wait_s = 0.0
            for id_, fields in chunks:
                self._output_at = id_
                if int(fields["i"]) == self._index and self._is_meant(int(fields["a"])):
                    self._held.append(fields)
            yield from self._release()

    def _release(self) -> Iterator[LogPiece]:
        later = []
        for fields in self._held:
            attempt, name = int(fields["a"]), fields["f"].decode(errors="replace")
            if attempt > self._current:
                later.append(fields)
            elif name in STREAMS and int(fields["o"]) == self.read_bytes(attempt, name):  # may be sent twice
                yield self._piece(attempt, name, fields["d"])
        self._held = later

    def _take(self, entry: LogEntry) -> Iterator[LogPiece]:
        for transition in parse_entry(entry):
            if transition.kind is TransitionKind.ENDED:
                self.has_ended = True
            if transition.index != self._index:
                continue
            if transition.kind is TransitionKind.RUNNING:
                self._current = transition.attempt
                yield from self._release()
            elif self._is_meant(transition.attempt):
                yield from self._inline(transition)
            if transition.kind.value in FINAL_TASK_STATUSES:
                self.has_ended = True

    def _inline(self, transition: Transition) -> Iterator[LogPiece]:
        if transition.kind in _WITH_OUTPUT:
            for name, value in split_record(transition.detail)[1].items() if transition.detail else ():
                if name in STREAMS:
                    yield self._piece(transition.attempt, name, decode_inline(value))
            self.has_ended = self.has_ended or transition.attempt == self._last

    def _piece(self, attempt: int, stream: str, data: bytes) -> LogPiece:
        offset = self.read_bytes(attempt, stream)
        self._read[attempt, stream] = offset + len(data)
        return LogPiece(attempt, stream, offset, data)
