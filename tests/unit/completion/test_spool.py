"""Tests of a spool: files are kept by their digest, and nothing but them is ever given away."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from taskexec.completion.spool import Spool, server_origin

RUN = "20261121-062229-803039d1c"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", origin="here")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"0123456789")
    return path


def names(spool: Spool) -> set[str]:
    return {path.name for path in (spool.folder / RUN).iterdir() if path.name != ".origin"}


def test_file_of_ours_is_moved_and_kept_by_its_digest(spool: Spool, source: Path) -> None:
    number = source.stat().st_ino

    kept = spool.keep(RUN, source, is_ours=True, limit_bytes=100)

    assert kept == (10, hashlib.sha256(b"0123456789").hexdigest(), 0)
    assert spool.path_of(RUN, kept.sha256).stat().st_ino == number
    assert not source.exists()


def test_file_of_others_is_copied_and_left_alone(spool: Spool, source: Path) -> None:
    kept = spool.keep(RUN, source, is_ours=False, limit_bytes=100)

    assert source.read_bytes() == spool.path_of(RUN, kept.sha256).read_bytes() == b"0123456789"
    assert source.stat().st_ino != spool.path_of(RUN, kept.sha256).stat().st_ino


def test_file_that_has_another_name_is_copied(spool: Spool, source: Path) -> None:
    other = source.with_name("other")
    os.link(source, other)

    kept = spool.keep(RUN, source, is_ours=True, limit_bytes=100)
    other.write_bytes(b"changed")

    assert spool.path_of(RUN, kept.sha256).read_bytes() == b"0123456789"


def test_what_lies_beyond_the_limit_is_dropped_and_counted(spool: Spool, source: Path) -> None:
    kept = spool.keep(RUN, source, is_ours=True, limit_bytes=4)

    assert kept == (4, hashlib.sha256(b"0123").hexdigest(), 6)
    assert spool.path_of(RUN, kept.sha256).read_bytes() == b"0123"


def test_nothing_is_left_of_a_file_that_could_not_be_kept(spool: Spool, source: Path) -> None:
    spool.keep(RUN, source, is_ours=False, limit_bytes=1)
    before = names(spool)
    (source.parent / "folder").mkdir()

    with pytest.raises(OSError):
        spool.keep(RUN, source.parent / "folder", is_ours=False, limit_bytes=100)

    assert names(spool) == before


def test_spool_is_private(spool: Spool, source: Path) -> None:
    spool.keep(RUN, source, is_ours=False, limit_bytes=100)

    assert spool.folder.stat().st_mode & 0o077 == 0


def test_all_who_ask_at_once_get_the_same_id(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(Spool(tmp_path / "new").id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert len(found[0]) == 32
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["id"]


@pytest.mark.parametrize("run_id", ["", ".", "..", "../spool", "a/b", "/etc", ".hidden", "a" * 300, "a\0"])
def test_run_that_is_no_plain_name_is_refused(spool: Spool, run_id: str) -> None:
    with pytest.raises(ValueError):
        spool.path_of(run_id, "0" * 64)


@pytest.mark.parametrize("sha256", ["", "id", "../id", "0" * 63, "0" * 64 + "\n", "g" * 64, ".origin"])
def test_digest_that_is_none_is_refused(spool: Spool, sha256: str) -> None:
    with pytest.raises(ValueError):
        spool.path_of(RUN, sha256)


def test_links_in_a_spool_are_not_followed(spool: Spool, source: Path) -> None:
    spool.keep(RUN, source, is_ours=False, limit_bytes=100)
    spool.path_of(RUN, "0" * 64).symlink_to("/etc/passwd")

    with pytest.raises(OSError):
        spool.open(RUN, "0" * 64)


def test_only_runs_of_the_own_server_are_listed(spool: Spool, source: Path) -> None:
    spool.keep(RUN, source, is_ours=False, limit_bytes=100)
    Spool(spool.folder, origin="there").keep("other", source, is_ours=False, limit_bytes=100)

    assert [run_id for run_id, _ in spool.runs()] == [RUN]


def test_old_files_of_every_server_are_removed(spool: Spool, source: Path) -> None:
    spool.keep(RUN, source, is_ours=False, limit_bytes=100)
    Spool(spool.folder, origin="there").keep("other", source, is_ours=False, limit_bytes=100)
    os.utime(spool.folder / "other", (1, 1))

    assert spool.remove_old(1000.0) == ["other"]
    assert sorted(path.name for path in spool.folder.iterdir()) == [RUN]


@pytest.mark.parametrize(
    "same",
    [
        "redis://worker:secret@server.example:6379/0",
        "redis://submitter:other%40@Server.Example",
        "rediss://:old@server.example./0?ssl_cert_reqs=none",
        "redis://server.example/3?db=0",
    ],
)
def test_users_of_one_database_have_one_origin(same: str) -> None:
    assert server_origin(same) == server_origin("redis://server.example:6379/0")


@pytest.mark.parametrize(
    "other",
    [
        "redis://other.example:6379/0",
        "redis://server.example:6380/0",
        "redis://server.example:6379/1",
        "redis://server.example?db=1",
        "unix:///server.example:6379",
    ],
)
def test_other_databases_have_other_origins(other: str) -> None:
    assert server_origin(other) != server_origin("redis://server.example:6379/0")


def test_origin_of_a_socket_is_its_path_and_database() -> None:
    assert server_origin("unix://worker:secret@/run/a.sock") == server_origin("unix:///run/a.sock?db=0")
    assert len({server_origin(f"unix:///run/{name}") for name in ("a.sock", "b.sock", "a.sock?db=1")}) == 3


def test_spool_stays_private_and_tells_nothing_of_the_address(tmp_path: Path, source: Path) -> None:
    spool = Spool(tmp_path / "private", origin=server_origin("redis://worker:hunter2@server.example"))

    spool.keep(RUN, source, is_ours=False, limit_bytes=100)

    said = (spool.folder / RUN / ".origin").read_text()
    assert not any(word in said for word in ("worker", "hunter2", "server"))
    assert spool.folder.stat().st_mode & 0o077 == 0
