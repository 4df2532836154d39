"""A run on a stage, in the words of the tests: take, claim, complete, and see what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from support.programs import Spec, make_program, queue_of
from support.stages import Message, Stage

from taskexec.domain.events import Transition, parse_entry
from taskexec.domain.program import Claim, Completion, Member, RunOptions
from taskexec.domain.proof import Seal
from taskexec.store.port import lease_name

__all__ = ["LEASE_S", "Play"]

LEASE_S = 1000.0
"""Long against what a test takes, so that only `pass_time` ends it."""


class Play:
    """One run on one stage; steps return what the store says."""

    _requests = 0

    def __init__(
        self, stage: Stage, run_id: str, specs: Sequence[Spec], options: RunOptions | None = None, *, start: bool = True
    ) -> None:
        self.stage = stage
        self.store = stage.store
        self.run_id = run_id
        self.lists = sorted({queue_of(run_id, spec.route) for spec in specs})
        self.store.put(make_program(run_id, specs, options))
        if start:
            self.store.start(run_id)

    def take(self, route: str = "cpu") -> Message | None:
        return self.stage.take(queue_of(self.run_id, route))

    def take_from(self, worker: str) -> Message | None:
        """Take the oldest message that was sent to one worker."""
        return self.stage.take(f"tek.{worker}")

    def join(self, worker: str, traits: Iterable[str], total: Sequence[int]) -> None:
        self.stage.join(worker, traits, total)

    def leave(self, worker: str) -> None:
        self.stage.leave(worker)

    def give_back(self, worker: str, holds: Sequence[str]) -> None:
        self.stage.give_back(worker, holds)

    def place(self) -> int:
        return self.stage.place()

    def queued(self, route: str = "cpu") -> list[tuple[tuple[int, int], ...]]:
        """Return the (index, attempt) pairs of each message of a route, oldest first."""
        messages = self.stage.messages(queue_of(self.run_id, route))
        return [tuple((member.index, member.attempt) for member in message.members) for message in messages]

    def claim(
        self, *members: tuple[int, int], worker: str = "w1", delivery: str = "d", lease_s: float = LEASE_S
    ) -> Claim:
        pairs = [Member(*member) for member in members]
        return self.store.claim(self.run_id, pairs, worker=worker, token=f"{worker}/{delivery}", lease_s=lease_s)

    def won(self, *members: tuple[int, int], worker: str = "w1", delivery: str = "d") -> list[tuple[int, int]]:
        claim = self.claim(*members, worker=worker, delivery=delivery)
        return [(won.member.index, won.member.attempt) for won in claim.members]

    def enter(
        self, index: int, attempt: int, rank: int, *, worker: str = "w1", delivery: str = "r", lease_s: float = LEASE_S
    ) -> bool:
        """Have a rank above 0 begin; return whether it may."""
        claim = self.store.enter(
            self.run_id,
            Member(index, attempt),
            rank,
            worker=worker,
            token=f"{worker}/{delivery}",
            lease_s=lease_s,
            told=f"told {rank}",
        )
        return bool(claim.members)

    def part(self, index: int, attempt: int, rank: int, *, worker: str = "w1", delivery: str = "r") -> bool:
        member, token = Member(index, attempt), f"{worker}/{delivery}"
        return self.store.part(self.run_id, member, rank, worker=worker, token=token, record=b"{}")

    def complete(
        self,
        *members: tuple[int, int],
        succeeded: bool = True,
        worker: str = "w1",
        delivery: str = "d",
        result: bytes = b"",
        spent_s: float = 0.0,
        reason: str = "exit",
        exit_status: int | None = None,
        seal: Seal | None = None,
    ) -> list[bool]:
        completions = [
            Completion(
                member=Member(*member),
                token=f"{worker}/{delivery}",
                succeeded=succeeded,
                reason="" if succeeded else reason,
                exit_status=None if succeeded else exit_status,
                record=b'{"by":"test"}',
                result=result,
                celery_key=f"result-{self.run_id}-{member[0]}",
                celery_result=b"final",
                celery_retry=b"retry",
            )
            for member in members
        ]
        return self.store.complete(self.run_id, completions, worker=worker, agent="noop", spent_s=spent_s, seal=seal)

    def fail(self, *members: tuple[int, int]) -> list[bool]:
        return self.complete(*members, succeeded=False)

    def do(self, *members: tuple[int, int], succeeded: bool = True) -> None:
        """Claim and complete each member, one after the other; nobody minds their messages."""
        for member in members:
            assert self.won(member) == [member]
            assert self.complete(member, succeeded=succeeded) == [True]

    def release(self, *members: tuple[int, int], worker: str = "w1", delivery: str = "d") -> int:
        pairs = [Member(*member) for member in members]
        return self.store.release(self.run_id, pairs, worker=worker, token=f"{worker}/{delivery}")

    def lose(self, *members: tuple[int, int], worker: str = "w1") -> int:
        return self.store.lose(
            self.run_id, [Member(*member) for member in members], worker=worker, record=b'{"lost":1}'
        )

    def surrender(self, *, worker: str = "w1") -> int:
        """Have a worker that was told to leave give back all that it runs."""
        record = b'{"reason":"lost_worker","given_back":true}'
        return self.store.lose(self.run_id, [], worker=worker, record=record)

    def take_back(self, *, worker: str = "w1") -> int:
        return self.store.take_back(self.run_id, worker=worker)

    def renew(self, *members: tuple[int, int], worker: str = "w1", delivery: str = "d") -> list[int]:
        leases = [lease_name(Member(*member), f"{worker}/{delivery}") for member in members]
        return self.store.renew(self.run_id, leases, worker=worker, lease_s=LEASE_S)

    def reap(self) -> tuple[int, int]:
        return self.store.reap(self.run_id, worker="reaper", lease_s=LEASE_S, record=b'{"lapsed":1}')[:2]

    def due_s(self) -> float | None:
        """Return, in whole seconds, when something is due, as a round of reaping says."""
        due_s = self.store.reap(self.run_id, worker="reaper", lease_s=LEASE_S, record=b'{"lapsed":1}').due_s
        return None if due_s is None else round(due_s)

    def retry(self, *indexes: int, request: str = "") -> list[int]:
        """Have tasks run again; each call is a new one unless it is given a name."""
        self._requests += 1
        return self.store.retry(self.run_id, indexes, by=b'{"by":"test"}', request=request or f"call {self._requests}")

    def pass_time(self, leases: float) -> None:
        """Let so many leases pass without anybody reaping."""
        direct = [f"tek.{node.name}" for node in self.stage.nodes()]
        self.stage.advance(self.run_id, leases * LEASE_S, *self.lists, *direct)

    def keep_reaping(self, leases: float) -> tuple[int, int]:
        """Let time pass with a round of reaping every half lease, as caretakers do; return how much was ended."""
        lapsed, requeued = self.reap()
        for _ in range(round(leases * 2)):
            self.pass_time(0.5)
            more = self.reap()
            lapsed, requeued = lapsed + more[0], requeued + more[1]
        return lapsed, requeued

    def states(self) -> dict[int, str]:
        return dict(sorted(self.store.states(self.run_id).items()))

    def counts(self) -> dict[str, int]:
        head = self.store.head(self.run_id)
        names = ("left", "succeeded", "failed", "skipped", "cancelled", "satisfied")
        return {name: getattr(head, name) for name in names if getattr(head, name)}

    @property
    def status(self) -> str:
        return self.store.head(self.run_id).status

    def lines(self) -> list[str]:
        """Return the lines of the whole log."""
        return [line for entry in self.store.read_log(self.run_id) for line in entry.lines.split("\n")]

    def short_lines(self, letters: str = "UAPQRSFTLBXCDEHNKOG") -> list[str]:
        """Return the lines with one of these letters, without their records."""
        return [" ".join(line.split(" ")[:3]) for line in self.lines() if line[0] in letters]

    def transitions(self) -> list[Transition]:
        return [step for entry in self.store.read_log(self.run_id) for step in parse_entry(entry)]
