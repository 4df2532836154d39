"""Authority: which claimed attempts a worker may perform, and its signature of what it performed.

A run's *warrant* is its signed head as this process has checked it. A task is performed when its instructions are the
ones that the head covers and the head was signed by a key that this worker trusts; what is refused is completed as
failed, with reason `refused` and an error that says what to do.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from taskexec.completion.keys import Identity, KeyFolder, Trust, fingerprint, is_signed
from taskexec.domain.program import ClaimedMember, Member, RunHead
from taskexec.domain.proof import BLOCK_LEAVES, LEAF_BYTES, Seal, SignedHead, head_message, root_of_blocks, spec_leaf
from taskexec.settings import SecuritySettings

__all__ = ["Authority", "HeadStore", "Warrant"]

_BLOCKS_KEPT = 512
_DIGEST_BYTES = 32


class HeadStore(Protocol):
    """What checking a run needs of the store; see `store.port.RunStore`."""

    def head(self, run_id: str) -> RunHead:
        """Return where the run stands."""

    def signed_head(self, run_id: str) -> SignedHead:
        """Return the head as its submitter signed it."""

    def leaf_block(self, run_id: str, number: int) -> bytes:
        """Return one block of the leaves."""

    def leaf_blocks(self, run_id: str) -> bytes:
        """Return the digests of all blocks."""


class Authority:
    """What a worker trusts, and whom it signs as; the same for all of its processes."""

    def __init__(self, *, identity: Identity | None, trust: Callable[[], Trust], require_signed: bool = True) -> None:
        """Decide for one worker.

        Args:
            identity: Who signs what this worker completes; None signs nothing.
            trust: Gives the trusted keys; asked for every run, so that a key may be added while the worker runs.
            require_signed: Whether runs that nobody signed are refused.
        """
        self._identity = identity
        self._trust = trust
        self._require_signed = require_signed

    @classmethod
    def of(cls, settings: SecuritySettings) -> Authority:
        """Return the authority that settings describe.

        Raises:
            KeyUnusable: The worker's key cannot be made or read, is damaged or open to others.
        """
        folder = KeyFolder(settings.keys_folder(os.environ))
        identity = folder.identity()
        return cls(
            identity=identity,
            trust=lambda: folder.trust(settings.trusted(), own=identity),
            require_signed=settings.require_signed,
        )

    def seal(self, run_id: str, records: Iterable[bytes]) -> Seal | None:
        """Return the worker's signature of the records that one call completes, in order."""
        return None if self._identity is None else self._identity.seal(run_id, records)

    def warrant(self, run_id: str, store: HeadStore) -> Warrant:
        """Check the head of a run once.

        Raises:
            NotFound: No such run.
            ConnectionLost: The server did not answer.
        """
        signed = store.signed_head(run_id)
        if not signed.key and not signed.signature:
            return Warrant(run_id, store.head(run_id).dry_run, self._unsigned(run_id), store)
        refusal = self._check_head(run_id, signed)
        if refusal:
            return Warrant(run_id, store.head(run_id).dry_run, refusal, store)
        head: Mapping[str, Any] = orjson.loads(signed.head)
        blocks = store.leaf_blocks(run_id)
        if root_of_blocks(blocks) != head["root"]:
            refusal = f"the instructions of run `{run_id}` are not those that were signed; submit the plan again"
        return Warrant(run_id, bool(head["dry_run"]), refusal, store, blocks)

    def _unsigned(self, run_id: str) -> str:
        if not self._require_signed:
            return ""
        return (
            f"run `{run_id}` is not signed, and this worker performs signed runs only; submit it with a `tek` that "
            "signs, or set security.require_signed = false for this worker"
        )

    def _check_head(self, run_id: str, signed: SignedHead) -> str:
        """Return why a head does not count; empty when it does."""
        if not is_signed(signed.key, signed.signature, head_message(signed.head)):
            return f"the signature of run `{run_id}` does not hold; submit the plan again"
        if self._require_signed and signed.key not in self._trust():
            return (
                f"run `{run_id}` was signed by the key {fingerprint(signed.key)}, which this worker does not trust; "
                f"to trust it, call `tek keys trust {signed.key}` on the worker, or add it to security.trusted_keys"
            )
        if _run_of(signed.head) != run_id:
            return f"run `{run_id}` carries the signed head of another run; submit the plan again"
        return ""


def _run_of(head: bytes) -> str | None:
    """Return the run that a head names; None when it is none of ours, whoever signed it."""
    try:
        fields = orjson.loads(head)
        return str(fields["run"]) if {"root", "dry_run"} <= fields.keys() else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


@dataclass(slots=True)
class Warrant:
    """What may be performed of one run, as one process has found out."""

    run_id: str
    is_dry_run: bool
    """As the signed head says; of a run without one, as the store says."""
    refusal: str
    """Why nothing of it is performed; empty when its tasks may be."""
    store: HeadStore
    blocks: bytes | None = None
    """Digests of the blocks of leaves that the signature covers; None when nothing was signed."""
    _kept: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    def refusals(self, members: Sequence[ClaimedMember]) -> dict[Member, str]:
        """Return the members that may not be performed, each with why.

        Raises:
            ConnectionLost: The server did not answer.
        """
        found = ((claimed.member, self._refusal(claimed)) for claimed in members)
        return {member: why for member, why in found if why}

    def _refusal(self, claimed: ClaimedMember) -> str:
        if self.refusal or self.blocks is None:
            return self.refusal
        index = claimed.member.index
        block = self._block(index // BLOCK_LEAVES)
        start = index % BLOCK_LEAVES * LEAF_BYTES
        leaf = spec_leaf(index, claimed.stored_spec)
        if block is not None and hmac.compare_digest(block[start : start + LEAF_BYTES], leaf):
            return ""
        return (
            f"the instructions of task {index} of run `{self.run_id}` are not those that were signed: they were "
            "changed on the server; find out by whom, then submit the plan again"
        )

    def _block(self, number: int) -> bytes | None:
        """Return a block of leaves that the signature covers; None when what the store has is another one."""
        assert self.blocks is not None
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        block = self.store.leaf_block(self.run_id, number)
        at = number * _DIGEST_BYTES
        if not hmac.compare_digest(hashlib.sha256(block).digest(), self.blocks[at : at + _DIGEST_BYTES]):
            return None
        self._kept[number] = block
        if len(self._kept) > _BLOCKS_KEPT:
            self._kept.popitem(last=False)
        return block
