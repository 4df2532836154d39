"""Collecting: a run's log and evidence are followed and brought home into its folder."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from taskexec.completion.home import RunFolder
from taskexec.completion.spool import Spool
from taskexec.domain.events import LogEntry
from taskexec.domain.names import is_run_id
from taskexec.domain.proof import is_head_of
from taskexec.errors import EvidenceForeign, EvidenceUnwritable, NotFound
from taskexec.observability import RunView
from taskexec.observability.timeline import RunTimeline
from taskexec.store.runs import RedisRunStore
from taskexec.submission.fetch import FileFetcher

__all__ = ["Collector", "RunListener"]

_PAUSE_S = 0.01
"""After a read that found something: the next one then finds more, and the workers lose less time to us."""
_BACKLOG = 2000
"""Log entries that may wait to be written home while the run is busy; afterwards each round writes some."""
_BACKLOG_CHARACTERS = 32 * 1024 * 1024
"""The same for what stands in them."""
_LOOK_S = 1.0
"""So often the server is asked for a run of which nothing is heard: it may have come back empty."""
_FETCH_S = 0.2
"""So long files are fetched at a time while the run goes on."""


class RunListener(Protocol):
    """Hears what happens in a run that is brought home; must neither wait nor raise."""

    def hear(self, entries: Sequence[LogEntry]) -> None:
        """Take what is new in the log, in its order, after the view has; called several times a second, also with
        nothing."""

    def close(self, patience_s: float | None) -> None:
        """Hear no more; wait so long for what is under way (None: as the settings say), though no longer than it
        takes."""


class Collector:
    """Follows one run; its view is always current, its folder follows when there is time.

    Writing files competes with the workers of a small machine, so entries are written home in pauses of the log,
    at the latest at the end. Whatever is not yet written is still in Redis, or with a worker: collecting again
    completes it.
    """

    def __init__(self, run_id: str, store: RedisRunStore, runs_dir: Path, *, spool: Spool | None = None) -> None:
        """Take up a run's folder where it was left, or begin it.

        Args:
            run_id: The run.
            store: Its server.
            runs_dir: Where folders of runs are.
            spool: The spool of this machine, whose files need no worker to come home.

        Raises:
            NotFound: No such run.
            ConnectionLost: The server did not answer.
            EvidenceForeign: The server holds another plan than the folder, or than was signed; nothing was written.
            EvidenceUnwritable: The folder cannot be made, or somebody else writes it.
        """
        self._store = store
        self.run_id = run_id
        self._path = runs_dir / run_id
        plan, canvas = self._documents()
        first = store.first_entry(run_id)
        with self._writing():
            self.folder = RunFolder(self._path, plan, canvas)
        self.view = RunView(len(self.folder.account.tasks))
        for transition in self.folder.former:
            self.view.take(transition)
        if self.folder.life != first:  # the server came back empty, and the run was taken up again
            with self._writing():
                self.folder.begin_life()
            self.view.ended_us = None
        self._fetcher = FileFetcher(run_id, store.connection, self.folder, spool)
        self._backlog: deque[LogEntry] = deque()
        self._waiting = 0
        self._read_to = self.folder.log_to
        self._looked = time.monotonic()
        self.is_up_to_date = False
        """Whether the last step found nothing new."""
        self.listeners: list[RunListener] = []
        """Who hears of what comes from now on."""

    def _documents(self) -> tuple[bytes, bytes]:
        """Return plan and canvas; for a folder that lacks them they have to be those that the submitter signed."""
        if not is_run_id(self.run_id):
            raise NotFound(f"`{self.run_id}` is not the id of a run", hint="`tek runs` lists the runs")
        stored = self._store.documents(self.run_id)
        try:
            plan, canvas = map(zlib.decompress, stored)
        except zlib.error as error:
            raise self._foreign("what the server holds as its plan cannot be read") from error
        if not all((self._path / name).is_file() for name in ("plan.json", "canvas.json")):
            head = self._store.signed_head(self.run_id).head
            if head and not is_head_of(head, self.run_id, plan, canvas):
                raise self._foreign("the plan that the server holds is not the one that its submitter signed")
        return plan, canvas

    def _foreign(self, what: str) -> EvidenceForeign:
        return EvidenceForeign(
            f"run `{self.run_id}`: {what}; nothing was written to {self._path}",
            hint="somebody has changed the run on the server, or given its id to another one",
        )

    def tell_former(self, timeline: RunTimeline) -> None:
        """Have a timeline that nothing has happened in take in what had happened before this was made."""
        for transition in self.folder.former:
            timeline.take(transition)

    def step(self, *, wait_s: float) -> bool:
        """Read what is new, waiting up to `wait_s` for it; return whether the run has ended and all is read.

        Raises:
            NotFound: The server does not know the run any more; once it was taken up again, `begin_again` goes on.
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
            self._waiting += sum(len(entry.lines) for entry in entries)
        else:
            self._look_for_the_run()
        for listener in self.listeners:
            listener.hear(entries)
        if not entries or len(self._backlog) > _BACKLOG or self._waiting > _BACKLOG_CHARACTERS:
            self._write(limit=max(100, len(entries)))
            if not entries and not self._backlog:
                self._fetch(wait_s=min(wait_s, _FETCH_S))
        elif not self.view.is_final and wait_s:
            time.sleep(_PAUSE_S)
        return self.view.is_final and not entries

    def _look_for_the_run(self) -> None:
        """Find out, now and then while nothing happens, whether the server still knows the run."""
        now = time.monotonic()
        if self.view.is_final or now - self._looked < _LOOK_S:
            return
        self._looked = now
        try:
            self._store.head(self.run_id)
        except NotFound:
            while self._backlog:  # a further life begins with what is at home
                self._write(limit=500)
            raise

    def begin_again(self) -> None:
        """Go on with the log of a run that was taken up again on a server that had lost it.

        Raises:
            EvidenceUnwritable: The folder cannot be written; what the server holds is unharmed.
        """
        with self._writing():
            self.folder.begin_life()
        self._read_to = self.folder.log_to

    def finish(self) -> dict[str, Any]:
        """Write home what is left, and the summary; return it.

        Raises:
            ConnectionLost: The server did not answer; call again to go on.
            EvidenceUnwritable: The folder cannot be written; what the server holds is unharmed.
        """
        while self._backlog:
            self._write(limit=500)
        self._write(limit=0)
        self._fetcher.look_again()
        self._fetch(wait_s=None)
        head = self._store.head(self.run_id)
        with self._writing():
            return self.folder.write_summary(head)

    def _fetch(self, wait_s: float | None) -> None:
        """Fetch files that stayed with workers: for so long, or all that can be reached (None)."""
        if not self.folder.pending:
            return
        until = None if wait_s is None else time.monotonic() + wait_s
        with self._writing():
            try:
                self._fetcher.go_on(lambda: until is not None and time.monotonic() >= until)
            finally:
                self.folder.flush()

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
        self._waiting -= sum(len(entry.lines) for entry in batch)
        # chunks of an attempt were appended before its end was logged: read them before the end is written
        while chunks := self._store.read_output(self.run_id, self.folder.output_to):
            with self._writing():
                for id_, fields in chunks:
                    self.folder.take_output(fields, id_)
        with self._writing():
            for entry in batch:
                self.folder.take(entry)
            self.folder.flush()
            if self.folder.pending:
                self._fetcher.take_near()
                self.folder.flush()

    def close(self, *, patience_s: float | None = None) -> None:
        """Close the folder's files; who listens may finish what is under way, for so long (None: as is set)."""
        self._fetcher.close()
        self.folder.close()
        for listener in self.listeners:
            listener.close(patience_s)
