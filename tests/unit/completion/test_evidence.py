"""Tests of evidence on its way: what travels inline, what in chunks, what is cut; digests are of what is kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.completion.evidence import CHUNK_BYTES, AttemptEvidence, EvidenceLimits, decode_inline
from taskexec.completion.spool import RunSpool, Spool

LIMITS = EvidenceLimits(inline_bytes=100, total_bytes=1_000_000)


class Receiver:
    """Puts chunks together as the submitter does."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.chunks = 0

    def __call__(self, chunk: dict[str, Any]) -> None:
        content = self.files.setdefault(chunk["f"], bytearray())
        assert chunk["o"] == len(content)
        assert len(chunk["d"]) <= CHUNK_BYTES
        content += chunk["d"]
        self.chunks += 1


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_short_streams_travel_inline() -> None:
    evidence = AttemptEvidence(receiver := Receiver(), LIMITS)
    evidence.write("stdout.log", b"out")
    evidence.write("stderr.log", b"\xff")

    account, inline = evidence.close()

    assert {name: decode_inline(value) for name, value in inline.items()} == {
        "stdout.log": b"out",
        "stderr.log": b"\xff",
    }
    assert account["stdout.log"] == {"bytes": 3, "sha256": hashlib.sha256(b"out").hexdigest()}
    assert receiver.chunks == 0


