"""Keys: the Ed25519 identity of a user or worker, and which public keys are trusted.

A key folder holds `identity.pem` (PKCS8, readable by its owner only) and `trusted/<name>.pub`, one public key a file.
A public key is written as the base64 of its 32 bytes; `fingerprint` shortens it for people.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskexec.domain.proof import Seal, SignedHead, completion_message, head_message, is_public_key, record_digest
from taskexec.errors import KeyUnusable, NotFound, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Identity", "KeyFolder", "Trust", "fingerprint", "is_signed"]

_PRIVATE_MODE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OWN = "own"
_FROM_SETTINGS = "security.trusted_keys"
_NAME = re.compile(r"\w[\w.@+-]{0,99}")


def fingerprint(public: str) -> str:
    """Return the short form of a public key for people: 16 hexadecimal digits of its SHA-256, in fours.

    >>> fingerprint("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    '6668-7aad-f862-bd77'
    """
    try:
        data = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError):
        data = public.encode(errors="replace")
    digits = hashlib.sha256(data).hexdigest()[:16]
    return "-".join(digits[at : at + 4] for at in range(0, 16, 4))


def is_signed(public: str, signature: str, data: bytes) -> bool:
    """Return whether a signature (base64) of data was made with the private key of `public`; False for nonsense."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not is_public_key(public):
        return False
    try:
        made = base64.b64decode(signature, validate=True)
        if base64.b64encode(made).decode() != signature:  # another text for the same bytes is a changed text
            return False
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(made, data)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


class Identity:
    """A private key in use: who signs heads of runs and records of attempts."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public: str = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        """Its public key, 32 bytes in base64."""

    @classmethod
    def generate(cls) -> Identity:
        """Return a new identity that is kept nowhere."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> str:
        """Return the signature of data, 64 bytes in base64; the same data gives the same signature."""
        return base64.b64encode(self._private.sign(data)).decode()

    def sign_head(self, head: bytes) -> SignedHead:
        """Return the head of a run (canonical JSON) as its submitter signs it."""
        return SignedHead(head, self.public, self.sign(head_message(head)))

    def seal(self, run_id: str, records: Iterable[bytes]) -> Seal:
        """Return the signature of the records that one call completes, in order."""
        digests = tuple(map(record_digest, records))
        return Seal(self.public, self.sign(completion_message(run_id, digests)), digests)


@dataclass(frozen=True, slots=True)
class Trust:
    """Which public keys are trusted, and by which name."""

    names: Mapping[str, str]
    """Public key -> name: `own`, the name of its file, or the setting it stands in."""

    def __contains__(self, public: object) -> bool:
        return public in self.names

    def name_of(self, public: str) -> str | None:
        """Return the name of a trusted key; None for one that is not trusted."""
        return self.names.get(public)


class KeyFolder:
    """The folder that holds a user's identity and the keys that the user trusts; made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity_file = path / "identity.pem"
        self._trusted = path / "trusted"

    def identity(self) -> Identity:
        """Return the identity; it is made at first use, and of several processes that make it one wins.

        Raises:
            KeyUnusable: The file is damaged, others can read it, or it cannot be read or made.
        """
        try:
            if not self._identity_file.exists():
                self._make_identity()
            return self._read_identity()
        except OSError as error:
            raise KeyUnusable(
                f"the key `{self._identity_file}` cannot be used: {error.strerror or error}",
                hint="see to the folder, or name another one with security.keys_dir (TEK_SECURITY_KEYS_DIR)",
            ) from error

    def _make_identity(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        draft = self.path / f".identity.{os.getpid()}-{secrets.token_hex(4)}.tmp"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another process was first: then its key counts
                os.link(draft, self._identity_file)
        finally:
            draft.unlink()

    def _read_identity(self) -> Identity:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        with self._identity_file.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read()
        if mode & _OTHERS:
            raise KeyUnusable(
                f"the key `{self._identity_file}` can be read or written by others (mode {stat.S_IMODE(mode):04o})",
                hint=f"if nobody has copied it, `chmod 600 {self._identity_file}`; else remove it: a new one is made",
            )
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self._damaged("is not a private key in PKCS8 PEM form without password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise self._damaged("is not an Ed25519 key")
        return Identity(key)

    def _damaged(self, what: str) -> KeyUnusable:
        return KeyUnusable(
            f"the key `{self._identity_file}` {what}",
            hint="bring it back from a copy, or remove it: a new one is made, which others have to trust anew",
        )

    def trusted(self) -> dict[str, str]:
        """Return the trusted keys of the folder, name -> public key, by name.

        Raises:
            KeyUnusable: A file there holds no public key, or cannot be read.
        """
        found = {}
        for path in sorted(self._trusted.glob("*.pub")):
            try:
                text = path.read_text(encoding="utf-8", errors="replace").strip()
            except OSError as error:
                raise KeyUnusable(
                    f"the trusted key `{path}` cannot be read: {error.strerror or error}", hint="see to it or remove it"
                ) from error
            if not is_public_key(text):
                raise KeyUnusable(
                    f"`{path}` holds no public key", hint="write it anew with `tek keys trust`, or remove it"
                )
            found[path.stem] = text
        return found

    def trust(self, extra: Iterable[str] = (), *, own: Identity | None = None) -> Trust:
        """Return what is trusted: the keys of the folder, those of the settings (`extra`), and one's own.

        Raises:
            KeyUnusable: A file in the folder holds no public key.
        """
        names = dict.fromkeys(extra, _FROM_SETTINGS)
        names |= {public: name for name, public in self.trusted().items()}
        return Trust(names if own is None else names | {own.public: _OWN})

    def add_trusted(self, public: str, name: str | None = None) -> str:
        """Trust a public key from now on; return its name (its fingerprint when none is given).

        Raises:
            UsageError: It is no public key, or the name is none or belongs to another key.
        """
        if not is_public_key(public):
            raise UsageError(
                f"`{public}` is not a public key", hint="a key is 44 characters of base64, as `tek keys` prints it"
            )
        name = name or fingerprint(public)
        if not _NAME.fullmatch(name):
            raise UsageError(f"`{name}` cannot be the name of a key", hint="use letters, digits and . _ @ + -")
        known = self.trusted()
        if known.get(name, public) != public:
            raise UsageError(f"`{name}` is the name of another key", hint=f"`tek keys untrust {name}` forgets that one")
        self._trusted.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._trusted / f".{name}.{os.getpid()}.tmp"
        draft.write_text(public + "\n", encoding="ascii")
        draft.replace(self._trusted / f"{name}.pub")
        return name

    def remove_trusted(self, wanted: str) -> list[str]:
        """Trust a key, or the key of a name, no longer; return the names it had.

        Raises:
            NotFound: The folder has no such key.
        """
        names = [name for name, public in self.trusted().items() if wanted in {name, public}]
        if not names:
            raise NotFound(f"`{wanted}` is not a trusted key in {self._trusted}", hint="`tek keys list` lists them")
        for name in names:
            (self._trusted / f"{name}.pub").unlink(missing_ok=True)
        return names
