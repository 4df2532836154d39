"""Runs in a list: those that the server knows and those at home, the newest first."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from taskexec.api.paths import link_to
from taskexec.cluster import Cluster
from taskexec.domain.clock import iso_time
from taskexec.domain.names import is_run_id
from taskexec.domain.secrets import Redactor
from taskexec.errors import ConnectionLost
from taskexec.store.run_lines import RedisRunLines, RunLine

__all__ = ["HomeLines", "line_json", "run_lines", "run_links"]

_HEAD_BYTES = 65_536
_RESULTS = b'\n  "results": ['
_KEPT = 2000
_ENDED = ("succeeded", "failed", "skipped", "cancelled", "satisfied")


def run_links(run_id: str) -> dict[str, str]:
    """Return where more of a run is to be found."""
    parts = ("tasks", "events", "timeline", "graph", "plan", "canvas", "ledger", "blame")
    links = {name: link_to("runs", run_id, name) for name in parts}
    return {"self": link_to("runs", run_id), "page": f"/runs/{run_id}", **links}


def line_json(line: RunLine, redactor: Redactor) -> dict[str, Any]:
    """Return a run that the server knows; what people called it comes without secrets."""
    head = line.head
    return {
        "run_id": head.run_id,
        "plan": redactor.text(head.source),
        "status": head.status,
        "dry_run": head.dry_run,
        "submitted_at": iso_time(head.submitted_at),
        "started": None if head.started_at is None else iso_time(head.started_at),
        "ended": None if head.finished_at is None else iso_time(head.finished_at),
        "counts": _counts(line),
        "tasks": head.tasks,
        "user": redactor.text(line.user),
        "tag": redactor.text(line.tag),
        "links": run_links(head.run_id),
    }


def _counts(line: RunLine) -> dict[str, int]:
    """Return the tasks by status; what is ready and held counts as waiting."""
    head = line.head
    waiting = max(head.left - line.running - line.queued, 0)
    counts = {"waiting": waiting, "queued": line.queued, "running": line.running}
    counts |= {name: int(getattr(head, name)) for name in _ENDED}
    return {name: count for name, count in counts.items() if count}


class HomeLines:
    """Lines of runs at home, by their folders; each summary is read once, and only its beginning."""

    def __init__(self, runs_dir: Path, redactor: Redactor) -> None:
        """List the runs in a folder; `redactor` keeps secrets out of what their plans are called."""
        self.redactor = redactor
        self._runs_dir = runs_dir
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[tuple[int, int], dict[str, Any]]] = OrderedDict()

    def names(self) -> list[str]:
        """Return the runs whose folders have a summary."""
        try:
            with os.scandir(self._runs_dir) as entries:
                folders = [one.name for one in entries if is_run_id(one.name) and one.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        return [name for name in folders if (self._runs_dir / name / "run.json").is_file()]

    def line(self, run_id: str) -> dict[str, Any] | None:
        """Return the line of a run; None when its summary cannot be read."""
        path = self._runs_dir / run_id / "run.json"
        try:
            status = path.stat()
            version = status.st_mtime_ns, status.st_size
            with self._lock:
                kept = self._kept.get(run_id)
            if kept is not None and kept[0] == version:
                return kept[1]
            line = _of_summary(run_id, _read_head(path), self.redactor)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        with self._lock:
            self._kept[run_id] = version, line
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return line


def _read_head(path: Path) -> dict[str, Any]:
    """Return a summary without the results of its tasks, which may be very many."""
    with path.open("rb") as file:
        head, found, _ = file.read(_HEAD_BYTES).partition(_RESULTS)
    summary = orjson.loads(head.rstrip(b", \n") + b"}" if found else path.read_bytes())
    return dict(summary)


def _of_summary(run_id: str, summary: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    counts: dict[str, int] = dict(summary["counts"])
    return {
        "run_id": run_id,
        "plan": redactor.text(summary["plan"]),
        "status": summary["status"],
        "dry_run": bool(summary.get("dry_run")),
        "submitted_at": summary["submitted_at"],
        "started": summary.get("started"),
        "ended": summary.get("ended"),
        "counts": counts,
        "tasks": sum(counts.values()),
        "user": "",
        "tag": "",
        "links": run_links(run_id),
    }


def run_lines(cluster: Cluster, home: HomeLines, *, limit: int, before: str | None) -> dict[str, Any]:
    """Return the body of `GET /runs`: ids sort by the time of submission.

    Args:
        cluster: Where runs are; one that does not answer is passed over where something is at home.
        home: The runs at home.
        limit: Most runs.
        before: The run that the last page ended with.

    Raises:
        ConnectionLost: The server did not answer, and nothing is at home.
    """
    at_home = set(home.names())
    try:
        on_server = set(cluster.runs.listed())
    except ConnectionLost:
        if not at_home:
            raise
        on_server = set()
    ids = sorted((one for one in at_home | on_server if before is None or one < before), reverse=True)
    page, rest = ids[:limit], ids[limit:]
    rows = _rows(cluster, home, page, on_server)
    return {"runs": rows, "next": page[-1] if rest else None}


def _rows(cluster: Cluster, home: HomeLines, page: Iterable[str], on_server: set[str]) -> list[dict[str, Any]]:
    asked = [run_id for run_id in page if run_id in on_server]
    try:
        lines = RedisRunLines(cluster.connection).lines(asked)
    except ConnectionLost:
        lines = {}
    rows = []
    for run_id in page:
        row = line_json(lines[run_id], home.redactor) if run_id in lines else home.line(run_id)
        if row is not None:
            rows.append(row)
    return rows