def test_empty_streams_are_accounted_for_and_take_no_space() -> None:
    account, inline = AttemptEvidence(Receiver(), LIMITS).close()

    assert account["stdout.log"] == account["stderr.log"] == {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    assert inline == {}


def test_long_streams_travel_in_chunks() -> None:
    evidence = AttemptEvidence(receiver := Receiver(), LIMITS)
    evidence.write("stdout.log", b"x" * 101)

    account, inline = evidence.close()

    assert receiver.files == {"stdout.log": b"x" * 101}
    assert inline == {}
    assert account["stdout.log"]["bytes"] == 101


@given(st.lists(st.tuples(st.sampled_from(["stdout.log", "stderr.log"]), st.binary(max_size=300)), max_size=30))
def test_what_arrives_is_what_was_written_and_what_the_digests_say(writes: list[tuple[str, bytes]]) -> None:
    evidence = AttemptEvidence(receiver := Receiver(), EvidenceLimits(inline_bytes=200, total_bytes=3000))

    for name, data in writes:
        evidence.write(name, data)
    account, inline = evidence.close()

    for name in ("stdout.log", "stderr.log"):
        written = b"".join(data for to, data in writes if to == name)
        arrived = bytes(receiver.files.get(name, b"")) + decode_inline(inline.get(name, ""))
        dropped = account[name].get("truncated", 0)
        assert len(arrived) == account[name]["bytes"] == len(written) - dropped
        assert hashlib.sha256(arrived).hexdigest() == account[name]["sha256"]
    assert sum(stream["bytes"] for stream in account.values()) <= 3000


def test_what_goes_beyond_the_limit_is_cut_and_counted() -> None:
    evidence = AttemptEvidence(Receiver(), EvidenceLimits(inline_bytes=100, total_bytes=10))
    evidence.write("stdout.log", b"12345678")
    evidence.write("stderr.log", b"abcdef")
    evidence.write("stdout.log", b"9")

    account, inline = evidence.close()

    assert inline == {"stdout.log": "12345678", "stderr.log": "ab"}
    assert (account["stdout.log"]["truncated"], account["stderr.log"]["truncated"]) == (1, 4)


def test_output_is_sent_on_while_a_process_runs() -> None:
    evidence = AttemptEvidence(receiver := Receiver(), LIMITS, clock=(clock := Clock()))
    evidence.write("stdout.log", b"early")
    evidence.tick()
    before = dict(receiver.files)

    clock.now += 1.0
    evidence.tick()

    assert before == {}
    assert receiver.files == {"stdout.log": b"early"}


def test_stream_that_was_sent_on_is_still_known_as_text() -> None:
    evidence = AttemptEvidence(Receiver(), LIMITS)
    evidence.write("stdout.log", b"4")
    evidence.flush()
    evidence.write("stdout.log", b"2")

    assert evidence.text_of("stdout.log") == "42"


@pytest.mark.parametrize("limit", [CHUNK_BYTES * 4, 10])
def test_text_that_is_long_or_cut_is_not_given(limit: int) -> None:
    evidence = AttemptEvidence(Receiver(), EvidenceLimits(inline_bytes=100, total_bytes=limit))
    evidence.write("stdout.log", b"x" * (CHUNK_BYTES + 1))

    assert evidence.text_of("stdout.log") is None


def test_files_arrive_whole_with_their_digests(tmp_path: Path) -> None:
    content = os.urandom(3 * CHUNK_BYTES + 5)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "data.bin").write_bytes(content)
    evidence = AttemptEvidence(receiver := Receiver(), LIMITS)

    evidence.add_folder(tmp_path)

    account, _ = evidence.close()
    assert receiver.files == {"files/a/b/data.bin": content}
    assert account["files/a/b/data.bin"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_empty_file_arrives_too(tmp_path: Path) -> None:
    (tmp_path / "done").touch()
    evidence = AttemptEvidence(Receiver(), LIMITS)

    evidence.add_folder(tmp_path)

    account, inline = evidence.close()
    assert inline == {"files/done": ""}
    assert account["files/done"]["bytes"] == 0


def test_files_beyond_the_limit_are_cut_and_counted(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1" * 60)
    (tmp_path / "two").write_bytes(b"2" * 60)
    evidence = AttemptEvidence(receiver := Receiver(), EvidenceLimits(inline_bytes=0, total_bytes=100))

    evidence.add_folder(tmp_path)

    account, _ = evidence.close()
    assert "truncated" not in account["files/one"]
    assert (account["files/two"]["bytes"], account["files/two"]["truncated"]) == (40, 20)
    assert receiver.files["files/two"] == b"2" * 40


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    evidence = AttemptEvidence(Receiver(), LIMITS)

    evidence.add_folder(tmp_path)

    assert set(evidence.close()[0]) == {"stdout.log", "stderr.log"}


def test_file_names_that_are_not_unicode_become_readable_and_stay_apart(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"caf\xe8", "café".encode()):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    evidence = AttemptEvidence(Receiver(), LIMITS)

    evidence.add_folder(tmp_path)

    account, inline = evidence.close()
    names = {name for name in account if name.startswith("files/")}
    assert len(names) == 3
    assert "files/café" in names
    assert all(name.encode() for name in names)
    assert sorted(map(decode_inline, inline.values())) == sorted([b"caf\xe9", b"caf\xe8", "café".encode()])


def test_stream_that_the_run_has_no_room_for_is_cut_there_and_stays_cut() -> None:
    room = [True, False, True]
    sent: list[bytes] = []

    def send(chunk: dict[str, Any]) -> bool:
        is_taken = room.pop(0)
        if is_taken:
            sent.append(chunk["d"])
        return is_taken

    evidence = AttemptEvidence(send, LIMITS)
    for data in (b"one", b"two", b"three"):
        evidence.write("stdout.log", data)
        evidence.flush()

    account, inline = evidence.close()

    assert sent == [b"one"]
    assert account["stdout.log"] == {"bytes": 3, "sha256": hashlib.sha256(b"one").hexdigest(), "truncated": 8}
    assert inline == {}
    assert evidence.text_of("stdout.log") is None


def test_file_that_the_run_has_no_room_for_is_there_and_empty(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 300)
    evidence = AttemptEvidence(lambda _: False, LIMITS)

    evidence.add_folder(tmp_path)

    account, inline = evidence.close()
    assert account["files/large"] == {"bytes": 0, "sha256": hashlib.sha256().hexdigest(), "truncated": 300}
    assert inline == {"files/large": ""}


def test_large_files_go_to_the_keeper_and_small_ones_do_not(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "large").write_bytes(b"x" * 2000)
    (tmp_path / "out" / "small").write_bytes(b"y" * 50)
    spool = RunSpool(Spool(tmp_path / "spool"), "run")
    limits = EvidenceLimits(inline_bytes=100, total_bytes=1_000_000, spool_above_bytes=1000, file_bytes=1500)
    evidence = AttemptEvidence(receiver := Receiver(), limits, keeper=spool)

    evidence.add_folder(tmp_path / "out")

    account, inline = evidence.close()
    digest = hashlib.sha256(b"x" * 1500).hexdigest()
    assert account["files/large"] == {"bytes": 1500, "sha256": digest, "spool": spool.id, "truncated": 500}
    assert inline == {"files/small": "y" * 50}
    assert receiver.files == {}


def test_many_small_files_do_not_make_a_record_long(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}").write_bytes(b"z" * 90)
    evidence = AttemptEvidence(receiver := Receiver(), LIMITS)

    evidence.add_folder(tmp_path)

    account, inline = evidence.close()
    assert len(inline) == 4
    assert len(receiver.files) == 16
    assert len(account) == 22


def test_pause_until_the_next_call_is_told() -> None:
    evidence = AttemptEvidence(Receiver(), LIMITS, clock=(clock := Clock()))
    before = evidence.tick()
    evidence.write("stdout.log", b"x")

    waiting = evidence.tick()
    clock.now += 1.0

    assert before is None
    assert waiting is not None
    assert 0 < waiting < 0.5
    assert evidence.tick() is None


def test_folder_that_is_a_link_leaves_nothing_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "big").write_bytes(b"x" * 200)
    (tmp_path / "out").symlink_to(theirs)
    keeper = RunSpool(Spool(tmp_path / "spool"), "r")
    limits = EvidenceLimits(inline_bytes=10, spool_above_bytes=100)
    evidence = AttemptEvidence(Receiver(), limits, keeper=keeper)

    evidence.add_folder(tmp_path / "out")

    assert set(evidence.close()[0]) == {"stdout.log", "stderr.log"}
    assert (theirs / "big").read_bytes() == b"x" * 200
