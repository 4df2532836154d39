"""The helper process of the `python` agent: reads calls, makes them, writes answers. Started as a script.

Frames on both pipes: 4 bytes of length, big-endian, and JSON. A request holds `call`, `args`, `kwargs`, `inputs`
and `environ` (the `TEK_…` variables of the attempt). An answer is `{"ok": true, "result": …}` or
`{"ok": false, "error": "Type: text"}`; the traceback goes to standard error and so into the evidence. Imports only
the standard library, so that it starts fast and cannot clash with the callable's own dependencies.
"""

import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

_LENGTH_BYTES = 4


def resolve(call: str) -> Callable[..., Any]:
    """Return the callable named `module:function`; both parts may be dotted."""
    module_name, _, path = call.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{call} is not callable")
    return found  # type: ignore[no-any-return]


def takes_inputs(function: Callable[..., Any]) -> bool:
    """Return whether a callable has a parameter named `inputs`."""
    try:
        return "inputs" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


class Caller:
    """Makes calls; remembers what it resolved, so that a warm call costs microseconds."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Callable[..., Any], bool]] = {}
        self._environ: dict[str, str] = {}

    def _set_environ(self, environ: dict[str, str]) -> None:
        """Set what has changed since the last call; each variable costs as much as a call."""
        for name, value in environ.items():
            if self._environ.get(name) != value:
                os.environ[name] = self._environ[name] = value

    def answer(self, request: dict[str, Any]) -> bytes:
        """Make one call and return the answer's JSON; never raises for what the callable does."""
        self._set_environ(request.get("environ", {}))
        try:
            known = self._known.get(request["call"])
            if known is None:
                function = resolve(request["call"])
                known = self._known[request["call"]] = (function, takes_inputs(function))
            function, with_inputs = known
            extra = {"inputs": request["inputs"]} if with_inputs else {}
            result = function(*request["args"], **request["kwargs"], **extra)
            text = json.dumps({"ok": True, "result": result}, allow_nan=False)
        except SystemExit as error:
            text = json.dumps({"ok": False, "error": f"SystemExit: {error.code}"})
        except BaseException as error:
            traceback.print_exc()
            text = json.dumps({"ok": False, "error": f"{type(error).__name__}: {error}"[:2000]})
        return text.encode()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the next frame, or None at the end of the stream."""
    head = stream.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    return stream.read(int.from_bytes(head, "big"))


def main() -> None:
    """Serve calls until the request pipe closes; descriptors are given as arguments: requests, answers."""
    requests = os.fdopen(int(sys.argv[1]), "rb")
    answers = os.fdopen(int(sys.argv[2]), "wb")
    for stream in (requests, answers):
        os.set_inheritable(stream.fileno(), False)
    home = sys.path[0] = os.getcwd()
    caller = Caller()
    while (frame := read_frame(requests)) is not None:
        reply = caller.answer(json.loads(frame))
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(home)  # a call may have gone to a folder that is removed with its attempt
        answers.write(len(reply).to_bytes(_LENGTH_BYTES, "big") + reply)
        answers.flush()


if __name__ == "__main__":
    main()
