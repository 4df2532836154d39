"""The port of the store of runs: what the latch, submitters and workers need of it, whatever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskexec.domain.events import LogEntry
from taskexec.domain.program import Begun, Claim, Completion, Member, Program, Reaped, RunHead
from taskexec.domain.proof import Seal, SignedHead
from taskexec.errors import TasksBlocked, TasksBusy

__all__ = ["RunStore", "lease_name", "retry_refused"]


class RunStore(Protocol):
    """What the latch, submitters and workers need of a store.

    Every method may be repeated after `ConnectionLost`; a repeated call changes nothing that the first one did.
    """

    def put(self, program: Program) -> None:
        """Store a program; its run is then `pending`, and tasks that are done are final. A stored one is left alone."""

    def start(self, run_id: str) -> None:
        """Queue what waits for nothing; a run whose tasks are all satisfied has then succeeded.

        Raises:
            NotFound: No such run.
        """

    def claim(self, run_id: str, members: Sequence[Member], *, worker: str, token: str, lease_s: float) -> Claim:
        """Win members of a message, each with a lease of `lease_s` seconds."""

    def enter(
        self, run_id: str, member: Member, rank: int, *, worker: str, token: str, lease_s: float, told: str
    ) -> Claim:
        """Have a rank above 0 of a distributed task begin, with a lease of its own; nothing is claimed if it may not.

        Who leads it hears `begun <rank>` at its bell. `told` says where the rank is to be found, in one line. When any
        lease of the attempt ends, all of them do, and those who held them hear `lost`, `cancelled` or `over`.
        """

    def part(self, run_id: str, member: Member, rank: int, *, worker: str, token: str, record: bytes) -> bool:
        """End a rank above 0 whose processes have ended, and give back what it holds; return whether it still counted.

        Who leads it hears `done <rank> <record>` at its bell then.
        """

    def begun(self, run_id: str, member: Member, ranks: int) -> list[Begun | None]:
        """Return the ranks of a distributed attempt that have begun, by rank; None for those that have not."""

    def renew(self, run_id: str, leases: Sequence[str], *, worker: str, lease_s: float) -> list[int]:
        """Renew leases (`lease_name`); return the positions of those no longer held."""

    def complete(
        self,
        run_id: str,
        completions: Sequence[Completion],
        *,
        worker: str,
        agent: str,
        spent_s: float,
        seal: Seal | None = None,
    ) -> list[bool]:
        """Complete attempts; return, for each, whether it was accepted (else another attempt owns the task).

        `seal` is the worker's signature of their records, in this order; None when it signs nothing.
        """

    def release(self, run_id: str, members: Sequence[Member], *, worker: str, token: str) -> int:
        """Give back members that were claimed and not started; return how many."""

    def lose(self, run_id: str, members: Sequence[Member], *, worker: str, record: bytes) -> int:
        """End attempts that were lost with their process: these members, or all of the worker's when empty."""

    def take_back(self, run_id: str, *, worker: str) -> int:
        """Take back from a worker what was placed on it and has not started, for another place; return how many."""

    def reap(self, run_id: str, *, worker: str, lease_s: float, record: bytes) -> Reaped:
        """End lapsed leases, queue again what was popped and never claimed or is due, stop a run whose time is up."""

    def stop(self, run_id: str, *, kill: bool) -> str:
        """Cancel what has not started, with `kill` what runs as well; return the run's status.

        Raises:
            NotFound: No such run.
        """

    def retry(self, run_id: str, indexes: Sequence[int], *, by: bytes, request: str) -> list[int]:
        """Have tasks that have ended run again, and all that depends on them; return which, in plan order.

        Succeeded tasks stand unless they are among them. A run that had ended goes on. `by` is a line of JSON: who and
        why. `request` names this call: when it is repeated after a lost answer, it gets the first one's answer.

        Raises:
            NotFound: No such run.
            TasksBusy: One of them is held, queued or runs; nothing was changed.
            TasksBlocked: A named task depends on one that has failed and is not among them; nothing was changed.
        """

    def signed_head(self, run_id: str) -> SignedHead:
        """Return the head of a run as its submitter signed it.

        Raises:
            NotFound: No such run.
        """

    def leaf_block(self, run_id: str, number: int) -> bytes:
        """Return one block of the leaves of a run's specs (`domain.proof`), empty when there is none."""

    def leaf_blocks(self, run_id: str) -> bytes:
        """Return the digests of all blocks of leaves, concatenated (`proof.blocks_digest`)."""

    def remove(self, run_id: str) -> bool:
        """Forget a run that has ended, or never began; return whether there was one.

        Raises:
            TasksBusy: It goes on; nothing was changed.
        """

    def head(self, run_id: str) -> RunHead:
        """Return where the run stands.

        Raises:
            NotFound: No such run.
        """

    def read_log(self, run_id: str, after: str = "0", *, wait_s: float = 0.0) -> list[LogEntry]:
        """Return entries after an entry id, oldest first; wait up to `wait_s` for the first one."""

    def protocol(self, run_id: str) -> int:
        """Return the version of a run's keys; the first where they name none, as those of a run that is gone."""

    def counted(self) -> dict[str, int]:
        """Return what was counted for good of all runs since the server began, by counter (`domain.counts`)."""

    def active(self) -> list[str]:
        """Return the runs that are started and not ended."""


def lease_name(member: Member, token: str) -> str:
    """Return the name of a member's lease."""
    return f"{member.index}|{member.attempt}|{token}"


def retry_refused(code: int, indexes: Sequence[int]) -> TasksBusy | TasksBlocked:
    """Return why tasks cannot run again, by the code of `retry.lua`."""
    if code == 1:
        return TasksBusy("tasks are held, queued or run", indexes=indexes, hint="wait for them, or stop the run first")
    hint = "have what they depend on run again as well, or use --failed"
    return TasksBlocked("tasks depend on something that has not succeeded", indexes=indexes, hint=hint)
