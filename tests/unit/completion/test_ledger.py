"""Tests of the ledger: the same log gives the same chain, and every change to it is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.completion.ledger import GENESIS, Ledger, check_chain, read_end, split_record
from taskexec.domain.events import LogEntry
from taskexec.domain.proof import Seal

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


SEAL = Seal("key", "signature", ())


def read(line: bytes) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(line)
    return content


def test_signature_stands_behind_the_records_that_it_covers(entry: Entry, record: Record) -> None:
    log = entry(f"S 0 1 {record()}", "Q 1 1", f"T 2 1 {record()}", f"D 0 1 {record()}", second=7)
    ledger = Ledger(["a", "b", "c"])

    *before, (line, transition) = ledger.seal(replace(log, seal=SEAL))

    signed = read(line)
    assert transition is None
    assert (signed["event"], signed["entry"], signed["worker"]) == ("signed", "7-0", "w")
    assert (signed["key"], signed["signature"], signed["covers"]) == ("key", "signature", [1, 3, 4])
    assert "digests" not in signed
    assert [read(line).get("more") for line, _ in before] == [4, 3, 2, 1]


def test_signature_that_covers_more_lists_all_digests(entry: Entry, record: Record) -> None:
    log = replace(entry(f"S 0 1 {record()}"), seal=Seal("key", "signature", ("x", "y")))

    assert read(list(Ledger(["a"]).seal(log))[-1][0])["digests"] == ["x", "y"]


def test_late_result_is_told_by_its_digest_only(entry: Entry, record: Record) -> None:
    ((line, _),) = Ledger(["a"]).seal(entry(f"D 0 1 {record(error='late')}"))

    digest = hashlib.sha256(split_record(record(error="late"))[0]).hexdigest()
    assert read(line)["evidence"] == {"late_result.json": digest}
    assert "error" not in read(line)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('U 0 0 {"run":"r"}\tk\ts', {"event": "submitted", "head": {"run": "r"}, "key": "k", "signature": "s"}),
        ('O 0 0 {"who":"me"}', {"event": "run_reopened", "by": {"who": "me"}}),
        ("G 1 2", {"event": "retried", "task": "b", "attempt": 2}),
        ("H 1 2 2000000", {"event": "delayed", "task": "b", "attempt": 2, "due_at": "1970-01-01T00:00:02.000000Z"}),
        ("N 1 1 1500000", {"event": "renewed_after_gap", "task": "b", "late_s": 1.5}),
        ("K 0 0", {"event": "time_is_up"}),
        ("P 1 0", {"event": "satisfied", "task": "b"}),
        ('P 1 0 {"run":"q"}', {"event": "satisfied", "task": "b", "taken_from": {"run": "q"}}),
        ("E failed 0", {"event": "run_ended", "status": "failed"}),
    ],
)
def test_every_kind_of_transition_has_its_fields(entry: Entry, line: str, fields: dict[str, Any]) -> None:
    ((sealed_line, _),) = Ledger(["a", "b"]).seal(entry(line))

    assert fields.items() <= read(sealed_line).items()


def test_result_for_dependents_has_its_digest(entry: Entry, record: Record) -> None:
    ((line, _),) = Ledger(["a"]).seal(entry(f"S 0 1 {record(result={'b': 1, 'a': 2})}"))

    assert read(line)["result_sha256"] == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


def test_ledger_goes_on_where_its_file_ends(entry: Entry, record: Record, tmp_path: Path) -> None:
    log = [entry("A 0 0", "Q 0 1"), entry("R 0 1", second=2), entry(f"S 0 1 {record()}", "E succeeded 0", second=3)]
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in sealed(log[:2])))

    end = read_end(path)
    more = [line for line, _ in Ledger(["a", "b", "c"], after=end).seal(log[2])]

    assert (end.sequence, end.entry, end.size_bytes) == (3, "2-0", path.stat().st_size)
    assert sealed(log) == [*path.read_bytes().splitlines(), *more]


def test_end_of_a_file_that_was_cut_anywhere_is_behind_a_whole_log_entry(
    entry: Entry, record: Record, tmp_path: Path
) -> None:
    log = [entry("A 0 0", "Q 0 1"), entry("R 0 1", second=2), entry(f"S 0 1 {record()}", "Q 1 1", second=3)]
    lines = [line + b"\n" for line in sealed(log)]
    whole, path = b"".join(lines), tmp_path / "ledger.jsonl"
    ends = {0: "0", len(b"".join(lines[:2])): "1-0", len(b"".join(lines[:3])): "2-0", len(whole): "3-0"}

    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        end = read_end(path)
        assert end.size_bytes == max(at for at in ends if at <= size)
        assert end.entry == ends[end.size_bytes]
