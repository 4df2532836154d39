"""Tests of where a run comes home to: the folder of its own id, and only with the plan that was submitted."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.proofs import StagedRun

from taskexec.domain.proof import NO_HEAD, SignedHead
from taskexec.errors import EvidenceForeign, NotFound
from taskexec.submission import Collector


class _Server:
    """A store in memory, as a collector sees one, that somebody may have changed."""

    connection = None

    def __init__(self, run: StagedRun) -> None:
        self._store = run.store
        self.plan, self.canvas = map(zlib.decompress, run.store.documents(run.run_id))
        self.head = run.store.signed_head(run.run_id)

    def documents(self, run_id: str) -> tuple[bytes, bytes]:
        return zlib.compress(self.plan), zlib.compress(self.canvas)

    def signed_head(self, run_id: str) -> SignedHead:
        return self.head

    def first_entry(self, run_id: str) -> str | None:
        return next((entry.id for entry in self._store.read_log(run_id)), None)


def collect(server: Any, run_id: str, runs_dir: Path) -> None:
    Collector(run_id, server, runs_dir).close()


@pytest.fixture
def server() -> _Server:
    return _Server(StagedRun())


RUN = "20300101-000000-000aaaaaa"


def test_plan_that_was_signed_comes_home(server: _Server, tmp_path: Path) -> None:
    collect(server, RUN, tmp_path)

    assert (tmp_path / RUN / "plan.json").read_bytes() == server.plan


def changed_plan(server: _Server) -> None:
    server.plan = orjson.dumps(orjson.loads(server.plan) | {"folders": {"a": "/elsewhere"}})


def changed_canvas(server: _Server) -> None:
    server.canvas += b" "


def head_of_another(server: _Server) -> None:
    server.head = server.head._replace(head=server.head.head.replace(RUN.encode(), b"20300101-000000-000bbbbbb"))


def damaged_head(server: _Server) -> None:
    server.head = server.head._replace(head=b"no")


CHANGES = [changed_plan, changed_canvas, head_of_another, damaged_head]


@pytest.mark.parametrize("change", CHANGES)
def test_plan_that_was_not_signed_makes_no_folder(
    change: Callable[[_Server], None], server: _Server, tmp_path: Path
) -> None:
    change(server)

    with pytest.raises(EvidenceForeign):
        collect(server, RUN, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_run_that_nobody_signed_comes_home(server: _Server, tmp_path: Path) -> None:
    server.head = NO_HEAD

    collect(server, RUN, tmp_path)

    assert (tmp_path / RUN / "plan.json").is_file()


def test_plan_of_a_folder_stays_when_the_server_has_another_signed_one(server: _Server, tmp_path: Path) -> None:
    collect(server, RUN, tmp_path)
    before = (tmp_path / RUN / "plan.json").read_bytes()
    other = _Server(StagedRun([{"id": "other", "command": "true"}], run_id=RUN))

    with pytest.raises(EvidenceForeign):
        collect(other, RUN, tmp_path)

    assert (tmp_path / RUN / "plan.json").read_bytes() == before


def test_documents_that_cannot_be_read_make_no_folder(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "documents", lambda _: (b"no", b"no"))

    with pytest.raises(EvidenceForeign):
        collect(server, RUN, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run_id", ["..", "../x", "/x", "", "a/b"])
def test_what_is_no_run_id_makes_no_folder(run_id: str, server: _Server, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        collect(server, run_id, tmp_path / "runs")

    assert list(tmp_path.iterdir()) == []
