"""Tests of the helper of `python` tasks, inside this process: calls, answers and what callables do wrong."""

from __future__ import annotations

import io
import json
import os
import sys
from types import ModuleType
from typing import Any

import pytest

from taskexec.agents.python_helper import Caller, read_frame, resolve


class Sums:
    """Something with a method to call."""

    @staticmethod
    def add(one: int, two: int = 0) -> int:
        return one + two


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's."""
    made: Any = ModuleType("users_module")
    made.Sums = Sums
    made.merge = lambda inputs, extra=0: [*sorted(inputs.values()), extra]
    made.leave = lambda status: sys.exit(status)
    made.fail = lambda: 1 / 0
    made.interrupt = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    made.nan = lambda: float("nan")
    made.odd = lambda: {1, 2}
    made.variables = lambda: os.environ["TEK_TASK"]
    made.nothing = lambda: None
    made.constant = 3
    monkeypatch.setitem(sys.modules, "users_module", made)
    monkeypatch.setenv("TEK_TASK", "")
    return made  # type: ignore[no-any-return]


def answer(call: str, *args: Any, inputs: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    request = {"call": f"users_module:{call}", "args": args, "kwargs": kwargs, "inputs": inputs or {}}
    reply: dict[str, Any] = json.loads(Caller().answer(request | {"environ": {"TEK_TASK": "t"}}))
    return reply


def test_return_value_is_the_result() -> None:
    assert answer("Sums.add", 1, two=2) == {"ok": True, "result": 3}
    assert answer("nothing") == {"ok": True, "result": None}


def test_parameter_named_inputs_gets_the_results_of_the_dependencies() -> None:
    assert answer("merge", inputs={"b": 2, "a": 1}, extra=9) == {"ok": True, "result": [1, 2, 9]}


def test_callable_without_that_parameter_gets_no_inputs() -> None:
    assert answer("Sums.add", 1, inputs={"a": 1})["ok"]


def test_call_sees_the_variables_of_its_attempt() -> None:
    assert answer("variables") == {"ok": True, "result": "t"}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("fail", "ZeroDivisionError"),
        ("interrupt", "KeyboardInterrupt"),
        ("odd", "TypeError"),
        ("nan", "ValueError"),
        ("missing", "AttributeError"),
        ("constant", "TypeError"),
    ],
)
def test_what_goes_wrong_is_told_and_traced(call: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    reply = answer(call)

    assert not reply["ok"]
    assert reply["error"].startswith(error)
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 3, None])
def test_leaving_the_program_is_a_failure_of_the_call(status: int | None) -> None:
    assert answer("leave", status) == {"ok": False, "error": f"SystemExit: {status}"}


def test_wrong_arguments_are_told() -> None:
    assert answer("Sums.add", 1, 2, 3)["error"].startswith("TypeError")


def test_missing_module_is_told() -> None:
    reply = json.loads(Caller().answer({"call": "no_such_module:f", "args": [], "kwargs": {}, "inputs": {}}))

    assert reply["error"].startswith("ModuleNotFoundError")


def test_callable_is_resolved_once(module: ModuleType) -> None:
    caller = Caller()
    request = {"call": "users_module:Sums.add", "args": [1], "kwargs": {}, "inputs": {}}

    first = caller.answer(request)
    del module.Sums

    assert caller.answer(request) == first


def test_dotted_paths_resolve_on_both_sides() -> None:
    assert resolve("os.path:join") is os.path.join
    assert resolve("users_module:Sums.add") is Sums.add


def test_frames_end_with_the_stream() -> None:
    stream = io.BytesIO(b"\x00\x00\x00\x02{}\x00\x00\x00\x00\x00\x00")

    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [b"{}", b"", None]
