"""Whatever is changed in a run's folder is found and named: bytes, lines, files, signatures, keys."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from support.proofs import StagedRun, identity_of, relink, trust_in

from taskexec.completion.keys import Trust
from taskexec.completion.proof import Verification, verify_folder
from taskexec.domain.proof import completion_message, head_message

Verify = Callable[[Path], Verification]


def ledger_lines(folder: Path) -> list[bytes]:
    return (folder / "ledger.jsonl").read_bytes().splitlines()


def write_ledger(folder: Path, lines: list[bytes]) -> None:
    (folder / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def flips(data: bytes, step: int) -> Iterator[tuple[int, bytes]]:
    """Yield positions, each with the data in which one bit there is another; which one changes from byte to byte."""
    for at in range(0, len(data), step):
        yield at, data[:at] + bytes([data[at] ^ (1 << at % 7)]) + data[at + 1 :]


def evidence_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "tasks").rglob("*") if path.is_file())


def test_sound_folder_has_no_problem_and_says_what_was_checked(sound: Path, verify: Verify) -> None:
    found = verify(sound)

    assert (found.ok, found.problems, found.warnings) == (True, (), ())
    assert (found.is_complete, found.status) == (True, "succeeded")
    assert found.checked["entries"] == len(ledger_lines(sound))
    assert (found.checked["tasks"], found.checked["attempts"], found.checked["signatures"]) == (3, 4, 5)
    assert found.checked["files"] == len(evidence_files(sound))
    assert [signer.role for signer in found.signers] == ["submitter", "worker"]


SOME_OR_ALL = pytest.mark.parametrize("step", [29, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
"""Every 29th byte, and in the long run every byte."""


@SOME_OR_ALL
def test_changed_byte_of_the_ledger_is_found_at_its_line(folder: Path, verify: Verify, step: int) -> None:
    path = folder / "ledger.jsonl"
    sound = path.read_bytes()
    missed = []

    for at, changed in flips(sound, step):
        path.write_bytes(changed)
        found = verify(folder)
        line = sound.count(b"\n", 0, at) + 1
        if found.ok or found.problems[0].entry is None or found.problems[0].entry > line:
            missed.append(at)

    assert missed == []


@SOME_OR_ALL
def test_changed_byte_of_the_summary_is_found(folder: Path, verify: Verify, step: int) -> None:
    path = folder / "run.json"
    missed = []

    for at, changed in flips(path.read_bytes(), step):
        path.write_bytes(changed)
        if {problem.path for problem in verify(folder).problems} != {"run.json"}:
            missed.append(at)

    assert missed == []


def test_changed_bytes_of_other_files_are_found_by_their_paths(folder: Path, verify: Verify) -> None:
    missed = []

    for path in (folder / "plan.json", folder / "canvas.json", *evidence_files(folder)):
        sound, shown = path.read_bytes(), path.relative_to(folder).as_posix()
        for at, changed in flips(sound, 1 + len(sound) // 20):
            path.write_bytes(changed)
            if shown not in {problem.path for problem in verify(folder).problems}:
                missed.append((shown, at))
        path.write_bytes(sound)

    assert missed == []


def test_every_removed_line_is_found(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)

    for at in range(len(lines)):
        write_ledger(folder, lines[:at] + lines[at + 1 :])
        found = verify(folder)
        assert not found.ok, at
        if at < len(lines) - 1:
            assert found.problems[0].entry == at + 1


def test_removed_end_is_found(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)

    for count in range(len(lines)):
        write_ledger(folder, lines[:count])
        assert not verify(folder).ok, count


def test_every_two_swapped_neighbours_are_found(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)

    for at in range(len(lines) - 1):
        write_ledger(folder, [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]])
        assert verify(folder).problems[0].entry == at + 1


def test_every_line_told_twice_is_found(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)

    for at in range(len(lines)):
        write_ledger(folder, [*lines[: at + 1], lines[at], *lines[at + 1 :]])
        assert verify(folder).problems[0].entry == at + 2


def test_every_two_swapped_files_are_found(folder: Path, verify: Verify) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]

    for one, other in itertools.combinations(files, 2):
        here, there = one.read_bytes(), other.read_bytes()
        if here != there:
            one.write_bytes(there)
            other.write_bytes(here)
            assert not verify(folder).ok, (one, other)
            one.write_bytes(here)
            other.write_bytes(there)
    assert verify(folder).ok


def test_every_missing_file_is_named(folder: Path, verify: Verify) -> None:
    for path in [folder / "run.json", folder / "plan.json", folder / "canvas.json", *evidence_files(folder)]:
        sound = path.read_bytes()
        path.unlink()
        assert path.relative_to(folder).as_posix() in {problem.path for problem in verify(folder).problems}
        path.write_bytes(sound)
    assert verify(folder).ok


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "tasks/notes.txt",
        "tasks/nobody/attempt-1/stdout.log",
        "tasks/a/notes.txt",
        "tasks/a/attempt-1/notes.txt",
        "tasks/a/attempt-1/late_result.json",
        "tasks/a/attempt-1/files/sub/g.txt",
        "tasks/a/attempt-2/stdout.log",
        "tasks/a/attempt-01/stdout.log",
        "tasks/a/.attempt-1.partial/stdout.log",
        "tasks/a/attempt-1/.fetch-0123",
    ],
)
def test_file_that_nobody_speaks_of_is_named(folder: Path, verify: Verify, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")

    (problem,) = verify(folder).problems

    assert problem.path is not None
    assert name.startswith(problem.path)


def test_link_in_place_of_a_folder_is_found(folder: Path, verify: Verify) -> None:
    shutil.move(folder / "tasks" / "a", folder.parent / "elsewhere")
    (folder / "tasks" / "a").symlink_to(folder.parent / "elsewhere")

    assert "tasks/a" in {problem.path for problem in verify(folder).problems}


def test_link_and_pipe_in_place_of_a_file_are_found(folder: Path, verify: Verify) -> None:
    path = folder / "tasks" / "a" / "attempt-1" / "stdout.log"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")
    linked = verify(folder)
    path.unlink()
    os.mkfifo(path)
    piped = verify(folder)

    assert {problem.path for problem in linked.problems} == {"tasks/a/attempt-1/stdout.log"}
    assert {problem.path for problem in piped.problems} == {"tasks/a/attempt-1/stdout.log"}


def test_exchanged_signatures_are_found_in_a_chain_that_was_made_anew(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)
    signed = [at for at, line in enumerate(lines) if b'"event":"signed"' in line]
    one, other = (orjson.loads(lines[at]) for at in signed[:2])
    lines[signed[0]] = orjson.dumps(one | {"signature": other["signature"]})
    write_ledger(folder, relink(lines))

    found = verify(folder)

    assert found.problems[0].entry == signed[0] + 1


def test_record_that_was_changed_with_all_hashes_is_found(folder: Path, verify: Verify, small_run: StagedRun) -> None:
    """Somebody changes a result and every digest and hash that covers it; only the worker's signature tells."""
    path = folder / "tasks" / "a" / "attempt-1" / "result.json"
    before = hashlib.sha256(path.read_bytes()).hexdigest().encode()
    record = orjson.loads(path.read_bytes()) | {"pid": 4}
    path.write_bytes(orjson.dumps(record))
    after = hashlib.sha256(path.read_bytes()).hexdigest().encode()
    write_ledger(folder, relink([line.replace(before, after) for line in ledger_lines(folder)]))
    settle_summary(folder)

    found = verify(folder)

    assert [problem.what for problem in found.problems] == [
        "the worker's signature does not hold for the records that it covers"
    ]


