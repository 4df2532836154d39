"""Where attempts work: the environment they get, their folders, and the runner that starts their processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import orjson

from taskexec.agents import Assignment, Exit
from taskexec.completion.evidence import AttemptEvidence
from taskexec.domain.command import Command
from taskexec.domain.gang import Layout
from taskexec.domain.secrets import Redactor, is_secret_variable
from taskexec.domain.states import Reason
from taskexec.domain.task import JSON
from taskexec.domain.usage import Usage
from taskexec.observability.tracing import TracePolicy, Tracer
from taskexec.runtime.confinement import Confinement, Confiner, forget_peak, usage_of
from taskexec.runtime.limits import GPU_VARIABLE, NO_ALLOWANCE, Allowance
from taskexec.runtime.memory import OutOfMemoryKills
from taskexec.runtime.process import Enclosure, Limits, Watched, spawn
from taskexec.runtime.warm import WarmHelper

__all__ = ["AttemptRunner", "Workplace", "WorkplaceFailed"]


_NO_INPUTS = b"{}"
_LAST_SPANS_S = 1.0
"""So long the end of a process waits for its last spans to be sent."""
_KILLED_UNDER_SHELL = 128 + signal.SIGKILL
"""Exit status of a shell whose command was killed."""


class Workplace:
    """What all attempts of one executing process share: base environment, scratch folder, warm helpers."""

    def __init__(
        self,
        worker: str,
        scratch: Path,
        *,
        grace_s: float,
        confiner: Confiner | None = None,
        trace: TracePolicy | None = None,
    ) -> None:
        self.confiner = confiner or Confiner(worker)
        self.grace_s = grace_s
        self.scratch = Path(tempfile.mkdtemp(prefix="slot-", dir=scratch))
        self.trace = trace
        """Which runs are traced, and where to; None for none."""
        self.tracer = None if trace is None else Tracer(trace, "taskexec-worker", **{"taskexec.worker": worker})
        self.redactor = Redactor.of(os.environ)
        """Keeps secrets out of what attempts leave."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("TEK_") or is_secret_variable(name)
        }
        # the sweep after a killed worker or pool child finds what they left by these two
        self._marks = {"TEK_WORKER": worker, "TEK_SLOT": str(os.getpid())}
        if self.confiner.gpus:  # they are for those who were given some
            self._marks[GPU_VARIABLE] = ""
        self.environ = kept | self._marks
        self.memory = OutOfMemoryKills()
        self._helpers: dict[tuple[str, ...], WarmHelper] = {}
        self._confinements: dict[tuple[str, ...], Confinement] = {}
        self._spare: str | None = None
        self._stems = itertools.count(1)

    def environ_with(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the base environment with a command's own variables, whatever their names."""
        return {**self.environ, **variables, **self._marks}

    def helper(self, argv: Sequence[str]) -> WarmHelper:
        """Return the warm helper for a program, started if there is none alive."""
        key = tuple(argv)
        helper = self._helpers.get(key)
        if helper is None or not helper.is_alive:
            helper = self._helpers[key] = WarmHelper(argv, self.environ, enclosure=self._helper_enclosure(key))
        return helper

    def _helper_enclosure(self, key: tuple[str, ...]) -> Enclosure | None:
        """Return what a helper is put into that performs for all who were given nothing in particular."""
        former = self._confinements.pop(key, None)
        if former is not None:
            former.close()
        if not self.confiner.policy.is_general:
            return None
        confinement = self._confinements[key] = self.confiner.confine(NO_ALLOWANCE)
        return confinement.enclosure

    def new_stem(self) -> str:
        """Return the beginning of the paths of a new attempt's files."""
        return f"{self.scratch}/{next(self._stems)}"

    def take_folder(self, path: str) -> None:
        """Make an empty folder; one that stayed empty before is renamed, which takes a tenth of making it.

        A process that has escaped an earlier attempt still holds the old path, and finds nothing there.
        """
        spare, self._spare = self._spare, None
        if spare is not None and _is_folder(spare):
            os.rename(spare, path)
        else:
            os.mkdir(path)

    def helper_folder(self) -> str:
        """Return the empty folder of attempts that ask a helper: one process performs them all, so one path will do."""
        path = f"{self.scratch}/helper.out"
        if not _is_folder(path):
            os.mkdir(path)
        return path

    def give_folder_back(self, path: str) -> bool:
        """Keep a folder for the next attempt if it is empty; return whether it was, or is no more.

        Processes may have put a link or a file in its place: that is unlinked, and what a link leads to left alone.
        """
        if not _is_folder(path):
            return True
        with os.scandir(path) as entries:
            if next(entries, None) is not None:
                return False
        if not path.endswith("helper.out"):
            self._spare = path
        return True

    def no_inputs(self) -> str:
        """Return the path of the inputs of attempts whose dependencies left no results; all share it."""
        path = f"{self.scratch}/no-inputs.json"
        try:
            with open(path, "rb") as file:
                is_whole = file.read(len(_NO_INPUTS) + 1) == _NO_INPUTS
        except OSError:
            is_whole = False
        if not is_whole:  # not yet written, or a task has written to it
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with open(path, "xb") as file:
                file.write(_NO_INPUTS)
        return path

    def close(self) -> None:
        """End the helpers and remove the scratch folder."""
        for helper in self._helpers.values():
            helper.end()
        for confinement in self._confinements.values():
            confinement.close()
        self.memory.close()
        if self.tracer is not None:
            self.tracer.close(wait_s=_LAST_SPANS_S)
        shutil.rmtree(self.scratch, ignore_errors=True)


def _is_folder(path: str) -> bool:
    """Return whether a folder is still there, and no link; anything else in its place is unlinked."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return True
        os.unlink(path)
    except FileNotFoundError:
        pass
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` has no place in JSON")


class WorkplaceFailed(Exception):
    """Tells that a worker could not make the files that an attempt needs; no failure of its command."""


@contextlib.contextmanager
def _own_files() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkplaceFailed(f"the worker cannot write its files: {error.strerror or error}") from error


class AttemptRunner:
    """`ProcessRunner` for one attempt; see the protocol in `agents.base` for what processes get."""

    def __init__(
        self,
        place: Workplace,
        assignment: Assignment,
        evidence: AttemptEvidence,
        *,
        timeout_s: float | None,
        memory_mib: int = 0,
        allowance: Allowance = NO_ALLOWANCE,
        parent: str | None = None,
    ) -> None:
        """Start processes for an assignment; `parent` is their `TRACEPARENT`, None for none."""
        self._parent = parent
        self._place = place
        self._evidence = evidence
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._limits = Limits(deadline, place.grace_s)
        self._current: Watched | None = None
        self._aborted: Reason | None = None
        self._assignment = assignment
        self._memory_mib = memory_mib
        self._allowance = allowance
        self._confinement: Confinement | None = None
        self.usage: Usage | None = None
        """What its processes have used; None when it has started none."""
        stem = place.new_stem()
        self._output = f"{stem}.out"
        self._result = f"{stem}.result.json"
        self._inputs = f"{stem}.inputs.json"
        self._hostfile = f"{stem}.hosts"
        self._layout: Layout | None = None
        self._rank = 0
        self._timeout_s = timeout_s
        self._has_folder = False
        self._files: list[str] = []

    def _variables(self) -> dict[str, str]:
        variables = {
            "TEK_RUN": self._assignment.run_id,
            "TEK_TASK": self._assignment.task_id,
            "TEK_ATTEMPT": str(self._assignment.attempt),
            "TEK_OUTPUT": self._output,
        }
        if self._parent is not None:
            variables["TRACEPARENT"] = self._parent
        if self._layout is not None:
            variables |= {**self._layout.variables(self._rank), "TEK_HOSTFILE": self._hostfile}
        return variables | {"TEK_MEMORY_MIB": str(self._memory_mib)} if self._memory_mib else variables

    def place_in(self, layout: Layout, rank: int) -> None:
        """Make it a rank of a distributed attempt, which begins now: so does the time of its own.

        Raises:
            WorkplaceFailed: The list of hosts cannot be written.
        """
        self._layout, self._rank = layout, rank
        with _own_files(), open(self._hostfile, "w", encoding="utf-8") as file:
            file.write(layout.hostfile())
        self._files.append(self._hostfile)
        if self._limits.deadline is not None and self._timeout_s is not None:
            self._limits = replace(self._limits, deadline=time.monotonic() + self._timeout_s)

    def run(self, command: Command) -> Exit:
        """Run one process to its end; see `ProcessRunner.run`."""
        with _own_files():
            self._make_folder()
            if self._aborted is not None:
                return Exit(None, None, 0.0, ended_by=self._aborted)
            inputs = self._write_inputs()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        cwd = None if command.cwd in (None, ".", "") else command.cwd
        try:
            files = {"TEK_INPUTS": inputs, "TEK_RESULT": self._result}
            self._files.append(self._result)
            environ = {**self._place.environ_with(command.env), **self._variables(), **files}
            if self._allowance is not NO_ALLOWANCE:
                environ |= self._allowance.variables(environ)
            confinement = self._confine() if self._place.confiner.is_needed(self._allowance) else None
            enclosure = None if confinement is None else confinement.enclosure
            self._place.memory.look()
            begun_kib = forget_peak()
            pid = spawn(command.argv, environ, output=(out_write, err_write), cwd=cwd, enclosure=enclosure)
            if confinement is not None:
                confinement.started(pid)
        except BaseException:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
        os.set_blocking(out_read, False)
        os.set_blocking(err_read, False)
        watched = Watched(pid, out_read, err_read)
        self._set_current(watched)
        try:
            exit_ = watched.wait(self._evidence, self._limits, guard=confinement)
            assert exit_ is not None
            assert watched.used is not None
            self._count(usage_of(watched.used, begun_kib))
            return self._explained(exit_)
        except BaseException:
            watched.kill()  # it must not run beside its next attempt
            raise
        finally:
            self._set_current(None)
            watched.close()
            os.close(out_read)
            os.close(err_read)

    def ask(self, argv: Sequence[str], request: Mapping[str, JSON]) -> Exit:
        """Ask a warm helper; see `ProcessRunner.ask`."""
        with _own_files():
            self._output = self._place.helper_folder()
        self._has_folder = True
        if self._aborted is not None:
            return Exit(None, None, 0.0, ended_by=self._aborted)
        # a helper keeps what an earlier attempt was told
        told = {**request, "environ": {"TEK_MEMORY_MIB": "", **self._variables()}}
        if self._place.confiner.is_particular(self._allowance):
            return self._ask_alone(argv, told)
        helper = self._place.helper(argv)
        self._place.memory.look(old_s=1.0)
        exit_ = helper.ask(told, sink=self._evidence, limits=self._limits, on_watched=self._set_current)
        self._count(Usage(helper.take_cpu_s()))
        return self._explained(exit_)

    def _ask_alone(self, argv: Sequence[str], request: Mapping[str, JSON]) -> Exit:
        """Ask a helper that is started for this attempt and ends with it: what a warm one holds cannot be limited."""
        confinement = self._confine()
        environ = {**self._place.environ, **self._allowance.variables(self._place.environ)}
        self._place.memory.look()
        begun_kib = forget_peak()
        helper = WarmHelper(argv, environ, enclosure=confinement.enclosure)
        try:
            confinement.started(helper.pid)
            exit_ = helper.ask(
                request, sink=self._evidence, limits=self._limits, on_watched=self._set_current, guard=confinement
            )
        finally:
            helper.end()
        if helper.used is not None:
            self._count(usage_of(helper.used, begun_kib))
        return self._explained(exit_)

    def _confine(self) -> Confinement:
        """Return what the attempt is confined in, made for its first process."""
        if self._confinement is None:
            try:
                self._confinement = self._place.confiner.confine(self._allowance)
            except OSError as error:
                what = f"no control group could be made: {error.strerror or error}"
                raise WorkplaceFailed(what) from error
        return self._confinement

    def _count(self, usage: Usage) -> None:
        self.usage = usage if self.usage is None else self.usage.plus(usage)

    def _explained(self, exit_: Exit) -> Exit:
        """Return how a process ended, with the reason if it, or what it had started, was killed for memory."""
        confinement, is_ours = self._confinement, exit_.ended_by in (None, Reason.OUT_OF_MEMORY)
        if is_ours and confinement is not None and confinement.is_out_of_memory():
            text = confinement.out_of_memory_text(self.usage or Usage())
            return replace(exit_, ended_by=Reason.OUT_OF_MEMORY, detail=text, reply=None)
        is_killed = exit_.signal == signal.SIGKILL or exit_.status == _KILLED_UNDER_SHELL
        if exit_.ended_by is None and is_killed and self._place.memory.has_risen():
            return replace(exit_, ended_by=Reason.OUT_OF_MEMORY)
        return exit_

    def written_result(self) -> JSON:
        """Return what the processes left as a result; see `ProcessRunner.written_result`."""
        try:
            text = Path(self._result).read_text(encoding="utf-8")
        except FileNotFoundError:
            output = self._evidence.text_of("stdout.log")
            return output.rstrip("\n") or None if output else None
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise ValueError(f"what was written to TEK_RESULT is not JSON: {error}") from error

    @property
    def has_processes(self) -> bool:
        """Whether the attempt has started a process or asked a helper."""
        return self._has_folder

    @property
    def is_aborted(self) -> bool:
        """Whether it was told to end and to start nothing more."""
        return self._aborted is not None

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

    def _make_folder(self) -> None:
        """Make the attempt's folder, once, and only for attempts that start a process."""
        if not self._has_folder:
            self._place.take_folder(self._output)
            self._has_folder = True

    def _write_inputs(self) -> str:
        """Write the results of the dependencies, once; return the path of the file."""
        inputs = {task_id: value for task_id, value in self._assignment.inputs.items() if value is not None}
        if not inputs:
            return self._place.no_inputs()
        if self._inputs not in self._files:
            with open(self._inputs, "wb") as file:
                file.write(orjson.dumps(inputs))
            self._files.append(self._inputs)
        return self._inputs

    def collect(self) -> None:
        """End what the processes left behind in their confinement, take their files as evidence, remove the folder.

        Raises:
            OSError: A file cannot be read; the folder is removed all the same.
        """
        if self._confinement is not None:
            self.usage = self._confinement.usage(self.usage or Usage())
            self._confinement.close()
            self._confinement = None
        for path in self._files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if not self._has_folder:
            return
        if self._place.give_folder_back(self._output):
            return
        try:
            self._evidence.add_folder(Path(self._output))
        finally:
            shutil.rmtree(self._output, ignore_errors=True)
