"""Submitting runs to a server, again when the answer or the whole server was lost, and having tasks run again."""

from __future__ import annotations

import contextlib
import getpass
import platform
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import orjson

from taskexec.domain.names import is_run_id
from taskexec.domain.program import RunOptions
from taskexec.errors import ConnectionLost, EvidenceUnwritable, NotFound, Refused, TekError
from taskexec.plan import Plan, build_plan
from taskexec.sources import ReadOptions, read_plan
from taskexec.store.runs import RedisRunStore
from taskexec.submission.journal import Here, Journal
from taskexec.submission.reuse import Takeover
from taskexec.submission.standing import FormerLife
from taskexec.submission.submit import Before, Submission, new_run_id, prepare

if TYPE_CHECKING:
    from taskexec.completion.keys import Identity

__all__ = ["Submitter", "user_name"]

_PATIENCE_S = 30.0
"""So long a submission is repeated when the server does not answer; it is the same run each time."""
_PAUSE_S = 0.2

T = TypeVar("T")


class Submitter:
    """Submits runs in the name of one person to one server, and keeps a journal of each in its folder at home."""

    def __init__(self, store: RedisRunStore, runs_dir: Path, identity: Callable[[], Identity]) -> None:
        """Submit to a store.

        Args:
            store: The server's.
            runs_dir: Where folders of runs are.
            identity: Gives who signs; asked when something is signed.
        """
        self._store = store
        self._runs_dir = runs_dir
        self._identity = identity

    def submit(
        self,
        plan: Plan,
        options: RunOptions,
        *,
        key: str | None = None,
        here: Here | None = None,
        takeover: Takeover | None = None,
    ) -> Submission:
        """Submit a plan: journal first, then the program, then the start.

        With a `key` the same plan is the same run, however often it is submitted: a repeated call completes what an
        earlier one may have left half done, and changes nothing else. A submission that fails before anything was put
        leaves its key free.

        Args:
            plan: The plan, admitted.
            options: How it is carried out.
            key: What the caller calls this submission; None for one that is new in any case.
            here: How the submitter carries the run out itself; None leaves it to a cluster.
            takeover: What is taken over from another run; None for nothing.

        Raises:
            Refused: The key stands for another plan.
            EvidenceUnwritable: The run's folder cannot be made; nothing was submitted.
            ConnectionLost: The server did not answer for half a minute; with a key it may be submitted again.
        """
        new = new_run_id()
        run_id = new if key is None else self._claim(key, new, plan.digest, options.retention_s)
        try:
            submission, is_known = self._prepare(plan, options, run_id, key=key, here=here, takeover=takeover)
        except (TekError, OSError):  # nothing was put
            if key is not None and run_id == new:
                with contextlib.suppress(ConnectionLost):
                    self._store.release_key(key, run_id, plan.digest)
            raise
        if not is_known:
            _until_answered(lambda: self._store.put(submission.program))
        _until_answered(lambda: self._store.start(run_id))
        return submission

    def _prepare(
        self,
        plan: Plan,
        options: RunOptions,
        run_id: str,
        *,
        key: str | None,
        here: Here | None,
        takeover: Takeover | None,
    ) -> tuple[Submission, bool]:
        """Compile and journal a run that is to be put; return it, and whether the server knows it already."""
        standing = takeover.standing() if takeover is not None else {}
        before = Before(standing)
        with contextlib.suppress(NotFound):  # the same submission may have been journaled here before
            earlier = Journal.read(self._runs_dir / run_id)
            before = Before(standing, earlier.plan_json, earlier.canvas_json)
        submission = prepare(plan, options, run_id=run_id, identity=self._identity(), before=before)
        is_known = key is not None and self._is_known(run_id)
        if not is_known:
            taken = {index: stands.reused for index, stands in standing.items()}
            journal = Journal(submission.plan_json, submission.canvas_json, options, here, taken)
            self._journal(run_id, journal, takeover)
        return submission, is_known

    def _is_known(self, run_id: str) -> bool:
        """Return whether the server has the program of a run: then its journal is with whoever submitted it first."""
        try:
            _until_answered(lambda: self._store.head(run_id))
        except NotFound:
            return False
        return True

    def _claim(self, key: str, run_id: str, digest: str, lifetime_s: int) -> str:
        """Return the run that a key stands for: this one, if nobody has used the key before.

        Raises:
            Refused: The key stands for another plan.
        """
        known, known_digest = _until_answered(lambda: self._store.claim_key(key, run_id, digest, lifetime_s))
        if known_digest != digest or not is_run_id(known):
            raise Refused(
                f"the key of this submission stands for run `{known}`, whose plan is another one",
                hint="give a changed plan another key",
            )
        return known

    def _journal(self, run_id: str, journal: Journal, takeover: Takeover | None) -> None:
        folder = self._runs_dir / run_id
        try:
            journal.write(folder)
            if takeover is not None:
                takeover.bring_over(folder)
        except OSError as error:
            raise EvidenceUnwritable(
                f"the folder of the run cannot be written: `{folder}`: {error.strerror or error}",
                hint="make room or give another folder with --runs-dir; nothing was submitted",
            ) from error

    def run_again(self, run_id: str, tasks: Collection[int], *, why: str) -> list[int]:
        """Have tasks of a run that the server knows run again, by position, and all that depends on them; return all.

        Raises:
            NotFound, TasksBusy, TasksBlocked: As `RunStore.retry`.
            ConnectionLost: The server did not answer for half a minute.
        """
        by, request = by_whom(why), secrets.token_hex(8)
        found = _until_answered(lambda: self._store.retry(run_id, sorted(tasks), by=by, request=request))
        _until_answered(lambda: self._store.start(run_id))  # its submitter may have died before it did
        return found

    def take_up(self, run_id: str, *, again: Collection[int] = (), why: str = "") -> list[int]:
        """Begin a further life of a run that the server does not know, from its folder at home.

        What has ended, with its evidence at home, stands; the rest runs.

        Args:
            run_id: The run.
            again: Tasks that are to run again, by position, with all that depends on them.
            why: Why, for the ledger.

        Returns:
            The tasks that run again.

        Raises:
            NotFound: The folder has no journal.
            TasksBlocked: A task to run again depends on one that has failed and is not among them.
            ConnectionLost: The server did not answer for half a minute.
        """
        folder = self._runs_dir / run_id
        journal = Journal.read(folder)
        plan = stored_plan(folder)
        former = FormerLife(folder, orjson.loads(journal.plan_json), taken=journal.taken)
        before = Before(former.standing(), journal.plan_json, journal.canvas_json, former.ledger_head)
        options = _lifted(journal.options) if again else journal.options
        submission = prepare(plan, options, run_id=run_id, identity=self._identity(), before=before)
        _until_answered(lambda: self._store.put(submission.program))
        return self.run_again(run_id, {*again, *former.without_evidence()}, why=why)


