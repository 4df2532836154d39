"""Flower as `tek flower` starts it, and what it answers."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Answer", "Flower", "flower_on"]


class Answer(NamedTuple):
    """An answer over HTTP."""

    status: int
    text: str
    headers: Mapping[str, str]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Flower:
    """A Flower that runs."""

    def __init__(self, started: Mapping[str, str]) -> None:
        """Begin with what the command, or `tek up --flower`, has said of it."""
        self.url = started["url"]
        self.credentials = f"{started['user']}:{started['password']}"

    def ask(
        self, path: str, *, credentials: str | None = "ours", method: str = "GET", data: bytes | None = None
    ) -> Answer:
        """Return the answer to a request; `credentials` None sends none."""
        request = urllib.request.Request(self.url + path, method=method, data=data)
        given = self.credentials if credentials == "ours" else credentials
        if given is not None:
            request.add_header("Authorization", f"Basic {base64.b64encode(given.encode()).decode()}")
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=20) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))

    def json(self, path: str) -> Any:
        """Return the JSON of an answer."""
        return json.loads(self.ask(path).text)

    def tasks_of(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a run as Flower's API lists them, by their id in the plan."""
        tasks = self.json("/api/tasks?limit=100000").values()
        return {task["args"][2:-3]: task for task in tasks if task["root_id"] == run_id}


@contextlib.contextmanager
def flower_on(url: str, environ: Mapping[str, str], *options: str) -> Iterator[Flower]:
    """Start `tek flower` on a server; it is told to end with the context."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from taskexec.cli.main import main; main()", "flower", "--output", "json", *options],
        env={**environ, "TEK_REDIS_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        yield Flower(json.loads(text))
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()
