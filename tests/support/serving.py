"""The real `tek api` in a process of its own, on a cluster of the tests, with a token for each role."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from support.forks import Fork
from support.live import LiveCluster
from support.tek import EXECUTABLE, start_tek

from taskexec.domain.api_token import ROLES, new_token
from taskexec.store.tokens import TokenStore

__all__ = ["PROBLEM_TYPE", "ServedApi", "problem_of", "served_api"]

PROBLEM_TYPE = "application/problem+json"


class ServedApi:
    """A process that serves, and clients of it."""

    def __init__(self, live: LiveCluster, process: subprocess.Popen[str] | Fork, url: str, log: Path) -> None:
        self.live = live
        self.process = process
        self.url = url
        self.log = log
        self.tokens: dict[str, str] = {role: self.make_token(role) for role in ROLES}

    def make_token(self, role: str, **options: Any) -> str:
        """Return the text of a new token; options are those of `new_token`."""
        token, text = new_token(role, role, now=options.pop("now", time.time()), **options)
        TokenStore(self.live.cluster.connection).add(token)
        return text

    def client(self, token: str | None = "admin", **options: Any) -> httpx2.Client:
        """Return a client with the token of a role, a text, or none."""
        text = self.tokens.get(token, token) if token is not None else None
        headers = {} if text is None else {"Authorization": f"Bearer {text}"}
        return httpx2.Client(base_url=self.url, headers=headers | options.pop("headers", {}), timeout=30.0, **options)

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was said."""
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return socket.create_connection((parts.hostname, parts.port), timeout=30.0)

    def runs(self) -> set[str]:
        """Return the runs that the server knows."""
        return set(self.live.store.listed())


@contextlib.contextmanager
def served_api(live: LiveCluster, *arguments: object, **settings: object) -> Iterator[ServedApi]:
    """Serve a cluster; keywords are settings of the area `api`. What it logs may hold no error of ours."""
    assignments = [f"--set=api.{name}={value}" for name, value in {"port": 0, **settings}.items()]
    log = live.place.folder / f"api-{time.monotonic_ns()}.log"
    with log.open("wb") as errors:
        process = start_tek(
            [EXECUTABLE, "api", "--output", "json", *assignments, *arguments],
            cwd=live.project,
            environ=live.place.environ()
            | {"TEK_REDIS_URL": live.server.url, "TEK_RUNS_DIR": str(live.settings.evidence.runs_dir)},
            errors=errors,
        )
    try:
        yield ServedApi(live, process, _first_words(process, log)["url"], log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert "Traceback" not in log.read_text(), log.read_text()[-4_000:]


def _first_words(process: subprocess.Popen[str] | Fork, log: Path) -> Any:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("}"):
            return json.loads("".join(lines))
    raise AssertionError(f"the API did not start: {log.read_text()[-4_000:]}")


def problem_of(answer: httpx2.Response, status: int, code: str) -> Mapping[str, Any]:
    """Return the problem of an answer; fail when it is no document of this status and code."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == PROBLEM_TYPE
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["type"] == f"urn:taskexec:problem:{code}"
    assert {"title", "detail", "hint", "faults"} <= problem.keys()
    return problem
