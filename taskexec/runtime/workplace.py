"""Where attempts work: the environment they get, their folders, and the runner that starts their processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


from taskexec.agents import Assignment, Exit
from taskexec.completion.evidence import AttemptEvidence
from taskexec.domain.command import Command
from taskexec.domain.states import Reason
from taskexec.domain.task import JSON
from taskexec.runtime.process import Limits, Watched, spawn
from taskexec.runtime.warm import WarmHelper

__all__ = ["AttemptRunner", "Workplace"]


class Workplace:
    """What all attempts of one executing process share: base environment, scratch folder, warm helpers."""

    def __init__(self, worker: str, scratch: Path, *, grace_s: float) -> None:
        self.grace_s = grace_s
        self.scratch = Path(tempfile.mkdtemp(prefix="slot-", dir=scratch))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TEK_")}
        # the sweep after a killed worker or pool child finds what they left by these two
        self.environ = kept | {"TEK_WORKER": worker, "TEK_SLOT": str(os.getpid())}
        self._helpers: dict[tuple[str, ...], WarmHelper] = {}

    def helper(self, argv: Sequence[str]) -> WarmHelper:
        """Return the warm helper for a program, started if there is none alive."""
        key = tuple(argv)
        helper = self._helpers.get(key)
        if helper is None or not helper.is_alive:
            helper = self._helpers[key] = WarmHelper(argv, self.environ)
        return helper

    def close(self) -> None:
        """End the helpers and remove the scratch folder."""
        for helper in self._helpers.values():
            helper.end()
        shutil.rmtree(self.scratch, ignore_errors=True)


class AttemptRunner:
    """`ProcessRunner` for one attempt; see the protocol in `agents.base` for what processes get."""

    def __init__(
        self, place: Workplace, assignment: Assignment, evidence: AttemptEvidence, *, timeout_s: float | None
    ) -> None:
        self._place = place
        self._evidence = evidence
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._limits = Limits(deadline, place.grace_s)
        self._current: Watched | None = None
        self._aborted: Reason | None = None
        stem = f"{assignment.run_id}.{os.urandom(4).hex()}.{assignment.attempt}"
        self._output = place.scratch / f"{stem}.out"
        self._result = place.scratch / f"{stem}.result.json"
        self._inputs = place.scratch / f"{stem}.inputs.json"
        self._variables = {
            "TEK_RUN": assignment.run_id,
            "TEK_TASK": assignment.task_id,
            "TEK_ATTEMPT": str(assignment.attempt),
            "TEK_OUTPUT": str(self._output),
            "TEK_RESULT": str(self._result),
            "TEK_INPUTS": str(self._inputs) if assignment.inputs else "",
        }
        self._to_write: Mapping[str, JSON] | None = assignment.inputs or None
        self._used = False

    def run(self, command: Command) -> Exit:
        """Run one process to its end; see `ProcessRunner.run`."""
        self._prepare()
        if self._aborted is not None:
            return Exit(None, None, 0.0, ended_by=self._aborted)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        cwd = None if command.cwd in (None, ".", "") else command.cwd
        try:
            environ = {**self._place.environ, **self._variables}
            pid = spawn(command.argv, environ, output=(out_write, err_write), cwd=cwd)
        except BaseException:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
        os.set_blocking(out_read, False)
        os.set_blocking(err_read, False)
        watched = Watched(pid, out_read, err_read, sink=self._evidence, limits=self._limits)
        self._set_current(watched)
        try:
            exit_ = watched.wait()
            assert exit_ is not None
            return exit_
        finally:
            self._set_current(None)
            watched.close()
            os.close(out_read)
            os.close(err_read)

    def ask(self, argv: Sequence[str], request: Mapping[str, JSON]) -> Exit:
        """Ask a warm helper; see `ProcessRunner.ask`."""
        self._prepare()
        if self._aborted is not None:
            return Exit(None, None, 0.0, ended_by=self._aborted)
        helper = self._place.helper(argv)
        return helper.ask(
            {**request, "environ": self._variables},
            sink=self._evidence,
            limits=self._limits,
            on_watched=self._set_current,
        )

    def written_result(self) -> JSON:
        """Return what the processes left as a result; see `ProcessRunner.written_result`."""
        try:
            text = self._result.read_text()
        except FileNotFoundError:
            output = self._evidence.text_of("stdout.log")
            return output.rstrip("\n") or None if output else None
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"what was written to TEK_RESULT is not JSON: {error}") from error

    def abort(self, reason: Reason) -> None:
        """End what runs and start nothing more; from any thread."""
        self._aborted = reason
        current = self._current
        if current is not None:
            current.abort(reason)

    def _set_current(self, watched: Watched | None) -> None:
        self._current = watched
        if watched is not None and self._aborted is not None:
            watched.abort(self._aborted)

    def _prepare(self) -> None:
        """Make the attempt's folder and inputs, once, and only for attempts that start a process."""
        if self._used:
            return
        self._used = True
        self._output.mkdir()
        if self._to_write is not None:
            self._inputs.write_text(json.dumps(self._to_write))

    def collect(self) -> None:
        """Take the files that the processes left as evidence, and remove the attempt's folder.

        Raises:
            OSError: A file cannot be read; the folder is removed all the same.
        """
        if not self._used:
            return
        try:
            self._output.rmdir()
        except OSError:
            try:
                self._evidence.add_folder(self._output)
            finally:
                shutil.rmtree(self._output, ignore_errors=True)
        for path in (self._result, self._inputs if self._to_write is not None else None):
            if path is not None:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
