"""Log entries and records as the scripts and workers write them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.run_folders import PLAN

from taskexec.completion.home import RunFolder
from taskexec.domain.events import LogEntry


@pytest.fixture(scope="session")
def entry() -> Callable[..., LogEntry]:
    """Return the log entry with these lines, `second` seconds after the epoch."""

    def log_entry(*lines: str, second: int = 1, worker: str = "w") -> LogEntry:
        return LogEntry(f"{second}-0", second * 1_000_000, worker, "\n".join(lines))

    return log_entry


@pytest.fixture(scope="session")
def record() -> Callable[..., str]:
    """Return the detail of an attempt's end, with inline evidence."""

    def detail(inline: dict[str, Any] | None = None, **fields: Any) -> str:
        files = {
            name: {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in {"stdout.log": "", "stderr.log": "", **(inline or {})}.items()
        }
        body = orjson.dumps({"attempt": 1, "status": "succeeded", "files": files, **fields}).decode()
        return body + "\t" + (orjson.dumps(inline).decode() if inline else "")

    return detail


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    made = RunFolder(tmp_path / "runs" / "r", PLAN, b"{}")
    yield made
    made.close()
