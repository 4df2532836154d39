"""The way to a cluster over its API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from taskexec.client.patience import Away, Patience, retry_after_s
from taskexec.client.problems import error_of
from taskexec.client.streams import Event, read_events
from taskexec.client.values import Change, LogChunk, SubmitOptions, TaskChange
from taskexec.domain.states import FINAL_RUN_STATUSES, RunStatus, TaskStatus
from taskexec.errors import ConnectionLost
from taskexec.plan import Plan, plan_to_json

__all__ = ["WebDoor"]

_SILENCE_S = 45.0
"""A stream that says nothing for so long is broken: its heartbeats come every 15 s."""
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses of an API, or of a proxy before it, that ask to be asked again."""
_LETTERS = {
    "w": TaskStatus.WAITING,
    "r": TaskStatus.READY,
    "q": TaskStatus.QUEUED,
    "R": TaskStatus.RUNNING,
    "S": TaskStatus.SUCCEEDED,
    "F": TaskStatus.FAILED,
    "X": TaskStatus.SKIPPED,
    "C": TaskStatus.CANCELLED,
    "P": TaskStatus.SATISFIED,
}
_PAGE = 1000


class WebDoor:
    """See `Door`."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float) -> None:
        """Prepare to call an API, as `https://tek.example`; nothing is sent yet."""
        headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._http = httpx2.Client(
            base_url=f"{url.rstrip('/')}/api/v1/", headers=headers, timeout=timeout_s, follow_redirects=False
        )
        self._url = url
        self._ids: dict[str, list[str]] = {}

    def check(self, plan: Plan) -> Mapping[str, Any]:
        """See `Door`."""
        named = {"name": _name(plan)}
        shown: Mapping[str, Any] = self._call("POST", "plans", content=_text(plan), headers=_JSON, params=named).json()
        return shown

    def submit(self, plan: Plan, options: SubmitOptions) -> str:
        """See `Door`."""
        names = ("dry_run", "fail_fast", "tag", "weight", "timeout_s", "wait_for_workers")
        query = {name: value for name in names if (value := getattr(options, name)) not in (None, False)}
        query |= {"name": _name(plan)} | ({} if options.fail_fast is None else {"fail_fast": options.fail_fast})
        params = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        headers = _JSON | ({} if options.key is None else {"Idempotency-Key": options.key})
        made = self._call("POST", "runs", content=_text(plan), headers=headers, params=params).json()
        return str(made["run_id"])

    def runs(self, limit: int | None) -> Iterator[Mapping[str, Any]]:
        """See `Door`."""
        yield from self._pages("runs", "runs", limit)

    def run(self, run_id: str, *, patience: Patience | None = None) -> Mapping[str, Any]:
        """See `Door`."""
        found: Mapping[str, Any] = self._call("GET", _path("runs", run_id), patience=patience).json()
        return found

    def tasks(self, run_id: str) -> Iterator[Mapping[str, Any]]:
        """See `Door`."""
        yield from self._pages(_path("runs", run_id, "tasks"), "tasks", None)

    def task(self, run_id: str, task: str) -> Mapping[str, Any]:
        """See `Door`."""
        found: Mapping[str, Any] = self._call("GET", _path("runs", run_id, "tasks", task)).json()
        return found

    def results(self, run_id: str) -> Iterator[tuple[str, Any]]:
        """See `Door`."""
        for row in self.tasks(run_id):
            if row["status"] == TaskStatus.SUCCEEDED and row["attempts"]:
                record = orjson.loads(self.read_file(run_id, row["task"], row["attempts"], "result.json"))
                if "result" in record:
                    yield row["task"], record["result"]

    def read_file(self, run_id: str, task: str, attempt: int, name: str) -> bytes:
        """See `Door`."""
        path = _path("runs", run_id, "tasks", task, "attempts", str(attempt), "files", name)
        return bytes(self._call("GET", path, headers={"Accept": "*/*"}).content)

    def log(self, run_id: str, task: str, *, attempt: int | None, follow: bool) -> Iterator[LogChunk]:
        """See `Door`."""
        path = _path("runs", run_id, "tasks", task, "logs")
        asked = {} if attempt is None else {"attempt": attempt}
        if follow:
            for event in self._events(path, {**asked, "follow": "true"}, None, Patience()):
                if event.name == "log":
                    data = orjson.loads(event.data)
                    yield LogChunk(data["attempt"], str(data["stream"]).removesuffix(".log"), data["text"])
            return
        for stream in ("stdout", "stderr"):
            answer = self._call("GET", path, params={**asked, "stream": stream}, headers={"Accept": "text/plain"})
            if text := answer.content.decode(errors="replace"):
                yield LogChunk(int(answer.headers.get("Tek-Attempt", attempt or 1)), stream, text)

    def events(self, run_id: str, *, after: str | None, until: float | None) -> Iterator[Change]:
        """See `Door`; one that was cut off goes on where it was."""
        patience = Patience(until=until, was_there=run_id in self._ids)
        ids = self._task_ids(run_id, patience)
        known = after
        for event in self._events(_path("runs", run_id, "events"), {}, after, patience):
            if event.name == "changes":
                known = event.id or known
                yield _change(orjson.loads(event.data), ids, known or "0")

    def stop(self, run_id: str, *, kill: bool) -> None:
        """See `Door`."""
        self._call("POST", _path("runs", run_id, "stop"), json={"kill": kill})

    def retry(self, run_id: str, tasks: Sequence[str] | None) -> Sequence[str]:
        """See `Door`."""
        body = {"failed": True} if tasks is None else {"tasks": list(tasks)}
        found: Sequence[str] = self._call("POST", _path("runs", run_id, "retry"), json=body).json()["tasks"]
        return found

    def workers(self) -> Sequence[Mapping[str, Any]]:
        """See `Door`."""
        found: Sequence[Mapping[str, Any]] = self._call("GET", "workers").json()["workers"]
        return found

    def close(self) -> None:
        """See `Door`."""
        self._http.close()

    def _call(self, method: str, path: str, *, patience: Patience | None = None, **options: Any) -> httpx2.Response:
        if patience is not None:
            return patience.call(lambda: self._ask(method, path, **options))
        try:
            return self._ask(method, path, **options)
        except Away as away:
            raise away.error from away.__cause__

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise Away(self._lost(error)) from error
        _check(answer)
        return answer

    def _lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(
            f"the API at {self._url} does not answer: {error or type(error).__name__}",
            hint="check that `tek api` runs and is reachable, and the address",
        )

    def _pages(self, path: str, name: str, limit: int | None) -> Iterator[Mapping[str, Any]]:
        cursor, left = None, limit
        while left is None or left > 0:
            params = {"limit": min(_PAGE, left or _PAGE)} | ({} if cursor is None else {"cursor": cursor})
            page = self._call("GET", path, params=params).json()
            yield from page[name]
            cursor = page["next"]
            left = None if left is None else left - len(page[name])
            if cursor is None:
                return

    def _task_ids(self, run_id: str, patience: Patience) -> list[str]:
        if run_id not in self._ids:
            graph = self._call("GET", _path("runs", run_id, "graph"), patience=patience).json()
            self._ids[run_id] = list(graph["ids"])
        return self._ids[run_id]

    def _events(self, path: str, params: Mapping[str, Any], after: str | None, patience: Patience) -> Iterator[Event]:
        """Yield events up to `end`, over as many connections as it takes."""
        known = after
        while not patience.is_over:
            try:
                for event in self._one_stream(path, params, known, patience):
                    known = event.id or known
                    patience.went_on()
                    yield event
                    if event.name == "end":
                        return
            except Away as away:
                patience.bear(away)
            else:
                patience.pause()

    def _one_stream(
        self, path: str, params: Mapping[str, Any], after: str | None, patience: Patience
    ) -> Iterator[Event]:
        """Yield the events of one connection, until it ends or is cut.

        Raises:
            Away: There is none.
        """
        silence_s = max(patience.left_s(_SILENCE_S), 0.001)
        headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": after})
        timeout = httpx2.Timeout(self._http.timeout.connect or _SILENCE_S, read=silence_s)
        is_open = False
        try:
            with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    with contextlib.suppress(httpx2.HTTPError):
                        answer.read()
                    _check(answer)
                is_open = True
                patience.answered()
                yield from read_events(answer.iter_bytes(), until=patience.until)
        except httpx2.HTTPError as error:
            if not is_open:
                raise Away(self._lost(error)) from error


_JSON = {"Content-Type": "application/json"}


def _text(plan: Plan) -> bytes:
    return orjson.dumps(plan_to_json(plan))


def _name(plan: Plan) -> str:
    """Return what the plan's file is called; its folder is of no interest elsewhere."""
    return PurePath(plan.source).name[:200] or "plan.json"


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _check(answer: httpx2.Response) -> None:
    """Raise the error that an answer means, if it means one; `Away` if it may pass."""
    if answer.status_code < 400:
        return
    try:
        document = answer.json()
    except ValueError:
        document = None
    error = error_of(answer.status_code, document)
    if answer.status_code in _PASSING:
        raise Away(error, is_there=True, wait_s=retry_after_s(answer.headers))
    raise error


def _change(data: Mapping[str, Any], ids: Sequence[str], id_: str) -> Change:
    tasks = [TaskChange(ids[row[0]], _LETTERS[row[1]], row[2], row[3], row[4]) for row in data["tasks"]]
    status = RunStatus(data["status"])
    return Change(id_, tasks, data["counts"], status, status in FINAL_RUN_STATUSES)
