"""`tek verify`, `tek keys` and `tek replay`, as people and scripts call them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.proofs import identity_of
from support.tek import Tek, tek_place

from taskexec.completion.keys import fingerprint

PLAN: list[dict[str, object]] = [
    {"id": "a", "command": "echo hello"},
    {"id": "b", "command": "sh -c 'echo 1 > $TEK_OUTPUT/f; echo 2'", "depends_on": "a"},
    {"id": "c", "command": "cat", "depends_on": "b"},
]


@pytest.fixture(scope="module")
def performed() -> Iterator[Tek]:
    """A place in which that plan was carried out."""
    with tek_place() as tek:
        tek.run(PLAN).expect(0)
        yield tek


@pytest.fixture
def finished(tek: Tek, performed: Tek) -> Tek:
    """A place of this test alone, with that run."""
    tek.resemble(performed)
    return tek


def test_verify_says_that_everything_holds_with_the_server_long_gone(finished: Tek) -> None:
    outcome = finished("verify", "--output", "json", "--trusted").expect(0)

    found = outcome.json
    assert (found["ok"], found["complete"], found["problems"], found["warnings"]) == (True, True, [], [])
    assert found["checked"]["tasks"] == 3
    assert [signer["name"] for signer in found["signers"]] == ["own", "own"]
    assert found["replay_hash"] == finished.only_home().summary["replay_hash"]
    assert "everything holds" in finished("verify", "last").expect(0).stdout


def test_verify_names_what_was_changed(finished: Tek) -> None:
    home = finished.only_home()
    (home.attempt("b") / "files" / "f").write_text("2\n")

    outcome = finished("verify", home.folder, "--output", "json").expect(1)

    (problem,) = outcome.json["problems"]
    assert set(problem) == {"entry", "path", "what"}
    assert problem["path"] == "tasks/b/attempt-1/files/f"
    assert finished("verify", "--output", "quiet").expect(1).stdout.startswith("entry ")
    assert "tasks/b/attempt-1/files/f" in finished("verify").expect(1).stdout


def test_verify_of_a_run_that_is_not_there_says_so(tek: Tek) -> None:
    tek("verify", "nothing").expect(2)
    tek("verify", "./nothing").expect(2)
    tek("verify", ".").expect(2)


def test_evidence_of_somebody_else_needs_their_key(finished: Tek) -> None:
    key = finished("keys", "--output", "quiet").stdout.strip()
    (finished.place.folder / "home" / ".config" / "taskexec" / "keys" / "identity.pem").unlink()

    warned = finished("verify", "--output", "json").expect(0)
    finished("verify", "--trusted").expect(1)
    finished("keys", "trust", key, "--name", "colleague").expect(0)

    assert len(warned.json["warnings"]) == 2
    assert finished("verify", "--trusted", "--output", "json").expect(0).json["signers"][0]["name"] == "colleague"


def test_keys_are_shown_trusted_listed_and_forgotten(tek: Tek) -> None:
    friend = identity_of(5).public

    shown = tek("keys", "--output", "json").expect(0).json
    tek("keys", "trust", friend, "--name", "friend").expect(0)
    listed = tek("keys", "list", "--output", "json").expect(0).json["keys"]
    tek("keys", "untrust", "friend").expect(0)

    assert tek("keys", "show").expect(0).stdout == shown["key"] + "\n"
    assert {(key["name"], key["key"]) for key in listed} == {("own", shown["key"]), ("friend", friend)}
    assert shown["fingerprint"] == fingerprint(shown["key"])
    assert len(tek("keys", "list", "--output", "quiet").expect(0).stdout.split()) == 1
    tek("keys", "untrust", "friend").expect(2)


def test_keys_refuses_what_makes_no_sense(tek: Tek) -> None:
    tek("keys", "trust").expect(2)
    tek("keys", "list", "key").expect(2)
    tek("keys", "show", "--name", "n").expect(2)
    assert "not a public key" in tek("keys", "trust", "abc").expect(2).stderr


def test_key_that_others_can_read_stops_a_run_before_it_begins(tek: Tek) -> None:
    tek("keys").expect(0)
    (tek.place.folder / "home" / ".config" / "taskexec" / "keys" / "identity.pem").chmod(0o644)

    outcome = tek.run(PLAN).expect(2)

    assert "error[key.unusable]" in outcome.stderr
    assert "chmod 600" in outcome.stderr


def test_replay_comes_to_the_same(finished: Tek) -> None:
    found = finished("replay", "--output", "json").expect(0).json

    assert (found["same"], found["difference"]) == (True, None)
    assert found["replay_hash"] == found["replay_hash_again"]
    assert len(list((finished.cwd / "runs").iterdir())) == 2


def test_replay_names_the_first_difference(tek: Tek) -> None:
    tek.run([{"id": "a", "command": "date +%s%N"}, {"id": "b", "command": "true", "depends_on": "a"}]).expect(0)

    found = tek("replay", "--output", "json").expect(1).json

    assert found["difference"]["task"] == "a"
    assert found["difference"]["what"] == "result"
    assert "a" in tek("replay", "--output", "quiet").expect(1).stdout
