"""Why attempts end, by their closed class of reasons, each brought about for real."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live import LiveCluster

MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@contextlib.contextmanager
def small_memory_group(name: str) -> Iterator[Path]:
    """Give a control group of 40 MiB, or skip where none can be made."""
    own = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), None)
    if own is None:
        pytest.skip("no control group of memory (version 1) here")
    group = MEMORY_GROUPS / own.rpartition(":")[2].strip("/") / name
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("40M")
    except OSError as error:
        pytest.skip(f"a control group cannot be made: {error}")
    try:
        yield group
    finally:
        group.rmdir()


def greedy(group: Path, *, then: str = "") -> str:
    """Return a command that enters a group and takes more memory than it has."""
    return f"echo $$ > {group}/cgroup.procs; {then or 'exec '}python3 -c 'len(bytearray(200 << 20))'"


def test_killed_command_has_run_out_of_memory_only_if_the_system_killed_it_for_that(
    live: LiveCluster,
) -> None:
    with small_memory_group(f"tek-test-{os.getpid()}") as group:
        home = live.carry_out(
            [
                {"id": "greedy", "command": greedy(group), "memory_mb": "40"},
                {"id": "under a shell", "command": greedy(group, then="true; "), "memory_mb": "40"},
            ]
        )
    other = live.carry_out([{"id": "killed", "command": "kill -9 $$"}])

    assert (other.results["killed"]["reason"], other.results["killed"]["signal"]) == ("signal", 9)
    assert [home.results[name]["reason"] for name in ("greedy", "under a shell")] == ["out_of_memory"] * 2
    assert "run out of memory" in home.results["greedy"]["error"]


def test_callable_that_gets_no_memory_has_run_out_of_it(live: LiveCluster) -> None:
    (live.project / "greedy.py").write_text("def take():\n    raise MemoryError('no more')\n")

    home = live.carry_out([{"id": "a", "agent": "python", "command": "greedy:take"}])

    assert home.results["a"]["reason"] == "out_of_memory"


def test_attempt_after_one_that_ran_out_of_memory_asks_for_more(live: LiveCluster) -> None:
    (live.project / "hungry.py").write_text(
        "import os\n"
        "def take():\n"
        "    asked = int(os.environ['TEK_MEMORY_MIB'])\n"
        "    if asked < 400:\n"
        "        raise MemoryError(f'{asked} is not enough')\n"
        "    return asked\n"
    )
    task = {"id": "a", "agent": "python", "command": "hungry:take", "memory_mb": "100", "retries": 5}

    home = live.carry_out([task | {"retry_memory": "2"}])

    assert home.statuses == {"a": "succeeded"}
    assert [home.record("a", number)["memory_mib"] for number in (1, 2, 3)] == [100, 200, 400]
    assert home.record("a", 3)["result"] == 400


def test_only_what_the_policy_names_is_tried_again(live: LiveCluster) -> None:
    home = live.carry_out(
        [
            {"id": "busy", "command": "[ $TEK_ATTEMPT = 2 ] || exit 75", "retries": 3, "retry_on": "exit 75"},
            {"id": "wrong", "command": "exit 1", "retries": 3, "retry_on": "exit 75"},
        ]
    )

    assert home.statuses == {"busy": "succeeded", "wrong": "failed"}
    assert [home.results[name]["attempts"] for name in ("busy", "wrong")] == [2, 1]
