"""Tests of noop, shell and python: what they accept, what they say they would do, what they make of exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from taskexec.agents import Assignment, Exit
from taskexec.agents.noop import NoopAgent
from taskexec.agents.python import PythonAgent
from taskexec.agents.shell import ShellAgent
from taskexec.domain.states import Reason

Assigned = Callable[..., Assignment]
GOOD = Exit(0, None, 0.5)


def test_noop_succeeds_and_leaves_a_stub(assigned: Assigned, scripted: Any) -> None:
    outcome = NoopAgent().perform(assigned({"anything": 1}), runner := scripted())

    assert outcome.succeeded
    assert outcome.note
    assert outcome.result is None
    assert (runner.commands, runner.requests) == ([], [])


def test_noop_accepts_anything(assigned: Assigned) -> None:
    NoopAgent().check({"commands": 3})

    assert NoopAgent().describe(assigned({})) == "do nothing"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"commands": []},
        {"commands": "echo"},
        {"commands": ["echo"]},
        {"commands": [{}]},
        {"commands": [{"argv": []}]},
        {"commands": [{"argv": "echo"}]},
        {"commands": [{"argv": ["echo", 3]}]},
        {"commands": [{"argv": ["echo"]}, {"argv": None}]},
        {"commands": [{"argv": ["echo"], "cwd": 3}]},
        {"commands": [{"argv": ["echo"], "env": ["A=1"]}]},
        {"commands": [{"argv": ["echo"], "env": {"A": 1}}]},
        {"commands": [{"argv": ["echo"], "env": {"A": None}}]},
        {"commands": [{"argv": ["echo"], "env": {1: "1"}}]},
        {"commands": [{"argv": ["echo"], "env": {"": "1"}}]},
        {"commands": [{"argv": ["echo"], "env": {"A=B": "1"}}]},
        {"commands": [{"argv": ["echo"], "env": {"A\0": "1"}}]},
        {"commands": [{"argv": ["echo"], "env": {"A": "1\0"}}]},
    ],
)
def test_shell_refuses_what_is_no_list_of_commands(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ShellAgent().check(payload)


def test_shell_accepts_commands_with_and_without_a_folder() -> None:
    ShellAgent().check({"commands": [{"argv": ["true"]}, {"argv": ["echo", ""], "cwd": "sub"}]})


def test_shell_accepts_variables() -> None:
    ShellAgent().check(
        {"commands": [{"argv": ["true"], "env": {"A": "", "b.c": "x = y\n"}}, {"argv": ["true"], "env": {}}]}
    )


@pytest.mark.parametrize(
    "command",
    [
        {"argv": "echo", "env": {"KEY": "hidden"}},
        {"argv": ["echo"], "cwd": 3, "env": {"KEY": "hidden"}},
        {"argv": ["echo"], "env": {"KEY": "hidden\0"}},
        {"argv": ["echo"], "env": {"KEY": ["hidden"]}},
        {"argv": ["echo"], "env": ["KEY=hidden"]},
    ],
)
def test_refusal_tells_no_value_of_a_variable(command: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refused:
        ShellAgent().check({"commands": [command]})

    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("exit_", [GOOD, Exit(3, None, 0.5), FileNotFoundError(2, "No such file")])
def test_variables_reach_the_process_and_only_their_names_the_account(
    exit_: Any, assigned: Assigned, scripted: Any
) -> None:
    payload = {"commands": [{"argv": ["one"], "env": {"KEY": "hidden", "B": ""}}]}

    outcome = ShellAgent().perform(assigned(payload), runner := scripted(exit_))

    assert runner.commands[0].env == {"KEY": "hidden", "B": ""}
    assert outcome.commands[0]["env"] == ["KEY", "B"]
    assert "hidden" not in str(outcome)


def test_shell_describes_variables_by_their_names(assigned: Assigned) -> None:
    payload = {"commands": [{"argv": ["echo", "a b"], "env": {"KEY": "hidden", "B": ""}}, {"argv": ["true"]}]}

    assert ShellAgent().describe(assigned(payload)) == "run KEY=… B=… echo 'a b'; run true"


def test_shell_describes_its_commands_and_runs_none(assigned: Assigned, scripted: Any) -> None:
    payload = {"commands": [{"argv": ["echo", "a b"]}, {"argv": ["true"]}]}

    assert ShellAgent().describe(assigned(payload)) == "run echo 'a b'; run true"


def test_shell_runs_commands_in_turn_and_takes_the_written_result(assigned: Assigned, scripted: Any) -> None:
    runner = scripted(GOOD, GOOD, result={"n": 1})
    payload = {"commands": [{"argv": ["one"]}, {"argv": ["two"], "cwd": "sub"}]}

    outcome = ShellAgent().perform(assigned(payload), runner)

    assert (outcome.succeeded, outcome.exit_status, outcome.result) == (True, 0, {"n": 1})
    assert [command.argv for command in runner.commands] == [("one",), ("two",)]
    assert outcome.commands[1] == {"argv": ["two"], "cwd": "sub", "exit_status": 0, "duration_s": 0.5}


@pytest.mark.parametrize(
    ("exit_", "reason"),
    [
        (Exit(3, None, 0.1), Reason.EXIT),
        (Exit(None, 9, 0.1), Reason.SIGNAL),
        (Exit(None, 15, 0.1, ended_by=Reason.TIMEOUT), Reason.TIMEOUT),
        (Exit(0, None, 0.1, ended_by=Reason.TIMEOUT), Reason.TIMEOUT),
        (Exit(None, 15, 0.1, ended_by=Reason.CANCELLED), Reason.CANCELLED),
    ],
)
def test_shell_stops_at_the_first_command_that_fails(
    exit_: Exit, reason: Reason, assigned: Assigned, scripted: Any
) -> None:
    runner = scripted(exit_)
    payload = {"commands": [{"argv": ["one"]}, {"argv": ["two"]}]}

    outcome = ShellAgent().perform(assigned(payload), runner)

    assert (outcome.succeeded, outcome.reason) == (False, reason)
    assert (outcome.exit_status, outcome.signal) == (exit_.status, exit_.signal)
    assert len(runner.commands) == len(outcome.commands) == 1


def test_program_that_is_not_there_is_exit_status_127(assigned: Assigned, scripted: Any) -> None:
    runner = scripted(FileNotFoundError(2, "No such file"))

    outcome = ShellAgent().perform(assigned({"commands": [{"argv": ["nothing"]}]}), runner)

    assert (outcome.reason, outcome.exit_status) == (Reason.EXIT, 127)
    assert outcome.error is not None
    assert "nothing" in outcome.error


def test_result_that_is_not_json_fails_the_attempt(assigned: Assigned, scripted: Any) -> None:
    runner = scripted(GOOD, result=ValueError("not JSON"))

    outcome = ShellAgent().perform(assigned({"commands": [{"argv": ["one"]}]}), runner)

    assert (outcome.succeeded, outcome.reason, outcome.exit_status) == (False, Reason.EXIT, 0)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"call": 3},
        {"call": "module"},
        {"call": "module:"},
        {"call": ":function"},
        {"call": "a:b:c"},
        {"call": "a:b", "args": {}},
        {"call": "a:b", "kwargs": [1]},
    ],
)
def test_python_refuses_what_is_no_call(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        PythonAgent().check(payload)


def test_python_describes_its_call_and_makes_none(assigned: Assigned) -> None:
    payload = {"call": "a.b:c", "args": [1, "x"], "kwargs": {"flag": True}}

    PythonAgent().check(payload)

    assert PythonAgent().describe(assigned(payload)) == 'call a.b:c(1, "x", flag=true)'


def test_python_sends_arguments_and_inputs_and_takes_the_answer(assigned: Assigned, scripted: Any) -> None:
    reply = json.dumps({"ok": True, "result": [1]}).encode()
    runner = scripted(Exit(0, None, 0.25, reply=reply))

    outcome = PythonAgent().perform(assigned({"call": "a:b", "args": [1]}, before=7), runner)

    assert (outcome.succeeded, outcome.result) == (True, [1])
    assert runner.requests == [{"call": "a:b", "args": [1], "kwargs": {}, "inputs": {"before": 7}}]
    assert outcome.commands == [{"call": "a:b", "duration_s": 0.25}]


def test_python_tells_the_exception_of_the_call(assigned: Assigned, scripted: Any) -> None:
    runner = scripted(Exit(0, None, 0.1, reply=b'{"ok": false, "error": "KeyError: 3"}'))

    outcome = PythonAgent().perform(assigned({"call": "a:b"}), runner)

    assert (outcome.succeeded, outcome.reason, outcome.error) == (False, Reason.EXIT, "`a:b`: KeyError: 3")


@pytest.mark.parametrize(
    ("exit_", "reason"),
    [
        (Exit(0, None, 0.1), Reason.EXIT),
        (Exit(None, 11, 0.1), Reason.SIGNAL),
        (Exit(None, 9, 0.1, ended_by=Reason.TIMEOUT), Reason.TIMEOUT),
    ],
)
def test_helper_that_ends_without_an_answer_fails_the_attempt(
    exit_: Exit, reason: Reason, assigned: Assigned, scripted: Any
) -> None:
    outcome = PythonAgent().perform(assigned({"call": "a:b"}), scripted(exit_))

    assert (outcome.succeeded, outcome.reason, outcome.signal) == (False, reason, exit_.signal)
