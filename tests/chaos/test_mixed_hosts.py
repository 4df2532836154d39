"""A mixed plan on unlike hosts with addresses of their own, of which one joins and one is drained half-way.

Whether workers kept to what they have is counted here anew, from the plan's words and the times in the records: nothing
of the project's own rules of what fits is used.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.hosts import network, why_not
from support.isolation import new_place
from support.live import Home, Task, csv_text
from support.net import Net
from support.waiting import wait_until

from taskexec.store.embedded import ServerProgram

LEASE_S = 6.0
SKEW_S = 0.5
"""What the ranks of a gang may start apart where other tests run; it is some milliseconds on an idle machine."""
CHECK_RUN = Path(__file__).parents[3] / "shared" / "workloads" / "check_run.py"

REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.xdist_group("hosts"),
    pytest.mark.timeout(240),
]


@dataclass(frozen=True)
class Spec:
    """What a host's worker is declared to have."""

    classes: tuple[str, ...]
    cpus: int
    memory_mib: int
    gpus: int = 0
    gpu_memory_mib: int = 0
    labels: tuple[str, ...] = ()

    def options(self) -> list[object]:
        named = [part for name in self.classes for part in ("--class", name)]
        named += [part for label in self.labels for part in ("--label", label)]
        gpus = f"{self.gpus}:{self.gpu_memory_mib}M" if self.gpus else "none"
        return [*named, "--cpus", self.cpus, "--memory", f"{self.memory_mib}M", "--gpus", gpus]


A = Spec(("cpu",), 4, 2048)
B = Spec(("cpu", "distributed"), 2, 1024)
C = Spec(("gpu",), 4, 4096, gpus=2, gpu_memory_mib=24_576)
D = Spec(("distributed", "cpu"), 3, 1536, labels=("ssd",))
E = Spec(("cpu", "distributed"), 3, 1536)


SAY = "echo $CUDA_VISIBLE_DEVICES; date +%s.%N; {0}; date +%s.%N; echo x >> {1}/$TEK_TASK.${{RANK:-0}}"
KINDS: Sequence[Mapping[str, object]] = (
    {},
    {"cpus": 2},
    {"memory_mb": 400},
    {"gpus": 0.5, "gpu_memory": "8G"},
    {},
    {"gpus": 1, "gpu_memory": "20G"},
    {"has": "ssd"},
    {"nodes": 2},
    {"cpus": 0.5, "memory_mb": 100},
    {"gpus": 2},
    {"nodes": 3, "packed": "yes", "cpus": 0.5},
    {"cpus": 1.5, "memory_mb": 300},
    {"gpus": 0.5},
    {"nodes": 2, "packed": "yes", "gpus": 1, "queue": "gpu"},
    {"exclusive": "yes"},
    {},
    {"gpus": 0.25, "gpu_memory": "10G", "cpus": 2},
)
"""What tasks ask for, in turn; every sixteenth depends on nothing."""


def mixed(count: int, marks: Path) -> list[dict[str, object]]:
    """Return tasks of all kinds that take 0.05 to 0.2 s; each depends on up to two of those some places before it."""
    tasks: list[dict[str, object]] = []
    for number in range(count):
        before = sorted({number - 19, number - 23 - number % 5}) if number % 16 != 15 else []
        tasks.append(
            {
                "id": f"t{number}",
                "command": SAY.format(f"sleep {0.05 * (1 + number * 7 % 4):.2f}", marks),
                "depends_on": ";".join(f"t{one}" for one in before if one >= 0),
                "priority": number * 5 % 10,
                **KINDS[number % len(KINDS)],
            }
        )
    return tasks


def gate(name: str, marks: Path, sign: Path) -> dict[str, object]:
    """Return a task that waits for a file; it runs on no host that is drained."""
    waiting = f"while [ ! -e {sign} ]; do sleep 0.05; done"
    return {"id": name, "command": SAY.format(waiting, marks), "depends_on": "", "has": "ssd", "cpus": 0.1}


def behind(tasks: Sequence[dict[str, object]], name: str) -> list[dict[str, object]]:
    """Return tasks that wait for one more."""
    return [task | {"depends_on": ";".join(filter(None, [str(task["depends_on"]), name]))} for task in tasks]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Stay:
    """What a task, or one rank of it, had of a worker, and from when to when."""

    task: str
    host: str
    start: float
    end: float
    cpus: float
    memory_mib: float
    gpus: float
    is_exclusive: bool


