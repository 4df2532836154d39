"""What placing costs: time of the server's scripts for a task that is placed, beside one that takes any slot."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import orjson

from taskexec.broker import message_template, queue_key
from taskexec.cluster import embedded_server
from taskexec.domain.fit import Ask, Option, agent_trait, route_trait
from taskexec.domain.program import Completion, Member, Program, ProgramTask, RunOptions
from taskexec.domain.resources import Route
from taskexec.settings import load_settings
from taskexec.store.connection import Connection
from taskexec.store.keys import direct_key
from taskexec.store.nodes import RedisNodes
from taskexec.store.runs import RedisRunStore

__all__ = ["measure_placement"]

TASKS = 500
WORKERS = 4
TRAITS = {"s:ready", route_trait("cpu"), agent_trait("noop")}
TOTAL = [4000, 8000, 1000, 4]
SAME = Ask((Option(1000, 10, 0, 0, 0, exclusive=False, has=(route_trait("cpu"), agent_trait("noop"))),)).encode()


def unlike(index: int, step: int) -> str:
    """Return one of eight asks, for up to eight steps of thousandths of a core."""
    option = Option(step * (1 + index % 8), 10, 0, 0, 0, exclusive=False, has=(route_trait("cpu"),))
    return Ask((option,)).encode()


def measure_placement(folder: Path, repeats: int) -> list[str]:
    """Return lines of Markdown: microseconds of the server for each task, from its start to its completion."""
    folder.mkdir()
    shapes = {
        "any slot, one at a time": [""] * TASKS,
        "placed, all ask for the same": [SAME] * TASKS,
        "placed, eight different asks, up to a core": [unlike(index, 125) for index in range(TASKS)],
        "placed, eight different asks, up to a whole worker": [unlike(index, 500) for index in range(TASKS)],
    }
    lines = ["| task without work, 4 workers of 4 slots | µs of the server a task | beyond any slot |", "|---|---|---|"]
    with embedded_server(load_settings({}, environ={}, cwd=folder)) as server:
        connection = Connection(server.url)
        nodes = RedisNodes(connection)
        for number in range(WORKERS):
            nodes.join(f"w{number}", TRAITS, TOTAL)
        runs = (f"bench{number}" for number in itertools.count())
        spent = {name: [_play(connection, next(runs), asks) for _ in range(repeats)] for name, asks in shapes.items()}
        floor = median(spent["any slot, one at a time"])
        for name, times in spent.items():
            lines.append(f"| {name} | {median(times):.0f} | {median(times) - floor:.0f} |")
        connection.close()
    return lines


def _play(connection: Connection, run_id: str, asks: list[str]) -> float:
    """Perform a run of independent tasks by hand; return the microseconds that scripts took, for each task."""
    store = RedisRunStore(connection)
    queue = queue_key(Route.CPU, 0)
    tasks = [ProgramTask((), 0, f"{queue}\tcpu\tnoop\tt{n}", b"\n{}", ask=ask) for n, ask in enumerate(asks)]
    options = RunOptions(batch_max=1)
    store.put(Program(run_id=run_id, tasks=tasks, template=message_template(run_id), plan=b"", canvas=b"", source="",
                      digest="", options=options))  # fmt: skip
    before = _script_us(connection)
    store.start(run_id)
    for number, (worker, member) in enumerate(_messages(connection, queue, len(tasks))):
        token = f"{worker}/1-{number}"
        store.claim(run_id, [member], worker=worker, token=token, lease_s=60.0)
        done = Completion(member=member, token=token, succeeded=True, record=b"{}", celery_key=f"{run_id}.{number}")
        store.complete(run_id, [done], worker=worker, agent="noop", spent_s=0.001)
    assert store.head(run_id).status == "succeeded"
    return (_script_us(connection) - before) / len(tasks)


def _messages(connection: Connection, queue: str, count: int) -> Iterator[tuple[str, Member]]:
    """Take messages in turn, as the workers do."""
    workers = itertools.cycle(f"w{number}" for number in range(WORKERS))
    while count:
        worker = next(workers)
        raw = connection.call("RPOP", direct_key(worker)) or connection.call("RPOP", queue)
        if raw is not None:
            count -= 1
            yield worker, Member(*orjson.loads(raw)["headers"]["tek"]["members"][0])


def _script_us(connection: Connection) -> int:
    stats = connection.client.info("commandstats")
    return int(stats["cmdstat_fcall"]["usec"]) if "cmdstat_fcall" in stats else 0


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tek-bench-") as name:
        sys.stdout.write("\n".join(measure_placement(Path(name) / "place", 5)) + "\n")
