"""Collecting: a run's log and evidence are followed and brought home into its folder."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskexec.completion.home import RunFolder
from taskexec.domain.events import LogEntry
from taskexec.errors import EvidenceUnwritable
from taskexec.observability import RunView
from taskexec.store.runs import RedisRunStore

__all__ = ["Collector"]

_PAUSE_S = 0.01
"""After a read that found something: the next one then finds more, and the workers lose less time to us."""
_BACKLOG = 2000
"""Log entries that may wait to be written home while the run is busy; afterwards each round writes some."""


class Collector:
    """Follows one run; its view is always current, its folder follows when there is time.

    Writing files competes with the workers of a small machine, so entries are written home in pauses of the log,
    at the latest at the end. Whatever is not yet written is still in Redis: collecting again completes it.
    """

    def __init__(self, run_id: str, store: RedisRunStore, runs_dir: Path) -> None:
        """Begin at the first entry of a run's log.

        Raises:
            NotFound: No such run.
            ConnectionLost: The server did not answer.
            EvidenceUnwritable: The folder cannot be made.
        """
        self._store = store
        self.run_id = run_id
        plan, canvas = store.documents(run_id)
        self._path = runs_dir / run_id
        with self._writing():
            self.folder = RunFolder(self._path, zlib.decompress(plan), zlib.decompress(canvas))
        self.view = RunView(len(self.folder.account.tasks))
        self._backlog: deque[LogEntry] = deque()
        self._read_to = "0"
        self._output_to = "0"
        self.is_up_to_date = False
        """Whether the last step found nothing new."""

    def step(self, *, wait_s: float) -> bool:
        """Read what is new, waiting up to `wait_s` for it; return whether the run has ended and all is read.

        Raises:
            ConnectionLost: The server did not answer; call again to go on where this stopped.
            EvidenceUnwritable: The folder cannot be written; what the server holds is unharmed.
        """
        wait_s = 0.0 if self.view.is_final else wait_s
        entries = self._store.read_log(self.run_id, self._read_to, wait_s=wait_s)
        self.is_up_to_date = not entries
        if entries:
            self._read_to = entries[-1].id
            self.view.apply(entries)
            self._backlog.extend(entries)
        if not entries or len(self._backlog) > _BACKLOG:
            self._write(limit=max(100, len(entries)))
        elif not self.view.is_final and wait_s:
            time.sleep(_PAUSE_S)
        return self.view.is_final and not entries

    def finish(self) -> dict[str, Any]:
        """Write home what is left, and the summary; return it.

        Raises:
            ConnectionLost: The server did not answer; call again to go on.
            EvidenceUnwritable: The folder cannot be written; what the server holds is unharmed.
        """
        while self._backlog:
            self._write(limit=500)
        self._write(limit=0)
        head = self._store.head(self.run_id)
        with self._writing():
            return self.folder.write_summary(head)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EvidenceUnwritable(
                f"the evidence of run `{self.run_id}` cannot be written to {self._path}: {error.strerror or error}",
                hint=f"make room or give another folder with --runs-dir; `tek collect {self.run_id}` brings home what "
                "a cluster still holds",
            ) from error

    def _write(self, limit: int) -> None:
        batch = [self._backlog.popleft() for _ in range(min(limit, len(self._backlog)))]
        # chunks of an attempt were appended before its end was logged: read them before the end is written
        while chunks := self._store.read_output(self.run_id, self._output_to):
            with self._writing():
                for id_, fields in chunks:
                    self.folder.take_output(fields)
                    self._output_to = id_
        with self._writing():
            for entry in batch:
                self.folder.take(entry)
            self.folder.flush()

    def close(self) -> None:
        """Close the folder's files."""
        self.folder.close()