def stays(tasks: Sequence[Task], events: Sequence[Mapping[str, Any]], home: Home) -> Iterator[Stay]:
    """Yield where everything was, by the events of the run and, for ranks, by the records."""
    seen = {event["id"]: event for event in events}
    for task in tasks:
        name, event = str(task["id"]), seen[task["id"]]
        parts = home.record(name)["ranks"] if "nodes" in task else [event]
        for part in parts:
            yield Stay(
                name,
                part["worker"].partition("@")[2],
                seconds(part["started_at"]),
                seconds(part["finished_at"]),
                float(str(task.get("cpus", 1))),
                float(str(task.get("memory_mb", 0))),
                float(str(task.get("gpus", 0))),
                "exclusive" in task,
            )


def most(amounts: Sequence[tuple[float, float, float]]) -> float:
    """Return the largest sum at one moment of amounts that were taken from one time to another."""
    marks = sorted([(start, 1, amount) for start, _, amount in amounts] + [(end, 0, -a) for _, end, a in amounts])
    now = top = 0.0
    for _, _, amount in marks:
        now += amount
        top = max(top, now)
    return round(top, 6)


def overfull(found: Sequence[Stay], specs: Mapping[str, Spec]) -> list[str]:
    """Return in words where a worker had more than it has, or something beside what wanted it alone."""
    problems = []
    for host, spec in specs.items():
        here = [stay for stay in found if stay.host == host]
        for name, limit in (("cpus", spec.cpus), ("memory_mib", spec.memory_mib), ("gpus", spec.gpus)):
            top = most([(stay.start, stay.end, getattr(stay, name)) for stay in here])
            if top > limit:
                problems.append(f"{host} had {top:g} {name} in use of {limit}")
        top = most([(stay.start, stay.end, 1) for stay in here])
        if top > spec.cpus:
            problems.append(f"{host} had {top:g} tasks at once with {spec.cpus} slots")
        for alone in (stay for stay in here if stay.is_exclusive):
            others = [other for other in here if other.start < alone.end and alone.start < other.end]
            problems += [
                f"{alone.task} was not alone on {host}: {one.task} was there" for one in others if one != alone
            ]
    return problems + [f"{stay.task} was on {stay.host}" for stay in found if stay.host not in specs]


def gpu_clashes(tasks: Sequence[Task], home: Home, specs: Mapping[str, Spec]) -> list[str]:
    """Return in words which tasks had more of a GPU together than there is, by what they themselves have printed."""
    shares: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    memory: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    problems = []
    for task in tasks:
        name, wanted = str(task["id"]), float(str(task.get("gpus", 0)))
        host = str(home.results[name]["worker"]).partition("@")[2]
        for rank in range(int(str(task.get("nodes", 1))) if wanted else 1):  # ranks with GPUs are all on one worker
            folder = home.attempt(name) / (f"rank-{rank}" if rank else "")
            given, start, end = (folder / "stdout.log").read_text().split("\n")[:3]
            gpus = [gpu for gpu in given.split(",") if gpu]
            if len(gpus) != math.ceil(wanted) or len(set(gpus)) != len(gpus):
                problems.append(f"{name} asked for {wanted:g} GPUs and was given {gpus}")
            asked, size = float(str(task.get("gpu_memory", "0G")).rstrip("G")) * 1024, specs[host].gpu_memory_mib
            for gpu in gpus:
                span = (float(start), float(end))
                shares[host, gpu].append((*span, min(wanted, 1.0)))
                memory[host, gpu].append((*span, size if wanted >= 1 else asked or size * wanted))
    for (host, gpu), taken in shares.items():
        if most(taken) > 1:
            problems.append(f"{gpu} of {host} was given out {most(taken):g} times at once")
        if most(memory[host, gpu]) > specs[host].gpu_memory_mib:
            problems.append(f"{most(memory[host, gpu]):g} MiB of {gpu} of {host} were given out at once")
    return problems


