"""A simulator that looks at every worker every time: the store's twin in memory, driven along a virtual clock."""

from __future__ import annotations

from heapq import heappop, heappush

from taskexec.domain import placing
from taskexec.domain.fit import READY, route_trait, slot_debit, traits_of, vector_of
from taskexec.domain.placing import Want
from taskexec.domain.resources import Route
from taskexec.simulation import ClusterSpec, Workload
from taskexec.store.memory_nodes import MemoryNodes

Start = tuple[int, list[tuple[str, tuple[int, ...]]]]
"""When a task was given its place, and the worker and GPUs of each rank."""


class SlowSimulation:
    """Carries out a run as `taskexec.simulation` does, with the rounds of `MemoryNodes`."""

    def __init__(self, work: Workload, cluster: ClusterSpec) -> None:
        self.work, self.cluster = work, cluster
        self.nodes = MemoryNodes()
        self.starts: dict[int, Start] = {}
        self.events: list[tuple[int, int, int]] = []
        self.pending = [len(before) for before in work.predecessors]
        self.where: dict[int, str] = {}
        self.holding: dict[str, int] = {}
        self.leaving: set[str] = set()
        self.ready: dict[int, int] = {}
        self.line: dict[str, list[str]] = {route: [] for route in Route}
        self.touched: list[str] = []
        self.number = 0
        self.now = 0
        self.looks_left = 0

    def run(self) -> dict[int, Start]:
        """Return where and when each task was given its place."""
        self._plan_arrivals()
        for task, count in enumerate(self.pending):
            if not count:
                self._open(task)
        while True:
            while self.events and self.events[0][0] == self.now:
                what = heappop(self.events)[2]
                self.looks_left = 3
                self._finish(what) if what >= 0 else self._change(~what)
            self._fill()
            if not self.events:
                self._fill_thoroughly()
            if not self.events:
                return self.starts
            self._move_on()

    def _move_on(self) -> None:
        """Look at everything each second while something waits, as the store does, until that makes no difference."""
        second = (self.now // 1_000_000 + 1) * 1_000_000
        if not self.nodes.wants or not self.looks_left or second > self.events[0][0]:
            self.now = self.events[0][0]
            return
        self.now = second
        before = self.number
        self._fill_thoroughly()
        self.looks_left = self.looks_left - 1 if self.number == before else 3

    def _fill_thoroughly(self) -> None:
        self.nodes.is_news = self.nodes.is_thorough = True
        self._fill()
        self.nodes.is_thorough = False

    def _fill(self) -> None:
        while self._round():
            pass
        self._claim()

    def _plan_arrivals(self) -> None:
        for sign in (0, 1):
            for number, worker in enumerate(self.cluster.workers()):
                group = self.cluster.groups[worker.group]
                at_s = group.leave_at_s if sign else group.join_at_s
                self.number += 1
                if at_s is not None:
                    heappush(self.events, (round(at_s * 1e6), self.number, ~number))

    def _change(self, number: int) -> None:
        worker = self.cluster.workers()[number]
        group = self.cluster.groups[worker.group]
        is_new = worker.name not in self.nodes.total
        traits = traits_of(group.capacity, group.routes, self.work.agents, is_ready=is_new)
        self.nodes.join(worker.name, traits, vector_of(group.capacity))
        self.touched.append(worker.name)
        if not is_new:
            self.leaving.add(worker.name)
            self._leave(worker.name)

    def _leave(self, name: str) -> None:
        if name in self.leaving and not self.holding.get(name, 0):
            before = self._owners()
            self.nodes.leave(name)
            self.touched += [name for name, _ in before - self._owners()]
            self.leaving.discard(name)

    def _open(self, task: int) -> None:
        ask = self.work.asks[task]
        if ask is None:
            self.ready[task] = self.now
            return
        want = Want("r", task, 1, ask, self.now, self.nodes.started)
        self.nodes.want(want, self.work.ranks[task])

    def _begin(self, task: int, spots: list[tuple[str, tuple[int, ...]]]) -> None:
        self.starts[task] = self.now, spots
        self.where[task] = spots[0][0]
        for name, _ in spots:
            self.holding[name] = self.holding.get(name, 0) + 1
        self.number += 1
        heappush(self.events, (self.now + self.work.durations_us[task], self.number, task))

    def _finish(self, task: int) -> None:
        for rank, (name, _) in enumerate(self.starts[task][1]):
            hold = f"s{task}" if self.work.asks[task] is None else f"r:{task}:1:{rank}"
            assert self.nodes.give_back(name, hold)
            self.touched.append(name)
            self.holding[name] -= 1
            self._leave(name)
        for after in self.work.successors[task]:
            self.pending[after] -= 1
            if not self.pending[after]:
                self._open(after)

    def _round(self) -> bool:
        if self.nodes.is_thorough and self.nodes.since:
            self.nodes.starving = [
                route
                for route in Route
                if any(
                    self.work.routes[task] == route and self.now - since > placing.PATIENCE_US
                    for task, since in self.ready.items()
                )
            ]
        near = {
            owner: [
                self.where[one] for one in self.work.predecessors[want.index][: placing.WIDEST] if one in self.where
            ]
            for owner, want in self.nodes.wants.items()
        }
        before = self._owners()
        broken = {owner for name, owner in before if READY not in self.nodes.traits[name]}
        self.touched += [name for name, owner in before if owner in broken]  # even those that are marked anew
        placements = list(self.nodes.place(now_us=self.now, payers={"r": ["r"]}, weights={"r": 1.0}, near=near))
        self.touched += [name for name, _ in before - self._owners()]
        for placed in placements:
            self.touched += [rank.spot.name for rank in placed.ranks]
            self._begin(placed.want.index, [(rank.spot.name, rank.gpus) for rank in placed.ranks])
        if not placements:
            self.nodes.is_news = False
        return bool(placements)

    def _owners(self) -> set[tuple[str, str]]:
        return {(name, owner) for name, (owner, _) in self.nodes.earmarks.items()}

    def _claim(self) -> None:
        """Give slots to tasks without needs: the worker comes first that has waited longest."""
        order = list(self.nodes.total)
        for name in [name for name in order if name in self.touched]:
            self._line_up(name)
        self.touched = []
        for route in Route:
            mine = [task for task in self.ready if self.work.routes[task] == route]
            mine.sort(key=self.work.ranks.__getitem__)
            while mine and self.line[route]:
                name = self.line[route].pop(0)
                if name not in self.nodes.total or not self._has_slot(name, route):
                    continue
                task = mine.pop(0)
                if not self.nodes.take_slot(name, f"s{task}", [(task, 1)]):
                    mine.insert(0, task)
                    continue
                del self.ready[task]
                self._begin(task, [(name, ())])
                self._line_up(name)

    def _line_up(self, name: str) -> None:
        for route in Route:
            if self._has_slot(name, route) and name not in self.line[route]:
                self.line[route].append(name)

    def _has_slot(self, name: str, route: Route) -> bool:
        traits = self.nodes.traits[name]
        taken = slot_debit(self.nodes.total[name])
        is_there = READY in traits and route_trait(route) in traits
        return is_there and all(one <= most for one, most in zip(taken, self.nodes.free[name], strict=True))
