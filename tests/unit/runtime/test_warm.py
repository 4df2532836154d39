"""Tests of warm helpers: one process for many calls, replaced when it dies or is ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskexec.agents import Assignment, Outcome
from taskexec.agents.python import PythonAgent
from taskexec.domain.states import Reason
from taskexec.runtime.workplace import AttemptRunner, Workplace

RunnerOf = Callable[..., AttemptRunner]

MODULE = """
import os, sys, time
calls = []
def count(): calls.append(1); return len(calls)
def pid(): return os.getpid()
def say(text): print(text); print(text, file=sys.stderr); return None
def leave(status): os._exit(status)
def hang(): time.sleep(60)
def stubborn():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
def late():
    import signal
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    while not told: time.sleep(0.01)
def move(): os.chdir(os.environ["TEK_OUTPUT"])
def where(): return os.getcwd()
def echo(value): return value
def leave_file():
    with open(os.path.join(os.environ["TEK_OUTPUT"], "f"), "w") as file: file.write("x")
def child():
    import subprocess
    return subprocess.Popen(["sleep", "60"]).pid
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "warm_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(runner: AttemptRunner, name: str, *args: Any) -> Outcome:
    assignment = Assignment(
        run_id="r",
        task_id="t",
        attempt=2,
        payload={"call": f"warm_module:{name}", "args": list(args)},
        inputs={},
    )
    return PythonAgent().perform(assignment, runner)


def test_helper_keeps_its_state_from_one_attempt_to_the_next(runner_of: RunnerOf) -> None:
    assert [call(runner_of(), "count").result for _ in range(3)] == [1, 2, 3]


def test_what_a_call_prints_belongs_to_its_attempt(runner_of: RunnerOf, kept: Any) -> None:
    call(runner_of(), "say", "one")
    first, kept.evidence = kept.content("stdout.log"), type(kept)().evidence

    call(runner_of_evidence(runner_of, kept), "say", "two")

    assert first == b"one\n"
    assert kept.content("stdout.log") == b"two\n"
    assert kept.content("stderr.log") == b"two\n"


def runner_of_evidence(runner_of: RunnerOf, kept: Any) -> AttemptRunner:
    runner = runner_of()
    runner._evidence = kept.evidence
    return runner


def test_large_arguments_and_answers_pass(runner_of: RunnerOf) -> None:
    text = "x" * 1_000_000

    assert call(runner_of(), "echo", text).result == text


def test_helper_that_dies_gives_no_answer_and_the_next_one_is_fresh(runner_of: RunnerOf) -> None:
    first = call(runner_of(), "pid").result

    outcome = call(runner_of(), "leave", 3)

    assert (outcome.succeeded, outcome.reason, outcome.exit_status) == (False, Reason.EXIT, 3)
    assert call(runner_of(), "pid").result != first


def test_helper_that_leaves_with_status_zero_has_failed_as_well(runner_of: RunnerOf) -> None:
    assert not call(runner_of(), "leave", 0).succeeded


def test_helper_that_died_between_two_attempts_harms_neither(runner_of: RunnerOf, ends: Callable[[int], bool]) -> None:
    first = call(runner_of(), "pid").result
    os.kill(first, signal.SIGKILL)
    assert ends(first)

    outcome = call(runner_of(), "pid")

    assert outcome.succeeded
    assert outcome.result != first


def test_time_limit_ends_the_call_and_its_helper(runner_of: RunnerOf, ends: Callable[[int], bool]) -> None:
    first = call(runner_of(), "pid").result

    outcome = call(runner_of(timeout_s=0.2), "hang")

    assert (outcome.reason, outcome.signal) == (Reason.TIMEOUT, 15)
    assert ends(first)
    assert call(runner_of(), "count").result == 1


def test_call_that_ignores_term_is_killed(runner_of: RunnerOf) -> None:
    call(runner_of(), "pid")

    outcome = call(runner_of(timeout_s=0.2, grace_s=0.1), "stubborn")

    assert (outcome.reason, outcome.signal) == (Reason.TIMEOUT, 9)


def test_call_that_changes_the_folder_does_not_move_the_next_one(runner_of: RunnerOf, project: Path) -> None:
    runner = runner_of()
    call(runner, "move")
    runner.collect()

    assert call(runner_of(), "where").result == str(project)


def test_files_of_a_call_become_evidence(runner_of: RunnerOf, kept: Any) -> None:
    runner = runner_of()
    call(runner, "leave_file")
    runner.collect()

    assert kept.content("files/f") == b"x"


def test_ended_workplace_leaves_no_helper_and_none_of_its_children(
    runner_of: RunnerOf, place: Workplace, ends: Callable[[int], bool]
) -> None:
    helper, child = call(runner_of(), "pid").result, call(runner_of(), "child").result

    place.close()

    assert ends(helper)
    assert ends(child)
    assert not place.scratch.exists()


def test_helpers_leave_no_descriptor_open(runner_of: RunnerOf, place: Workplace) -> None:
    before = len(os.listdir("/proc/self/fd"))

    call(runner_of(), "leave", 1)
    call(runner_of(), "pid")
    place.helper((sys.executable, "-c", "")).end()
    place.close()

    assert len(os.listdir("/proc/self/fd")) == before - 1  # the place has closed one of its own


class _BrokenSink:
    """A sink that cannot take what is written, as when the server refuses a chunk."""

    def write(self, name: str, data: bytes) -> None:
        raise RuntimeError(name)

    def tick(self) -> None:
        """Do nothing."""


def test_answer_after_an_error_on_our_side_goes_to_nobody_else(runner_of: RunnerOf) -> None:
    first = call(runner_of(), "pid").result
    broken = runner_of()
    broken._evidence = _BrokenSink()  # type: ignore[assignment]

    with pytest.raises(RuntimeError):
        call(broken, "say", "lost")

    after = call(runner_of(), "pid")
    assert after.succeeded
    assert after.result != first


def test_answer_that_comes_after_the_time_limit_is_too_late_and_harms_no_other_call(runner_of: RunnerOf) -> None:
    outcome = call(runner_of(timeout_s=0.2, grace_s=30.0), "late")

    assert (outcome.succeeded, outcome.reason) == (False, Reason.TIMEOUT)
    assert call(runner_of(timeout_s=None), "echo", 1).result == 1
