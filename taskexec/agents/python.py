"""The agent of Python callables: calls `module:function` with JSON arguments in a warm helper process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from taskexec.agents.base import Assignment, Outcome, ProcessRunner
from taskexec.domain.states import Reason
from taskexec.domain.task import JSON

__all__ = ["PythonAgent"]

_HELPER = (sys.executable, str(Path(__file__).with_name("python_helper.py")))


class PythonAgent:
    """Calls the payload's `call` with `args` and `kwargs`; the return value is the task's result.

    A parameter named `inputs` receives the dependencies' results as a mapping from task id to value. The
    project folder is first on the import path. What the callable prints is captured.
    """

    def check(self, payload: Mapping[str, JSON]) -> None:
        """Refuse a payload whose `call` is not `module:function`, or whose arguments are not a list and an object."""
        call = payload.get("call")
        if not isinstance(call, str) or call.count(":") != 1 or not all(call.split(":")):
            raise ValueError(f"`{call}` is not a callable: expected `module:function`")
        if not isinstance(payload.get("args", []), list) or not isinstance(payload.get("kwargs") or {}, dict):
            raise ValueError("a `python` task needs `args` as a list and `kwargs` as an object")

    def describe(self, assignment: Assignment) -> str:
        """Return the call that would be made."""
        payload = assignment.payload
        arguments = [json.dumps(value) for value in payload.get("args") or []]
        arguments += [f"{name}={json.dumps(value)}" for name, value in (payload.get("kwargs") or {}).items()]
        return f"call {payload['call']}({', '.join(arguments)})"

    def perform(self, assignment: Assignment, runner: ProcessRunner) -> Outcome:
        """Send the call to the helper of this process and wait for its answer."""
        payload = assignment.payload
        exit_ = runner.ask(
            _HELPER,
            {
                "call": payload["call"],
                "args": payload.get("args") or [],
                "kwargs": payload.get("kwargs") or {},
                "inputs": dict(assignment.inputs),
            },
        )
        commands = [{"call": payload["call"], "duration_s": round(exit_.duration_s, 6)}]
        if exit_.reply is None:
            reason, words = exit_.failure() or (Reason.EXIT, "the process ended before the call returned")
            return Outcome(
                succeeded=False,
                reason=reason,
                error=f"`{payload['call']}`: {words}",
                exit_status=exit_.status,
                signal=exit_.signal,
                commands=commands,
            )
        answer = json.loads(exit_.reply)
        if answer["ok"]:
            return Outcome(succeeded=True, result=answer.get("result"), commands=commands)
        error = f"`{payload['call']}`: {answer['error']}"
        reason = Reason.OUT_OF_MEMORY if answer["error"].startswith("MemoryError:") else Reason.EXIT
        return Outcome(succeeded=False, reason=reason, error=error, commands=commands)
