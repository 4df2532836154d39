"""How things stand now on a server, gathered for the answer to why a task stands where it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from taskexec.domain.fit import READY
from taskexec.domain.placing import PATIENCE_US, Account, Want
from taskexec.domain.program import Grant
from taskexec.observability.why import Cluster as Standing
from taskexec.observability.why import Held, Node, Queue, RunNow, Story, TaskNow
from taskexec.store.connection import Connection
from taskexec.store.nodes import Hold, NodeView, RedisNodes
from taskexec.store.standings import RedisStandings
from taskexec.store.workers import WorkerRegistry

__all__ = ["LivePresent", "task_names"]


class LivePresent:
    """The `Present` of one run on its server."""

    def __init__(self, connection: Connection, story: Story) -> None:
        """Read for a run; each thing at its first use, and once."""
        self._nodes = RedisNodes(connection)
        self._standings = RedisStandings(connection)
        self._workers = WorkerRegistry(connection)
        self._story = story
        self._asked: set[int] = set()

    @cached_property
    def run(self) -> RunNow:
        """See `Present.run`."""
        found = self._standings.run(self._story.run_id)
        return RunNow(found.status, found.is_stopping, found.deadline_us)

    @cached_property
    def cluster(self) -> Standing:
        """See `Present.cluster`."""
        now_us = self._standings.now_us()
        wants = {run_id: self._wants(run_id) for run_id in self._nodes.wanting()}
        views = self._nodes.views()
        names = self._names(views, wants)
        marked = self._standings.still_wanting({view.kept_for for view in views if view.kept_for})
        marked -= {view.kept_for for view in views if READY not in view.traits}  # the next round chooses anew for them
        states = {worker["name"]: worker["state"] for worker in self._workers.listed()}
        return Standing(
            now_us=now_us,
            nodes=tuple(_node(view, names, marked, states.get(view.name, "ready")) for view in views),
            starving=frozenset(self._standings.starving(since_us=now_us - PATIENCE_US)),
            wants=wants,
            accounts=self._accounts(wants),
            names=names,
        )

    def _wants(self, run_id: str) -> tuple[Want, ...]:
        also = next(iter(self._asked), None) if run_id == self._story.run_id else None
        return tuple(self._nodes.first_wants(run_id, also=also))

    def _accounts(self, run_ids: Iterable[str]) -> dict[str, tuple[tuple[str, Account], ...]]:
        used, weights = self._nodes.used(), self._nodes.weights()
        found = {}
        for run_id in run_ids:
            run = self._standings.run(run_id)
            own, *others = run.payers
            found[run_id] = (
                (own, Account(used.get(own, 0), run.weight)),
                *((payer, Account(used.get(payer, 0), weights.get(payer, 1.0))) for payer in others),
            )
        return found

    def _names(self, views: Sequence[NodeView], wants: Mapping[str, Sequence[Want]]) -> dict[str, str]:
        owners = {f"{hold.run_id}:{index}" for view in views for hold in view.holds for index in hold.tasks}
        owners |= {view.kept_for for view in views if view.kept_for}
        owners |= {want.owner for listed in wants.values() for want in listed}
        return task_names(self._standings, self._story, owners)

    def task(self, index: int) -> TaskNow:
        """See `Present.task`."""
        run_id = self._story.run_id
        found = self._standings.task(run_id, index)
        want, ratio = None, 1.0
        if found.letter == "H" and found.ask is not None:
            want = next((one for one in self._nodes.first_wants(run_id, also=index) if one.index == index), None)
            if want is not None:
                self._asked = {index}
                self.__dict__.pop("cluster", None)  # read again, with this task among those that wait
                ratio = _ratio(found.ask.options[0].memory, want.ask.options[0].memory)
        queue = None
        if found.letter == "Q" and not found.assigned_us:
            before, is_more = self._standings.messages_before(run_id, index, found.attempt)
            queue = Queue(found.route, before, is_more)
        is_placed = found.assigned_us is not None or (found.letter == "R" and bool(found.placed))
        return TaskNow(
            letter=found.letter,
            attempt=found.attempt,
            want=want,
            memory_ratio=ratio,
            due_us=found.due_us,
            suspect=self._on_trial() if found.is_suspect else None,
            backlog=found.backlog,
            queue=queue,
            queued_us=found.assigned_us or found.queued_us,
            grant=Grant.decode(found.placed) if is_placed else None,
        )

    def _on_trial(self) -> str:
        trial = self._standings.run(self._story.run_id).trial
        return "another task" if trial is None else self._story.name(trial)


def task_names(standings: RedisStandings, story: Story, owners: Iterable[str]) -> dict[str, str]:
    """Return tasks, `run:index`, as people read them; those of runs that are gone are missing."""
    by_run: dict[str, set[int]] = defaultdict(set)
    for owner in owners:
        run_id, _, index = owner.rpartition(":")
        if index.isdigit():
            by_run[run_id].add(int(index))
    found: dict[str, str] = {}
    for run_id, indexes in by_run.items():
        if run_id == story.run_id:
            found |= {f"{run_id}:{index}": story.name(index) for index in indexes}
            continue
        for at, label in standings.labels(run_id, sorted(indexes)).items():
            found[f"{run_id}:{at}"] = f"`{label}` of run {run_id}"
    return found


def _node(view: NodeView, names: Mapping[str, str], marked: set[str], state: str) -> Node:
    is_kept = view.kept_for in marked
    return Node(
        name=view.name,
        total=view.total,
        free=view.free,
        traits=view.traits,
        holds=tuple(_held(hold, names) for hold in view.holds),
        kept_for=view.kept_for if is_kept else "",
        kept=view.kept if is_kept else [],
        state=state,
    )


def _held(hold: Hold, names: Mapping[str, str]) -> Held:
    owners = [f"{hold.run_id}:{index}" for index in hold.tasks]
    shown = tuple(names.get(owner) or f"task {owner.rpartition(':')[2]} of run {hold.run_id}" for owner in owners)
    return Held(shown, hold.vector, hold.until_us, hold.behind)


def _ratio(asked: int, wanted: int) -> float:
    return wanted / asked if asked else 1.0