def settle_summary(folder: Path) -> None:
    """Have `run.json` name the ledger's last hash, whatever that is now."""
    summary = orjson.loads((folder / "run.json").read_bytes())
    summary["ledger_head"] = orjson.loads(ledger_lines(folder)[-1])["hash"]
    (folder / "run.json").write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))


def test_signature_that_is_removed_with_its_line_is_found(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)
    at = next(at for at, line in enumerate(lines) if b'"event":"signed"' in line)
    write_ledger(folder, relink(lines[:at] + lines[at + 1 :]))
    settle_summary(folder)

    assert any("no worker has signed" in problem.what for problem in verify(folder).problems)


def test_attacker_who_makes_everything_anew_is_found_by_trust(folder: Path, trust: Trust) -> None:
    """Somebody signs head and completions with a key of theirs: all holds, but nobody knows the key."""
    stranger, digests, lines = identity_of(66), {}, []
    for line in ledger_lines(folder):
        entry = orjson.loads(line)
        digests[entry["seq"]] = entry.get("evidence", {}).get("result.json")
        if entry["event"] == "submitted":
            head = orjson.dumps(entry["head"], option=orjson.OPT_SORT_KEYS)
            entry |= {"key": stranger.public, "signature": stranger.sign(head_message(head))}
            run_id = entry["head"]["run"]
        elif entry["event"] == "signed":
            message = completion_message(run_id, [digests[seq] for seq in entry["covers"]])
            entry |= {"key": stranger.public, "signature": stranger.sign(message)}
        lines.append(orjson.dumps(entry))
    write_ledger(folder, relink(lines))
    settle_summary(folder)

    loose, strict = verify_folder(folder, trust), verify_folder(folder, trust, only_trusted=True)

    assert (loose.ok, len(loose.warnings)) == (True, 2)
    assert not any(signer.is_trusted for signer in loose.signers)
    assert len(strict.problems) == 2
    assert stranger.public in strict.problems[0].what
    assert verify_folder(folder, trust_in(stranger), only_trusted=True).ok


def test_nonsense_in_a_well_made_chain_is_a_problem_and_not_a_crash(folder: Path, verify: Verify) -> None:
    lines = ledger_lines(folder)
    nonsense = [{}, {"head": 3}, {"head": {}}, {"attempt": "1"}, {"evidence": []}, {"covers": [None]}, {"event": "x"}]
    nonsense += [{"task": "nobody"}, {"task": 7}, {"worker": 3}, {"at": "today"}, {"key": "é"}, {"digests": "x"}]

    for at, change in itertools.product(range(len(lines)), nonsense[1:]):
        changed = [*lines[:at], orjson.dumps(orjson.loads(lines[at]) | change), *lines[at + 1 :]]
        write_ledger(folder, relink(changed))
        assert not verify(folder).ok, (at, change)


def test_folder_without_a_ledger_is_none_of_a_run(tmp_path: Path, trust: Trust) -> None:
    from taskexec.errors import NotFound

    with pytest.raises(NotFound):
        verify_folder(tmp_path, trust)
