"""Tests of the ledger: the same log gives the same chain, and every change to it is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.completion.ledger import GENESIS, Ledger, check_chain, split_record
from taskexec.domain.events import LogEntry

Entry = Callable[..., LogEntry]
Record = Callable[..., str]


def sealed(entries: list[LogEntry]) -> list[bytes]:
    ledger = Ledger(["a", "b", "c"])
    return [line for entry in entries for line, _ in ledger.seal(entry)]


@pytest.fixture(scope="session")
def lines(entry: Entry, record: Record) -> list[bytes]:
    """A ledger of a run in which `a` is tried twice and fails, and `b` succeeds."""
    return sealed(
        [
            entry("A 0 0", "Q 0 1", "Q 1 1", second=1),
            entry("R 0 1", "R 1 1", second=2),
            entry(f"S 1 1 {record({'stdout.log': 'hello'})}", second=3),
            entry(f"T 0 1 {record(error='no')}", "Q 0 2", second=4),
            entry("R 0 2", f"F 0 2 {record(error='no', attempt=2)}", "X 2 0", "E failed 0", second=5),
        ]
    )


def test_sound_ledger_has_nothing_wrong(lines: list[bytes]) -> None:
    assert check_chain(iter(lines)) is None
    assert check_chain(line + b"\n" for line in lines) is None


def test_empty_ledger_has_nothing_wrong() -> None:
    assert check_chain(iter([])) is None


def test_entries_tell_what_happened(lines: list[bytes]) -> None:
    entries = [orjson.loads(line) for line in lines]

    assert [entry["seq"] for entry in entries] == list(range(1, len(lines) + 1))
    assert entries[0] == {
        "seq": 1,
        "at": "1970-01-01T00:00:01.000000Z",
        "event": "run_started",
        "entry": "1-0",
        "more": 2,
        "worker": "w",
        "prev": GENESIS,
        "hash": entries[0]["hash"],
    }
    assert (entries[-2]["event"], entries[-2]["task"], entries[-2]["because_of"]) == ("skipped", "c", "a")
    assert entries[-1]["status"] == "failed"


def test_entry_covers_the_digests_of_its_evidence(lines: list[bytes], record: Record) -> None:
    entry = next(orjson.loads(line) for line in lines if b'"succeeded"' in line)

    raw, _ = split_record(record({"stdout.log": "hello"}))
    assert entry["evidence"]["stdout.log"] == hashlib.sha256(b"hello").hexdigest()
    assert entry["evidence"]["result.json"] == hashlib.sha256(raw).hexdigest()


def test_chain_holds_each_entrys_own_hash(lines: list[bytes]) -> None:
    previous = GENESIS
    for line in lines:
        entry = orjson.loads(line)
        assert entry["prev"] == previous
        previous = entry.pop("hash")
        assert hashlib.sha256(orjson.dumps(entry)).hexdigest() == previous


@given(data=st.data())
def test_any_changed_byte_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 1))
    position = data.draw(st.integers(0, len(lines[at]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != lines[at][position] and value != 0x0A))
    changed = lines[at][:position] + bytes([byte]) + lines[at][position + 1 :]

    assert check_chain(iter([*lines[:at], changed, *lines[at + 1 :]])) is not None


@given(data=st.data())
def test_dropped_entry_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 2))

    assert check_chain(iter([*lines[:at], *lines[at + 1 :]])) is not None


@given(data=st.data())
def test_swapped_entries_are_found(lines: list[bytes], data: st.DataObject) -> None:
    one, two = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    swapped = list(lines)
    swapped[one], swapped[two] = swapped[two], swapped[one]

    assert check_chain(iter(swapped)) is not None


@given(data=st.data())
def test_inserted_entry_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines)))
    copied = data.draw(st.sampled_from(lines))

    assert check_chain(iter([*lines[:at], copied, *lines[at:]])) is not None


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"3", b"not json", b'{"seq":1}', b'{"prev":null,"seq":1}'])
def test_well_sealed_nonsense_is_found(content: bytes, lines: list[bytes]) -> None:
    body = content[:-1]
    forged = body + b',"hash":"' + hashlib.sha256(body + b"}").hexdigest().encode() + b'"}'

    assert check_chain(iter([forged])) is not None
    assert check_chain(iter([*lines, forged])) is not None


@pytest.mark.parametrize("line", [b"", b"\n", b"{}", b"\xff\xfe", b'{"hash":"\xff"}'])
def test_line_without_a_seal_is_found(line: bytes) -> None:
    assert check_chain(iter([line])) is not None


def test_same_log_gives_the_same_ledger(entry: Entry, record: Record) -> None:
    log = [entry("A 0 0", "Q 0 1"), entry("R 0 1", f"S 0 1 {record()}", second=2)]

    assert sealed(log) == sealed(log)


def test_other_time_or_worker_gives_another_ledger(entry: Entry) -> None:
    heads = {sealed([entry("Q 0 1", second=second, worker=worker)])[0] for second in (1, 2) for worker in ("v", "w")}

    assert len(heads) == 4
