"""What is signed and hashed, byte for byte: the head of a run, its specs, and the records of completions.

Pure functions of the standard library; keys and signatures are made and checked in `completion`.

A run's *head* is a JSON object in canonical form (`canonical_json`); its submitter signs `head_message` of it. It names
the plan's digest, the SHA-256 of `plan.json` and `canvas.json`, and the *root* of the specs, a hash tree of two
levels: a leaf is the SHA-256 of one task's spec with its index; `BLOCK_LEAVES` leaves make a block; the root is the
SHA-256 over the blocks' SHA-256. So a worker checks one task with the block that it is in.

A worker signs each call that completes attempts: `completion_message` of the digests of their records, in order. A
record names the results that its attempt was given (`given_fields`), so these are signed as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

__all__ = [
    "BLOCK_LEAVES",
    "GIVEN_FIELDS",
    "LEAF_BYTES",
    "NO_HEAD",
    "Seal",
    "SignedHead",
    "blocks_digest",
    "canonical_json",
    "completion_message",
    "given_fields",
    "head_message",
    "is_head_of",
    "is_public_key",
    "record_digest",
    "root_of_blocks",
    "spec_leaf",
    "taken_digest",
    "value_digest",
]

_KEY_BYTES = 32
LEAF_BYTES = 32
"""Length of a leaf."""
BLOCK_LEAVES = 256
"""Leaves of one block of the tree; the last one has what is left."""
GIVEN_FIELDS = ("given", "given_sha256")
"""What a record says of the results that its attempt was given; at most one of them."""
_GIVEN_MAX = 100
"""Most results that a record names one by one: one that collects those of a whole run stays small."""


class SignedHead(NamedTuple):
    """The head of a run as it was signed."""

    head: bytes
    """Canonical JSON: `run, plan, plan_sha256, canvas_sha256, root, tasks, dry_run, options, submitted_at`; for a
    run that takes over results of another one `taken_sha256` (`taken_digest`), and for one that was taken up again
    `continues`, the hash of the ledger entry before."""
    key: str = ""
    """The submitter's public key, 32 bytes in base64; empty when nobody signed."""
    signature: str = ""
    """Signature of `head_message(head)`, 64 bytes in base64."""


NO_HEAD = SignedHead(b"")
"""That of a run which nobody described or signed (in tests)."""


class Seal(NamedTuple):
    """A worker's signature of the attempts that one call completes."""

    key: str
    """The worker's public key, 32 bytes in base64."""
    signature: str
    """Signature of `completion_message`, 64 bytes in base64."""
    digests: tuple[str, ...]
    """Digest of each member's record (`record_digest`), in order."""


def is_public_key(text: str) -> bool:
    """Return whether a text is a public key: the base64 of 32 bytes, in its one form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(data) == _KEY_BYTES and base64.b64encode(data).decode() == text


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON in the one form that is signed: sorted names, no blanks, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def value_digest(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a JSON value in canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def taken_digest(taken: Mapping[int, bytes]) -> str:
    """Return the SHA-256 of the canonical JSON of a list, `[index, taken_from]` of each task taken over, by index.

    Args:
        taken: Index of the task -> `taken_from` as the ledger says it, as canonical JSON.
    """
    digest = hashlib.sha256(b"[")
    for number, index in enumerate(sorted(taken)):
        digest.update(b",[" if number else b"[")
        digest.update(b"%d," % index + taken[index] + b"]")
    digest.update(b"]")
    return digest.hexdigest()


def given_fields(digests: Mapping[str, str]) -> dict[str, Any]:
    """Return what a record says of the results that its attempt was given; nothing when there were none.

    Args:
        digests: Task -> `value_digest` of what it left, for those dependencies that left anything but null.
    """
    if not digests:
        return {}
    return {"given": dict(digests)} if len(digests) <= _GIVEN_MAX else {"given_sha256": value_digest(dict(digests))}


def is_head_of(head: bytes, run_id: str, plan_json: bytes, canvas_json: bytes) -> bool:
    """Return whether a head (signed or not: that is not looked at) speaks of this run, this plan and this canvas."""
    try:
        fields = orjson.loads(head)
    except orjson.JSONDecodeError:
        return False
    digests = {"plan_sha256": plan_json, "canvas_sha256": canvas_json}
    expected = {"run": run_id} | {name: hashlib.sha256(data).hexdigest() for name, data in digests.items()}
    return isinstance(fields, dict) and all(fields.get(name) == value for name, value in expected.items())


def head_message(head: bytes) -> bytes:
    """Return what the signature of a head covers."""
    return b"taskexec run 1\n" + head


def record_digest(record: bytes) -> str:
    """Return the SHA-256, in hexadecimal, of an attempt's record: the part of its line before the tab."""
    return hashlib.sha256(record.partition(b"\t")[0]).hexdigest()


def completion_message(run_id: str, digests: Iterable[str]) -> bytes:
    """Return what the signature of completions covers; each record names its task, attempt and status itself."""
    return "\n".join(("taskexec completions 1", run_id, *digests)).encode()


def spec_leaf(index: int, spec: bytes) -> bytes:
    """Return the leaf of a task's spec, as it is stored (dependency indexes, newline, JSON)."""
    return hashlib.sha256(b"%d\n" % index + spec).digest()


def blocks_digest(leaves: bytes) -> bytes:
    """Return the SHA-256 of each block of a run's leaves (concatenated), concatenated."""
    size = BLOCK_LEAVES * LEAF_BYTES
    return b"".join(hashlib.sha256(leaves[at : at + size]).digest() for at in range(0, len(leaves), size))


def root_of_blocks(blocks: bytes | Sequence[bytes]) -> str:
    """Return the root, in hexadecimal, of a tree with these digests of blocks."""
    return hashlib.sha256(blocks if isinstance(blocks, bytes) else b"".join(blocks)).hexdigest()
