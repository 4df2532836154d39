"""A run on a virtual clock: what starts where and when, by the rules of placement of the real thing.

At each moment workers come and go, attempts end, and what they held comes back; then tasks that ask for something are
placed in rounds, as `placing.lua` does, until a round places nothing; then tasks without needs take slots, of the
worker that has waited for one longest. The clock jumps to the next moment at which something ends; on the way, each
second while something waits, all that waits is looked at, as the store does. Nothing fails.

Times are microseconds from the start of the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from taskexec.domain import placing
from taskexec.domain.fit import Ask, Option, traits_of, vector_of
from taskexec.domain.resources import Route
from taskexec.simulation.cluster import ClusterSpec, SimulatedWorker
from taskexec.simulation.nodes import Amounts, Nodes
from taskexec.simulation.ranking import Asked, Ranking, Taken
from taskexec.simulation.window import Window
from taskexec.simulation.workload import Workload

__all__ = ["Schedule", "simulate"]

_NEVER = -1
_SECOND_US = 1_000_000
_LOOKS_MAX = placing.PATIENCE_US // _SECOND_US + 1
"""Seconds after which time alone makes no difference: by then all that waits has waited too long."""
_NOTHING = Ask((Option(0, 0, 0, 0, 0, exclusive=False),))
_Wide = tuple[int, str, int]
"""Size, less for wider ones, index as text, and rank."""


@dataclass(slots=True)
class Schedule:
    """What became of the tasks of a run, by index; times are microseconds from its start, -1 for never."""

    workers: list[SimulatedWorker]
    """In the order in which they join; others are named by their place here."""
    ready_us: list[int]
    """When the last dependency was done."""
    started_us: list[int]
    """When it began, behind the overhead of its worker."""
    finished_us: list[int]
    where: list[int]
    """Worker, the one of the first rank for several."""
    debits: list[Amounts]
    """What was taken of that worker."""
    gangs: dict[int, list[Taken]] = field(default_factory=dict)
    """Where all ranks of tasks with several went."""
    gpus: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Positions of the GPUs of tasks with one rank that got some."""
    history: list[int] = field(default_factory=list)
    """Tasks in the order in which they were given their places, and `~task` where they gave them back."""
    taken_us: list[int] = field(default_factory=list)
    """When a task was given its place."""

    @property
    def makespan_us(self) -> int:
        """How long the run takes."""
        return max(self.finished_us, default=0)

    def ranks_of(self, task: int) -> list[Taken]:
        """Return where the ranks of a task went."""
        if task in self.gangs:
            return self.gangs[task]
        return [Taken(self.where[task], self.gpus.get(task, ()), self.debits[task])]


def simulate(work: Workload, cluster: ClusterSpec) -> Schedule:
    """Return what would happen; tasks that never find a place are left unfinished, and what waits for them."""
    return _Simulator(work, cluster).run()


