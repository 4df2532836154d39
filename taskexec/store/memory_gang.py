"""What a change of a run in memory does with the ranks of distributed tasks: `lua/gangs.lua`."""

from __future__ import annotations

from collections.abc import Iterator

from taskexec.domain.program import PARTED, Begun, Member, Rank
from taskexec.store.memory_run import MemoryRun, Surroundings
from taskexec.store.port import lease_name

__all__ = ["Gangs"]


class Gangs:
    """The part of a change that is about ranks; `Placing` has the rest about workers."""

    run: MemoryRun
    now_us: int
    _shared: Surroundings

    def ring(self, token: str, word: str) -> None:
        """Send a word to who waits at a bell: a delivery to a pool child, by its token."""
        self._shared.bells.setdefault(token, []).append(word)

    def hold_name(self, index: int, attempt: int, rank: int) -> str:
        """Return the name of what was taken for a rank before it has begun."""
        return f"{self.run.program.run_id}:{index}:{attempt}:{rank}"

    def begun_as(self, index: int, attempt: int, rank: int) -> str:
        """Return the token of a rank that has begun; empty for one that has not."""
        begun = self.run.gang.get((index, rank))
        return begun.token if begun is not None and begun.attempt == attempt else ""

    def hold_by_token(self, member: Member, rank: int, worker: str, token: str) -> None:
        """Have what was taken for a rank go by the token of the delivery that begins it."""
        holds = self._shared.nodes.holds.get(worker, {})
        name = self.hold_name(member.index, member.attempt, rank)
        if name in holds and token not in holds:
            holds[token] = holds.pop(name)
            holds[token].members = {(member.index, member.attempt)}

    def begin_rank(self, member: Member, rank: int, worker: str, begun: Begun) -> None:
        """Have a rank of a distributed task begin."""
        self.hold_by_token(member, rank, worker, begun.token)
        self.run.gang[member.index, rank] = begun

    def lead(self, member: Member, worker: str, token: str) -> None:
        """Have rank 0 begin."""
        placed = self.run.placed.get(member.index)
        if placed is not None and len(placed.ranks) == 1:
            self.hold_by_token(member, 0, worker, token)
        elif placed is not None:
            self.begin_rank(member, 0, worker, Begun(member.attempt, token, ""))

    def is_gang(self, index: int) -> bool:
        """Return whether a task is placed with several ranks."""
        return index in self.run.placed and len(self.run.placed[index].ranks) > 1

    def may_enter(self, member: Member, rank: int, worker: str) -> bool:
        """Return whether a rank above 0 was placed on a worker, for an attempt that waits for its leader or runs."""
        placed = self.run.placed.get(member.index)
        if not (self.run.is_queued(member) or self.run.is_running(member)) or placed is None or rank < 1:
            return False
        ranks: tuple[Rank, ...] = placed.ranks
        return placed.attempt == member.attempt and rank < len(ranks) and ranks[rank].worker == worker

    def enter(self, member: Member, rank: int, worker: str, begun: Begun) -> bool:
        """Have a rank above 0 begin; return whether it has, or had with the same token."""
        if not self.may_enter(member, rank, worker):
            return False
        if self.hold_name(member.index, member.attempt, rank) in self._shared.nodes.holds.get(worker, {}):
            self.begin_rank(member, rank, worker, begun)
            if leader := self.begun_as(member.index, member.attempt, 0):
                self.ring(leader, f"begun {rank}")
            return True
        return self.begun_as(member.index, member.attempt, rank) == begun.token

    def part(self, member: Member, rank: int, worker: str, token: str, record: str) -> bool:
        """End a rank above 0; return whether it still counted."""
        counted = self.run.lease.pop(lease_name(member, token), None) is not None
        if counted:
            self.run.gang[member.index, rank] = Begun(member.attempt, PARTED, "")
            if leader := self.begun_as(member.index, member.attempt, 0):
                self.ring(leader, f"done {rank} {record}")
        self._shared.nodes.give_back(worker, token, (member.index, member.attempt))
        return counted

    def close_gang(self, index: int, word: str) -> None:
        """End the ranks of a distributed attempt; those that have begun are told, and give back what they hold."""
        placed = self.run.placed.get(index)
        if placed is None or len(placed.ranks) < 2:
            return
        for number, rank in enumerate(placed.ranks):
            token = self.begun_as(index, placed.attempt, number)
            if token:
                self.run.lease.pop(lease_name(Member(index, placed.attempt), token), None)
                del self.run.gang[index, number]
                if token != PARTED and (number or word != "over"):  # who leads it has said so itself
                    self.ring(token, word)
            else:
                self._shared.nodes.give_back(rank.worker, self.hold_name(index, placed.attempt, number))

    def broken_gangs(self) -> Iterator[str]:
        """Yield the leases of leaders that wait for a rank which does not come any more: its worker is gone, or was."""
        holds = self._shared.nodes.holds
        for index in sorted(index for index, rank in self.run.gang if rank == 0):
            placed = self.run.placed.get(index)
            leader = "" if placed is None else self.begun_as(index, placed.attempt, 0)
            if placed is None or not leader:
                continue
            for number, rank in enumerate(placed.ranks):
                is_begun = self.begun_as(index, placed.attempt, number)
                if not is_begun and self.hold_name(index, placed.attempt, number) not in holds.get(rank.worker, {}):
                    yield lease_name(Member(index, placed.attempt), leader)
                    break
