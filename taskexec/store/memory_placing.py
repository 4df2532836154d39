"""What a change of a run in memory does with workers: `lua/placing.lua` for one run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson

from taskexec.domain import placing, rules
from taskexec.domain.fit import Ask
from taskexec.domain.placing import Want
from taskexec.domain.program import Grant, Member, Rank
from taskexec.domain.resources import Route
from taskexec.domain.rules import TaskState
from taskexec.domain.states import RunStatus, TaskStatus
from taskexec.store.keys import direct_key
from taskexec.store.memory_gang import Gangs
from taskexec.store.memory_nodes import Placement
from taskexec.store.memory_run import MemoryRun, Placed, PublishedMessage, Surroundings
from taskexec.store.stored import payers_of

__all__ = ["Placing"]

_LOOKED_AT_MOST = 500
"""Placed tasks that one round looks at (`MANY` in `lua/prelude.lua`)."""


class Placing(Gangs):
    """The part of a change that is about workers; `RunChange` has the rest."""

    run: MemoryRun
    now_us: int
    ready: list[Member]
    _shared: Surroundings
    _worker: str
    _lines: list[str]

    def requeue_unassigned(self, before_us: int, gone: str = "") -> int:
        """Have placed attempts wait for another place that nobody has started, and return how many.

        Those whose worker is gone, or was (it then holds nothing for them), or that were placed by `before_us` and are
        not in its list any more.
        """
        run, count = self.run, 0
        assigned = sorted(run.assigned.items(), key=lambda item: (item[1], str(item[0])))
        for index, since_us in assigned[:_LOOKED_AT_MOST]:
            placed = run.placed[index]
            is_lost = self._is_unassigned(index, placed, gone) or (
                since_us <= before_us and rules.is_popped(since_us, self._oldest_us(placed.ranks[0].worker))
            )
            if is_lost and run.is_queued(Member(index, placed.attempt)):
                self.ready.append(Member(index, placed.attempt))
                count += 1
        return count

    def _is_unassigned(self, index: int, placed: Placed, gone: str) -> bool:
        holds = self._shared.nodes.holds
        return any(
            rank.worker == gone
            or (self.begun_as(index, placed.attempt, number) or self.hold_name(index, placed.attempt, number))
            not in holds.get(rank.worker, {})
            for number, rank in enumerate(placed.ranks)
        )

    def _oldest_us(self, worker: str) -> float:
        waiting = self._shared.queues.get(direct_key(worker))
        return waiting[0].queued_us if waiting else math.inf

    def want_places(self) -> None:
        """Take out of what is ready what asks for a place of its own."""
        others = []
        for member in self.ready:
            text = self.run.program.tasks[member.index].ask
            if not text:
                others.append(member)
                continue
            self._unplace(member.index)
            self.run.state[member.index] = TaskState(TaskStatus.READY, member.attempt)
            policy = self.run.policy[member.index]
            nodes, ask = self._shared.nodes, Ask.decode(text)
            if self.run.starved[member.index]:
                ask = ask.with_memory(
                    placing.memory_ratio(ask, policy.memory ** self.run.starved[member.index], nodes.total.values())
                )
            want = Want(self.run.program.run_id, member.index, member.attempt, ask, self.now_us, nodes.started)
            nodes.want(want, self.run.rank(member.index)[0])
        self.ready = others

    def _unplace(self, index: int) -> None:
        """Take a task off the workers that it was placed on and has not started on."""
        self.close_gang(index, "lost")
        placed = self.run.placed.pop(index, None)
        self.run.assigned.pop(index, None)
        if placed is None:
            return
        for number, rank in enumerate(placed.ranks):
            name = f"{self.run.program.run_id}:{index}:{placed.attempt}:{number}"
            self._shared.nodes.give_back(rank.worker, name)

    def stop_wanting(self) -> None:
        """Take everything out of what waits to be placed, or to start where it was."""
        for index in list(self.run.assigned):
            self._unplace(index)
        self._shared.nodes.stop_wanting(self.run.program.run_id)

    def grant(self, index: int) -> Grant | None:
        """Return what was taken of workers for a placed task; None for one that takes a slot."""
        placed = self.run.placed.get(index)
        return None if placed is None else Grant.of(placed.option, placed.ranks)

    def is_ours(self, member: Member, worker: str) -> bool:
        """Return whether an attempt was placed on a worker, or on none; what is held no more is placed anew."""
        placed = self.run.placed.get(member.index)
        if placed is None:
            return True
        is_held = self.hold_name(member.index, member.attempt, 0) in self._shared.nodes.holds.get(worker, {})
        is_here = placed.attempt == member.attempt and placed.ranks[0].worker == worker
        return is_here and (is_held or not self.run.is_queued(member))

    def take_slot(self, members: Sequence[Member], worker: str, token: str) -> bool:
        """Take a slot of a worker for those members that were placed nowhere; return whether there was one."""
        slotted = [(member.index, member.attempt) for member in members if member.index not in self.run.placed]
        return not slotted or self._shared.nodes.take_slot(worker, token, slotted)

    def give_back_attempt(self, worker: str, member: Member, token: str) -> None:
        """Give back what an attempt that is over held on a worker: by the token of its delivery."""
        self._shared.nodes.give_back(worker, token, (member.index, member.attempt))

    def place(self, cause: str = "") -> None:
        """Place what waits, of all runs."""
        shared, nodes = self._shared, self._shared.nodes
        runs = {run_id: shared.runs[run_id] for run_id in nodes.since}
        if nodes.is_thorough and nodes.since:
            nodes.starving = [route for route in Route if self._is_starving(route)]
        near = {
            owner: [
                runs[want.run_id].where[before]
                for before in runs[want.run_id].before(want.index)[: placing.WIDEST]
                if before in runs[want.run_id].where
            ]
            for owner, want in nodes.wants.items()
        }
        told: dict[str, list[str]] = {}
        placements = nodes.place(
            now_us=self.now_us,
            payers={run_id: payers_of(run.program) for run_id, run in runs.items()},
            weights={run_id: run.program.options.weight for run_id, run in runs.items()},
            near=near,
        )
        for placement in placements:
            self._assign(placement, cause, told)
        for run_id, lines in told.items():
            if run_id == self.run.program.run_id:
                self._lines += lines
            else:
                runs[run_id].append(self.now_us, self._worker, lines)
        nodes.is_news = False
        nodes.roomy.clear()

    def _is_starving(self, route: Route) -> bool:
        """Return whether a task that needs nothing waits too long on a route."""
        active = [run for run in self._shared.runs.values() if run.status is RunStatus.RUNNING]
        oldest = min((at_us for run in active for at_us in run.queued_on(route).values()), default=self.now_us)
        return oldest < self.now_us - placing.PATIENCE_US

    def _assign(self, placement: Placement, cause: str, told: dict[str, list[str]]) -> None:
        want, shared = placement.want, self._shared
        run = shared.runs[want.run_id]
        run.state[want.index] = TaskState(TaskStatus.QUEUED, want.attempt)
        run.assigned[want.index] = self.now_us
        ranks = tuple(Rank(chosen.spot.name, chosen.gpus) for chosen in placement.ranks)
        run.placed[want.index] = Placed(want.attempt, want.ask.options[placement.option], ranks)
        workers = [rank.worker for rank in ranks]
        note = {"on": workers, "waited_us": self.now_us - want.since_us, "after": cause}
        told.setdefault(want.run_id, []).append(f"Q {want.index} {want.attempt} {orjson.dumps(note).decode()}")
        for number, worker in enumerate(workers):
            dispatch = run.dispatches[want.index]
            message = PublishedMessage(
                id=f"{want.run_id}.{want.index}" + (f".r{number}" if number else ""),
                run_id=want.run_id,
                members=(Member(want.index, want.attempt),),
                route=dispatch.route,
                agent=dispatch.agent,
                label=dispatch.label,
                queued_us=self.now_us,
            )
            shared.queues.setdefault(direct_key(worker), []).append(message)