class _Simulator:
    """One run under way."""

    def __init__(self, work: Workload, cluster: ClusterSpec) -> None:
        size = len(work.durations_us)
        self._work, self._cluster = work, cluster
        self._workers = cluster.workers()
        self._overheads = [round(cluster.groups[worker.group].start_overhead_s * 1_000_000) for worker in self._workers]
        self._nodes = Nodes(len(self._workers))
        self._now = 0
        self._holding = [0] * len(self._workers)
        self._leaving: set[int] = set()
        self._events: list[tuple[int, int, int]] = []
        """Time, number, and a task that ends; or, below 0, `~worker` that comes or goes."""
        self._numbers = 0
        self._pending = list(map(len, work.predecessors))
        self._behind: dict[int, int] = {}
        self._by_rank = [0] * size
        for task, rank in enumerate(work.ranks):
            self._by_rank[rank] = task
        self._rankings: dict[Option, Ranking] = {}
        self._asked, self._sames = self._make_asked()
        self._sames_by_rank = [self._sames[task] for task in self._by_rank]
        self._window = Window[int](placing.WINDOW - placing.WIDEST, self._sames_by_rank.__getitem__)
        self._widest = Window[_Wide](placing.WIDEST)
        self._since: dict[int, tuple[int, int]] = {}
        """Of what waits to be placed: since when, and how many tasks were started then."""
        self._is_news = False
        self._is_thorough = False
        """Whether the widest are looked at, whatever has changed."""
        self._looks_left = 0
        self._starving: list[Route] = []
        """Routes on which a task that needs nothing waited too long when all that waits was looked at last."""
        self._is_short = {route.value: False for route in Route}
        """Whether all slots of a route were taken when slots were taken last."""
        self._started = 0
        self._tried: dict[int, int] = {}
        self._queues: dict[str, list[int]] = {route.value: [] for route in Route}
        self._oldest: dict[str, deque[int]] = {route.value: deque() for route in Route}
        self._lines: dict[str, deque[int]] = {route.value: deque() for route in Route}
        self._in_line: dict[str, set[int]] = {route.value: set() for route in Route}
        self._claimed_at = 0
        self._out = Schedule(
            workers=self._workers,
            ready_us=[_NEVER] * size,
            started_us=[_NEVER] * size,
            finished_us=[_NEVER] * size,
            where=[_NEVER] * size,
            debits=[()] * size,
            taken_us=[_NEVER] * size,
        )

    def run(self) -> Schedule:
        """Carry out the whole run."""
        self._plan_arrivals()
        self._open_first()
        while True:
            while self._events and self._events[0][0] == self._now:
                what = heappop(self._events)[2]
                self._looks_left = _LOOKS_MAX
                if what >= 0:
                    self._finish(what)
                else:
                    self._change(~what)
            self._fill()
            if not self._events and self._since:
                self._fill_thoroughly()  # a round may keep a worker for one task and leave its slot to another
            if not self._events:
                return self._out
            self._move_on()

    def _move_on(self) -> None:
        """Go to the next moment at which something ends, or to a full second before it to look at all that waits."""
        following, second = self._events[0][0], (self._now // _SECOND_US + 1) * _SECOND_US
        if self._since and self._looks_left and second <= following:
            self._now = second
            before = self._numbers
            self._fill_thoroughly()
            self._looks_left = self._looks_left - 1 if self._numbers == before else _LOOKS_MAX
        else:
            self._now = following

    def _fill_thoroughly(self) -> None:
        self._is_news = self._is_thorough = True
        self._fill()
        self._is_thorough = False

    def _fill(self) -> None:
        """Place and start whatever can be now."""
        while self._is_news and self._since and self._round():
            pass
        self._is_news = False
        self._claim()

    def _open_first(self) -> None:
        """Make ready what waits for nothing but tasks that were done before."""
        for task, is_satisfied in enumerate(self._work.is_satisfied):
            if is_satisfied:
                for after in self._work.successors[task]:
                    self._pending[after] -= 1
        for task, count in enumerate(self._pending):
            if self._work.is_satisfied[task]:
                self._pending[task] = _NEVER
            elif not count:
                self._make_ready(task)

    # What happens to workers

    def _plan_arrivals(self) -> None:
        for number, worker in enumerate(self._workers):
            group = self._cluster.groups[worker.group]
            self._events.append((round(group.join_at_s * 1_000_000), number, ~number))
            if group.leave_at_s is not None:
                self._events.append((round(group.leave_at_s * 1_000_000), len(self._workers) + number, ~number))
        self._numbers = 2 * len(self._workers)
        self._events.sort()
        heapify(self._events)

    def _change(self, worker: int) -> None:
        """Let a worker come, or take nothing more."""
        group = self._cluster.groups[self._workers[worker].group]
        is_new = self._nodes.state[worker] is None
        agents = self._work.agents if group.agents is None else group.agents
        traits = traits_of(group.capacity, group.routes, agents, is_ready=is_new)
        self._is_news = True
        self._nodes.join(worker, traits, tuple(vector_of(group.capacity)))
        if not is_new:
            self._leaving.add(worker)
            self._leave_if_idle(worker)

    def _leave_if_idle(self, worker: int) -> None:
        if worker in self._leaving and not self._holding[worker]:
            self._nodes.leave(worker)
            self._leaving.discard(worker)

    # What happens to tasks

    def _make_ready(self, task: int) -> None:
        self._out.ready_us[task] = self._now
        ask = self._work.asks[task]
        if ask is None:
            route = self._work.routes[task]
            heappush(self._queues[route], self._work.ranks[task])
            self._oldest[route].append(task)
            return
        self._since[task] = (self._now, self._started)
        self._window.add(self._work.ranks[task])
        if self._asked[task].size > placing.WIDE:
            self._widest.add(self._wide(task))
        self._is_news = True

    def _wide(self, task: int) -> _Wide:
        return -self._asked[task].size, str(task), self._work.ranks[task]

    def _start(self, task: int) -> None:
        """Begin a task that was given its place."""
        out, worker = self._out, self._out.where[task]
        started = self._now + self._overheads[worker]
        finished = started + self._work.durations_us[task]
        out.taken_us[task], out.started_us[task], out.finished_us[task] = self._now, started, finished
        out.history.append(task)
        self._numbers += 1
        heappush(self._events, (finished, self._numbers, task))

    def _finish(self, task: int) -> None:
        out, nodes = self._out, self._nodes
        out.history.append(~task)
        behind = self._behind
        if task in out.gangs:
            for rank, taken in enumerate(out.gangs[task]):
                nodes.give_back(taken.worker, taken.debit, behind.pop(task * 1024 + rank, -1) if behind else -1)
                self._holding[taken.worker] -= 1
                self._leave_if_idle(taken.worker)
        else:
            worker = out.where[task]
            nodes.give_back(worker, out.debits[task], behind.pop(task * 1024, -1) if behind else -1)
            self._holding[worker] -= 1
            if self._leaving:
                self._leave_if_idle(worker)
        self._is_news = True
        pending = self._pending
        for after in self._work.successors[task]:
            pending[after] -= 1
            if not pending[after]:
                self._make_ready(after)

    # Placing

    def _round(self) -> bool:
        """Place what fits now, and keep workers for what has waited too long; return whether something was placed."""
        self._leave_slots()
        before, hopeless = self._started, set[int]()
        self._look_at_owners()
        self._look_in_order(hopeless)
        may_keep = self._is_thorough or before // placing.LOOKS < self._started // placing.LOOKS
        if may_keep or (self._nodes.roomy and self._started == before):
            self._see_to_the_widest(hopeless, may_keep=may_keep)
        self._nodes.lift_caps()
        return self._started > before

    def _look_at_owners(self) -> None:
        """Place those first for which workers are kept; elsewhere in a round they are passed over."""
        nodes = self._nodes
        for task in nodes.owners.copy():
            asked, own = self._asked[task], nodes.owned[task]
            if not nodes.roomy or (asked.dry_at == nodes.gains and self._tried.get(task) == nodes.version[own[0]]):
                continue  # nothing has changed for it
            self._try_owner(task, asked, own)

    def _look_in_order(self, hopeless: set[int]) -> None:
        """Place the first ones that fit; what is placed makes room in the window for those that follow."""
        first, kinds, sames, at = self._window.first, self._window.kinds, self._sames_by_rank, 0
        for _ in range(placing.ROUND):
            if at >= len(first) or not self._nodes.roomy:
                return
            if sames[first[at]] in hopeless:
                at += 1
            elif not self._look_at(self._by_rank[first[at]], hopeless):
                at += 1
                if kinds.keys() <= hopeless:
                    return  # all that follow are like one that does not fit

    def _see_to_the_widest(self, hopeless: set[int], *, may_keep: bool) -> None:
        """Give the widest tasks a try wherever they stand; keep workers for those that have waited long, if wanted."""
        nodes, asks, sames, by_rank = self._nodes, self._asked, self._sames, self._by_rank
        started, waiting = self._started, []
        for wide in self._widest.first.copy():
            task = by_rank[wide[2]]
            if nodes.roomy and sames[task] not in hopeless and self._look_at(task, hopeless):
                continue
            if not may_keep:
                continue
            since, started_then = self._since[task]
            has_waited = self._now - since > placing.PATIENCE_US or started - started_then >= placing.OVERTAKES
            if has_waited and task not in nodes.owned:  # as `placing.has_waited` says
                waiting.append(task)
        for task in sorted(waiting, key=lambda task: -asks[task].size):
            if not placing.may_keep(len(nodes.marks), nodes.present):
                break
            asks[task].keep(task)
            self._tried.pop(task, None)

    def _look_at(self, task: int, hopeless: set[int]) -> bool:
        """Place a task if it fits; return whether it did.

        Args:
            task: It waits to be placed.
            hopeless: Numbers of asks that fit nowhere in this round; added to.
        """
        same = self._sames[task]
        if same in hopeless or task in self._nodes.owned:
            return False
        if self._try(task, self._asked[task], ()):
            return True
        hopeless.add(same)
        return False

    def _try_owner(self, task: int, asked: Asked, own: Sequence[int]) -> bool:
        """Try a task again for which workers are kept."""
        nodes = self._nodes
        if asked.ask.ranks == 1:
            self._tried[task] = nodes.version[own[0]]
        if not self._try(task, asked, own):
            return False
        self._tried.pop(task, None)
        nodes.release(task)
        return True

    def _try(self, task: int, asked: Asked, own: Sequence[int]) -> bool:
        """Place a task if it fits somewhere."""
        if not own and asked.dry_at == self._nodes.gains:
            return False
        found = asked.find(task, self._near(task), own)
        if found is None:
            return False
        self._place(task, found[1])
        return True

    def _make_asked(self) -> tuple[list[Asked], list[int]]:
        """Return of each task what it asks for, shared where places are the same, and a number for equal asks."""
        nobody = Asked(self._nodes, _NOTHING, ())
        numbers: dict[int, tuple[Asked, int]] = {}
        by_ask: dict[Ask, int] = {}
        by_places: dict[Ask, Asked] = {}
        asked, sames = [], []
        for ask in self._work.asks:
            if ask is None:
                asked.append(nobody)
                sames.append(-1)
                continue
            known = numbers.get(id(ask))
            if known is None:
                places = ask._replace(priority=0, deadline_us=0, duration_us=0)
                shared = by_places.get(places)
                if shared is None:
                    rankings = [self._ranking(option) for option in ask.options]
                    shared = by_places[places] = Asked(self._nodes, places, rankings)
                known = numbers[id(ask)] = shared, by_ask.setdefault(ask, len(by_ask))
            asked.append(known[0])
            sames.append(known[1])
        return asked, sames

    def _ranking(self, option: Option) -> Ranking:
        ranking = self._rankings.get(option)
        if ranking is None:
            ranking = self._rankings[option] = Ranking(self._nodes, option)
        return ranking

    def _near(self, task: int) -> Sequence[int]:
        """Return the workers that hold what a task reads."""
        before = self._work.predecessors[task]
        if not before:
            return ()
        where = self._out.where
        return [where[one] for one in before[: placing.WIDEST] if where[one] >= 0]

    def _place(self, task: int, ranks: list[Taken]) -> None:
        out, nodes = self._out, self._nodes
        for number, taken in enumerate(ranks):
            behind = nodes.take(taken.worker, taken.debit, task)
            self._holding[taken.worker] += 1
            if behind >= 0:
                self._behind[task * 1024 + number] = behind
        out.where[task], out.debits[task] = ranks[0].worker, ranks[0].debit
        if len(ranks) > 1:
            out.gangs[task] = ranks
        elif ranks[0].gpus:
            out.gpus[task] = ranks[0].gpus
        self._started += 1
        del self._since[task]
        self._window.remove(self._work.ranks[task])
        if self._asked[task].size > placing.WIDE:
            self._widest.remove(self._wide(task))
        self._start(task)

    # Slots

    def _leave_slots(self) -> None:
        """Leave a slot on a worker for each route on which a task that needs nothing has waited too long.

        Where there were fewer slots than tasks when slots were taken last, only what changed since is looked at.
        """
        nodes = self._nodes
        if self._is_thorough:
            self._starving = [route for route in Route if self._is_starving(route.value)]
        if not self._starving:
            return
        roomy = sorted(set(nodes.log[self._claimed_at :]))
        for route in self._starving:
            for worker in roomy if self._is_short[route.value] else range(len(nodes.state)):
                state = nodes.state[worker]
                if state is None or not state.has_slot or worker in nodes.caps or route not in state.kind.routes:
                    continue
                if not nodes.blocks(worker, state.kind.slot):
                    nodes.caps[worker] = state.without(state.kind.slot).free
                    break

    def _is_starving(self, route: str) -> bool:
        oldest, where = self._oldest[route], self._out.where
        while oldest and where[oldest[0]] >= 0:
            oldest.popleft()
        return bool(oldest) and self._now - self._out.ready_us[oldest[0]] > placing.PATIENCE_US

    def _claim(self) -> None:
        """Give slots to tasks that need nothing else."""
        nodes = self._nodes
        log, states = nodes.log, nodes.state
        changed = log[self._claimed_at :]
        for worker in changed if len(changed) == 1 else sorted(set(changed)):
            state = states[worker]
            if state is not None and state.has_slot:
                self._line_up(worker, state.kind.routes)
        for route, queue in self._queues.items():
            if queue:
                self._claim_from(route, queue)
            self._is_short[route] = bool(queue)
        self._claimed_at = len(log)

    def _line_up(self, worker: int, routes: Sequence[str]) -> None:
        for route in routes:
            waiting = self._in_line[route]
            if worker not in waiting:
                waiting.add(worker)
                self._lines[route].append(worker)

    def _claim_from(self, route: str, queue: list[int]) -> None:
        nodes, out, line, waiting = self._nodes, self._out, self._lines[route], self._in_line[route]
        while queue and line:
            worker = line.popleft()
            waiting.discard(worker)
            state = nodes.state[worker]
            if state is None or not state.has_slot or route not in state.kind.routes:
                continue
            slot = state.kind.slot
            if nodes.marks and nodes.blocks(worker, slot):
                continue
            task = self._by_rank[heappop(queue)]
            behind = nodes.take(worker, slot)
            if behind >= 0:
                self._behind[task * 1024] = behind
            self._holding[worker] += 1
            out.where[task], out.debits[task] = worker, slot
            if self._since:
                self._started += 1
            self._start(task)
            left = nodes.state[worker]
            if left is not None and left.has_slot:
                self._line_up(worker, left.kind.routes)
