"""Tests of serving a spool: pieces of what it has, an error for the rest, and what is removed when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskexec.completion.spool import KeptFile, Spool, server_origin
from taskexec.runtime.spool import SpoolServer
from taskexec.store.connection import Connection
from taskexec.store.files import FileChannel, FilePiece, FileRequest, new_reader
from taskexec.store.keys import RUNS, run_key


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", origin="here")


def server(spool: Spool, connection: Connection, *, retention_s: float = 1000.0) -> SpoolServer:
    return SpoolServer(spool, connection, retention_s=retention_s, forgotten_s=100.0)


def kept(spool: Spool, run_id: str, *, age_s: float = 0.0) -> KeptFile:
    source = spool.folder.parent / "source"
    source.write_bytes(b"0123456789")
    file = spool.keep(run_id, source, is_ours=True, limit_bytes=100)
    then = (spool.folder / run_id).stat().st_mtime - age_s
    os.utime(spool.folder / run_id, (then, then))
    return file


def know(connection: Connection, run_id: str) -> None:
    connection.call("ZADD", RUNS, 1, run_id)
    connection.call("HSET", run_key(run_id, "meta"), "run", run_id)


def test_piece_of_a_file_is_given(spool: Spool, connection: Connection) -> None:
    file, reader, channel = kept(spool, "r1"), new_reader(), FileChannel(connection)
    channel.ask(spool.id, FileRequest("r1", file.sha256, 3, 4, reader))

    assert server(spool, connection).serve(wait_s=1.0)
    assert channel.answer_to(reader, wait_s=1.0) == FilePiece(3, b"3456")


@pytest.mark.parametrize(("run_id", "sha256"), [("r2", None), ("r1", "0" * 64), ("..", None), ("r1", "../id")])
def test_what_is_not_there_is_said_so(spool: Spool, connection: Connection, run_id: str, sha256: str | None) -> None:
    file, reader, channel = kept(spool, "r1"), new_reader(), FileChannel(connection)
    channel.ask(spool.id, FileRequest(run_id, sha256 or file.sha256, 0, 4, reader))

    server(spool, connection).serve(wait_s=1.0)

    piece = channel.answer_to(reader, wait_s=1.0)
    assert piece is not None
    assert (piece.data, bool(piece.error)) == (b"", True)


def test_files_of_a_run_that_the_server_has_forgotten_are_removed_in_time(spool: Spool, connection: Connection) -> None:
    kept(spool, "known", age_s=500.0)
    kept(spool, "forgotten", age_s=500.0)
    kept(spool, "young", age_s=50.0)
    know(connection, "known")

    assert server(spool, connection).sweep() == ["forgotten"]
    assert sorted(path.name for path in spool.folder.iterdir()) == ["known", "young"]


def test_files_of_another_server_are_left_alone(spool: Spool, connection: Connection) -> None:
    kept(Spool(spool.folder, origin="there"), "other", age_s=500.0)

    assert server(spool, connection).sweep() == []


def test_files_are_swept_for_every_user_of_their_server(spool: Spool, connection: Connection) -> None:
    ours, others = (Spool(spool.folder, origin=server_origin(f"redis://{who}@h")) for who in ("a:old", "b:new"))
    kept(others, "forgotten", age_s=500.0)

    assert server(ours, connection).sweep() == ["forgotten"]


def test_files_that_are_too_old_are_removed_whoever_knows_them(spool: Spool, connection: Connection) -> None:
    kept(spool, "old", age_s=2000.0)
    kept(Spool(spool.folder, origin="there"), "other", age_s=2000.0)
    know(connection, "old")

    assert server(spool, connection).sweep() == ["old", "other"]