def _lifted(options: RunOptions) -> RunOptions:
    """Return options without a deadline that has passed: somebody wants the run to go on all the same."""
    has_passed = options.deadline_at is not None and options.deadline_at <= time.time()
    return replace(options, deadline_at=None) if has_passed else options


def stored_plan(folder: Path) -> Plan:
    """Return the plan of a run from its folder.

    Raises:
        NotFound: It is not there, or was changed.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise NotFound(f"{folder} holds no run", hint="`tek runs` lists the runs")
    plan = build_plan(read_plan(path, ReadOptions(kind="plan", allow_outside=True)))
    told = orjson.loads(path.read_bytes())
    if plan.digest != told.get("digest"):
        raise NotFound(f"{path} was changed: its plan has another digest than it says", hint="`tek verify` says more")
    return replace(plan, source=str(told.get("source") or plan.source))  # what it is called, not where it is kept


def user_name() -> str:
    """Return the name of the user; empty when there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def by_whom(why: str) -> bytes:
    """Return who has tasks run again, and why, as the ledger says it."""
    return orjson.dumps({"user": user_name(), "host": platform.node(), "why": why})


def _until_answered(call: Callable[[], T]) -> T:
    """Call until the server answers, for half a minute; `call` must be one that may be repeated."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except ConnectionLost:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
