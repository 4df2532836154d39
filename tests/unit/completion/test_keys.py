"""Keys: made once, kept from others, refused when damaged; signatures hold for what was signed and nothing else."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.proofs import identity_of

from taskexec.completion.keys import Identity, KeyFolder, fingerprint, is_signed
from taskexec.domain.proof import completion_message, head_message, is_public_key
from taskexec.errors import KeyUnusable, NotFound, UsageError

MAKE = "import sys; from pathlib import Path; from taskexec.completion.keys import KeyFolder; \
print(KeyFolder(Path(sys.argv[1])).identity().public)"


def test_identity_is_made_once_and_then_the_same(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "config" / "keys")

    first, second = folder.identity(), folder.identity()

    assert first.public == second.public
    assert is_public_key(first.public)
    assert (folder.path / "identity.pem").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.path.iterdir()] == ["identity.pem"]


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path / "keys")]

    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    found = {process.communicate()[0] for process in started}

    assert {process.returncode for process in started} == {0}
    assert found == {KeyFolder(tmp_path / "keys").identity().public + "\n"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    folder = KeyFolder(tmp_path)
    folder.identity()
    (tmp_path / "identity.pem").chmod(mode)

    with pytest.raises(KeyUnusable) as caught:
        folder.identity()

    assert (caught.value.code, caught.value.exit_status) == ("key.unusable", 2)
    assert "chmod 600" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_damaged_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeyUnusable):
        KeyFolder(tmp_path).identity()

    assert path.read_bytes() == content


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path / "identity.pem"
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)

    with pytest.raises(KeyUnusable, match="not an Ed25519 key"):
        KeyFolder(tmp_path).identity()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeyUnusable) as caught:
        KeyFolder(tmp_path / "file" / "keys").identity()

    assert "security.keys_dir" in str(caught.value.hint)


def test_signature_holds_for_what_was_signed_only() -> None:
    one, other = identity_of(1), identity_of(2)
    signature = one.sign(b"data")

    assert is_signed(one.public, signature, b"data")
    assert not is_signed(one.public, signature, b"date")
    assert not is_signed(other.public, signature, b"data")


@given(st.text(), st.text(), st.binary())
def test_nonsense_is_no_signature_and_no_error(public: str, signature: str, data: bytes) -> None:
    assert not is_signed(public, signature, data)
    assert not is_signed(identity_of(1).public, signature, data)


def test_other_text_for_the_same_signature_is_refused() -> None:
    identity = identity_of(1)
    signature = identity.sign(b"data")
    spelled = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="  # the last bits of base64 mean nothing

    same = base64.b64decode(spelled) == base64.b64decode(signature)
    assert not (same and is_signed(identity.public, spelled, b"data"))


def test_head_and_records_are_signed_as_the_protocol_says() -> None:
    identity = identity_of(1)

    head = identity.sign_head(b'{"run":"r"}')
    seal = identity.seal("r", [b'{"a":1}\t{"inline":1}', b"{}"])

    assert is_signed(head.key, head.signature, head_message(b'{"run":"r"}'))
    assert is_signed(seal.key, seal.signature, completion_message("r", seal.digests))
    assert seal.digests == identity.seal("r", [b'{"a":1}', b"{}\tx"]).digests  # inline evidence has its own digests


def test_trust_is_of_oneself_the_folder_and_the_settings(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    own, friend, colleague, stranger = (identity_of(number) for number in range(4))
    folder.add_trusted(friend.public, "friend")

    trust = folder.trust([colleague.public], own=own)

    assert [trust.name_of(one.public) for one in (own, friend, colleague, stranger)] == [
        "own",
        "friend",
        "security.trusted_keys",
        None,
    ]
    assert stranger.public not in trust


def test_trusted_key_can_be_forgotten_by_name_and_by_key(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    one, other = identity_of(1).public, identity_of(2).public
    folder.add_trusted(one, "one")
    name = folder.add_trusted(other)

    assert name == fingerprint(other)
    assert folder.remove_trusted("one") == ["one"]
    assert folder.remove_trusted(other) == [name]
    assert folder.trusted() == {}
    with pytest.raises(NotFound):
        folder.remove_trusted("one")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "a b", "x" * 101])
def test_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        KeyFolder(tmp_path).add_trusted(identity_of(1).public, name)


def test_what_is_no_key_is_not_trusted(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    for text in ("", "abc", identity_of(1).public[:-1], identity_of(1).public + "="):
        with pytest.raises(UsageError):
            folder.add_trusted(text, "name")

    folder.add_trusted(identity_of(1).public, "name")
    with pytest.raises(UsageError, match="name of another key"):
        folder.add_trusted(identity_of(2).public, "name")


def test_damaged_trusted_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "friend.pub").write_text("nothing")

    with pytest.raises(KeyUnusable, match=r"friend\.pub"):
        KeyFolder(tmp_path).trust()


def test_identity_that_is_kept_nowhere_signs(tmp_path: Path) -> None:
    assert is_signed(Identity.generate().public, "", b"") is False
    assert os.listdir(tmp_path) == []