def check_with_checker(
    folder: Path, tasks: Sequence[Task], events: Sequence[Mapping[str, Any]], home: Home, specs: Mapping[str, Spec]
) -> None:
    """Have the independent checker of the workloads look at the run, where it is at hand.

    It is told of ranks as of tasks: each gives back what it had when it is over, before the whole may be.
    """
    if not CHECK_RUN.is_file():
        return
    seen = {event["id"]: event for event in events}
    ranks = {str(task["id"]): range(int(str(task.get("nodes", 1)))) for task in tasks}
    rows, told = [], []
    for task in tasks:
        name, before = str(task["id"]), filter(None, str(task["depends_on"]).split(";"))
        amounts = {"cpus": task.get("cpus", 1), "memory_mb": task.get("memory_mb", 0), "gpus": task.get("gpus", 0)}
        dependencies = ";".join(f"{one}.{rank}" for one in before for rank in ranks[one])
        parts = home.record(name)["ranks"] if "nodes" in task else [seen[name]]
        for rank in ranks[name]:
            rows.append({"id": f"{name}.{rank}", "depends_on": dependencies, "command": task["command"], **amounts})
            times = {at: parts[rank][at] for at in ("started_at", "finished_at")}
            told.append({"id": f"{name}.{rank}", **times} | {word: seen[name][word] for word in ("status", "attempts")})
    (folder / "events.json").write_text(json.dumps(told))
    (folder / "neutral.csv").write_text(csv_text(rows))
    totals = [sum(getattr(spec, name) for spec in specs.values()) for name in ("cpus", "gpus", "memory_mib")]
    argv = [sys.executable, CHECK_RUN, folder / "neutral.csv", folder / "events.json"]
    options = [f"--cpus={totals[0]}", f"--gpus={totals[1]}", f"--memory-mb={totals[2]}", "--json"]
    found = subprocess.run([*map(str, argv), *options], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr
    print("check_run:", found.stdout)  # noqa: T201 - figures for whoever asks with `pytest -s`


def test_check_finds_workers_that_had_too_much() -> None:
    def stay(task: str, start: float, end: float, **wanted: Any) -> Stay:
        amounts: dict[str, Any] = {"cpus": 1, "memory_mib": 0, "gpus": 0, "is_exclusive": False}
        return Stay(task, "h", start, end, **amounts | wanted)

    spec = {"h": Spec(("cpu",), 2, 100, gpus=1)}
    in_turn = [stay("a", 0, 1, cpus=2, memory_mib=100, gpus=1), stay("b", 1, 2, cpus=2, is_exclusive=True)]

    assert overfull(in_turn, spec) == []
    assert overfull([*in_turn, stay("c", 0.9, 1.1, cpus=0.5, memory_mib=1, gpus=0.5)], spec) == [
        "h had 2.5 cpus in use of 2",
        "h had 101 memory_mib in use of 100",
        "h had 1.5 gpus in use of 1",
        "b was not alone on h: c was there",
    ]
    assert overfull([stay(name, 0, 1, cpus=0.1) for name in "abc"], spec) == ["h had 3 tasks at once with 2 slots"]


class Mixed:
    """A cluster of some hosts, and one mixed run on it."""

    def __init__(self, net: Net, specs: Sequence[Spec]) -> None:
        self.net = net
        self.specs: dict[str, Spec] = {}
        """Of every host that was there, by its name."""
        self.marks = net.place.folder / "marks"
        self.marks.mkdir()
        net.start_server()
        for spec in specs:
            self.join(spec)
        net.await_workers(len(specs))

    def join(self, spec: Spec) -> str:
        """Start a worker on the next host; return the host's name."""
        host = self.net.hosts.workers[len(self.specs)]
        self.specs[host.name] = spec
        self.net.start_worker(host, *spec.options())
        return host.name

    def submit(self, tasks: Sequence[Task]) -> subprocess.Popen[bytes]:
        plan = self.net.place.folder / "mixed.csv"
        plan.write_text(csv_text(tasks))
        return self.net.tek("submit", plan, "--wait", "--output", "json")

    def await_done(self, count: int) -> None:
        def is_enough() -> bool:
            return sum(1 for _ in self.marks.iterdir()) >= count

        wait_until(is_enough, f"{count} tasks to be done", timeout_s=90.0, diagnose=self.net.seen)

    def finish(self, following: subprocess.Popen[bytes], tasks: Sequence[Task]) -> Home:
        """Wait for the end of a run and check all that can be said of it."""
        stdout, _ = following.communicate(timeout=120)
        assert following.returncode == 0, (stdout, self.net.seen())
        home = Home(self.net.place.folder / json.loads(stdout)["folder"])
        events = self.net.ask("events", home.folder.name)
        verified = self.net.tek("verify", home.folder)
        said, _ = verified.communicate(timeout=60)
        assert verified.returncode == 0, said
        self.check(tasks, home, events)
        return home

    def check(self, tasks: Sequence[Task], home: Home, events: Sequence[Mapping[str, Any]]) -> None:
        counts = {(event["id"], event["status"], event["attempts"]) for event in events}
        assert counts == {(task["id"], "succeeded", 1) for task in tasks}
        ranks = [f"{task['id']}.{rank}" for task in tasks for rank in range(int(str(task.get("nodes", 1))))]
        assert {path.name: path.read_text() for path in self.marks.iterdir()} == dict.fromkeys(ranks, "x\n")
        assert home.order_violations(tasks) == []
        found = list(stays(tasks, events, home))
        assert {stay.host for stay in found} == set(self.specs)
        assert overfull(found, self.specs) == []
        assert gpu_clashes(tasks, home, self.specs) == []
        for name in (str(task["id"]) for task in tasks if task.get("nodes") and not task.get("packed")):
            hosts = [rank["host"] for rank in home.record(name)["ranks"]]
            assert len(set(hosts)) == len(hosts), name
        labelled = {stay.host for stay in found for task in tasks if task["id"] == stay.task and task.get("has")}
        assert all("ssd" in self.specs[host].labels for host in labelled)
        check_with_checker(self.net.place.folder, tasks, events, home, self.specs)
        skews = [self.skew_s(home, str(task["id"])) for task in tasks if "nodes" in task]
        median_ms, most_ms = statistics.median(skews) * 1e3, max(skews) * 1e3
        print(f"{len(skews)} gangs, skew: median {median_ms:.1f} ms, most {most_ms:.1f} ms")  # noqa: T201 - the same
        assert max(skews) < SKEW_S

    @staticmethod
    def skew_s(home: Home, task: str) -> float:
        started = [seconds(rank["started_at"]) for rank in home.record(task)["ranks"]]
        return max(started) - min(started)


def new_mixed(server_program: ServerProgram, specs: Sequence[Spec], *, room_for: int) -> Iterator[Mixed]:
    with new_place() as place, network(place, workers=len(specs) + room_for) as hosts:
        net = Net(place, hosts, server_program, lease_s=LEASE_S)
        try:
            yield Mixed(net, specs)
        finally:
            net.close()


@pytest.fixture
def four(server_program: ServerProgram) -> Iterator[Mixed]:
    yield from new_mixed(server_program, (A, B, C, D), room_for=1)


@pytest.fixture
def two(server_program: ServerProgram) -> Iterator[Mixed]:
    both = ("cpu", "gpu", "distributed")
    left = Spec(both, 4, 2048, gpus=2, gpu_memory_mib=24_576)
    right = Spec(both, 3, 1024, labels=("ssd",))
    yield from new_mixed(server_program, (left, right), room_for=0)


def test_mixed_plan_keeps_two_unlike_hosts_within_what_they_have(two: Mixed) -> None:
    tasks = mixed(40, two.marks)

    two.finish(two.submit(tasks), tasks)


@pytest.mark.slow
def test_mixed_plan_goes_on_while_a_host_joins_and_another_is_drained(four: Mixed) -> None:
    has_joined, has_left = four.net.place.folder / "joined", four.net.place.folder / "left"
    tasks = mixed(150, four.marks)
    gates = [gate("joined", four.marks, has_joined), gate("left", four.marks, has_left)]
    tasks = [*gates, *tasks[:70], *behind(tasks[70:120], "joined"), *behind(tasks[120:], "left")]
    following = four.submit(tasks)
    drained, joining = four.net.hosts.workers[1].name, four.join(E)
    four.await_done(60)
    four.net.await_workers(5)
    leaving = four.net.worker_names()[drained]

    has_joined.touch()
    drain = four.net.tek("drain", leaving, "--wait", "--timeout", 60)
    said, _ = drain.communicate(timeout=90)
    assert drain.returncode == 0, (said, four.net.seen())
    left_at = time.time()
    process = four.net.processes.pop(drained)
    process.communicate(timeout=20)
    has_left.touch()
    home = four.finish(following, tasks)

    assert process.returncode == 0
    on_it = [result for result in home.results.values() if result["worker"] == leaving]
    assert on_it
    assert max(seconds(result["finished_at"]) for result in on_it) < left_at
    assert any(str(result["worker"]).endswith(f"@{joining}") for result in home.results.values())
