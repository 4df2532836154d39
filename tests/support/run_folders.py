"""A small run whose folder is written by hand: its plan, its head, its chunks of evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import orjson

from taskexec.completion.home import RunFolder
from taskexec.domain.events import LogEntry
from taskexec.domain.program import RunHead
from taskexec.plan import evidence_folder

__all__ = ["HEAD", "PLAN", "B", "Entry", "Record", "attempt_1", "chunk", "contents", "run_to_the_end", "spooled"]

Entry = Callable[..., LogEntry]
Record = Callable[..., str]

PLAN = orjson.dumps(
    {
        "tasks": [
            {"id": "a", "lane": "Queue A", "route": "cpu", "agent": "shell"},
            {"id": "../b", "lane": None, "route": "gpu", "agent": "noop"},
        ],
        "folders": {"../b": evidence_folder("../b")},
    }
)
B = evidence_folder("../b")
HEAD = RunHead(run_id="r", status="failed", tasks=2, left=0, succeeded=1, failed=1, source="p.csv")


def chunk(name: str, data: bytes, *, offset: int = 0, index: int = 0, attempt: int = 1) -> dict[str, bytes]:
    fields = {"i": str(index), "a": str(attempt), "f": name, "o": str(offset)}
    return {key: value.encode("utf-8", "surrogatepass") for key, value in fields.items()} | {"d": data}


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def run_to_the_end(folder: RunFolder, entry: Entry, record: Record) -> None:
    folder.take(entry("A 0 0", "Q 0 1", "Q 1 1"))
    folder.take_output(chunk("stdout.log", b"hello "))
    folder.take_output(chunk("stdout.log", b"world", offset=6))
    folder.take_output(chunk("files/sub/f.txt", b"file"))
    files = {
        "stdout.log": {"bytes": 11, "sha256": hashlib.sha256(b"hello world").hexdigest()},
        "files/sub/f.txt": {"bytes": 4, "sha256": hashlib.sha256(b"file").hexdigest()},
    }
    folder.take(entry("R 0 1", f"S 0 1 {record(files=files)}", second=2))
    folder.take(entry("R 1 1", f"T 1 1 {record({'stderr.log': 'no'}, status='failed')}", "Q 1 2", second=3))
    folder.take(entry("R 1 2", f"F 1 2 {record(status='failed', attempt=2)}", "E failed 0", second=4))
    folder.write_summary(HEAD)


def attempt_1(folder: RunFolder) -> Path:
    return folder.path / "tasks" / "a" / "attempt-1"


def spooled(record: Record) -> str:
    file = {"bytes": 5, "sha256": hashlib.sha256(b"large").hexdigest(), "spool": "there"}
    return record(files={"files/big": file}, host="node7")
