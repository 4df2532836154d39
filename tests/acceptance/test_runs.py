"""`tek runs`: what is known, what failed, and forgetting runs: on the server, at home, and what their files took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.tek import Tek
from support.waiting import wait_until

from taskexec.store.connection import Connection

pytestmark = pytest.mark.xdist_group("node")


def submitted(node: Tek, *tasks: dict[str, object]) -> str:
    """Carry out a plan on the node, with its evidence at home; return the run."""
    plan = node.write("plan.csv", list(tasks))
    return str(node("submit", plan, "--wait", "--output", "json").json["run_id"])


def known(node: Tek) -> set[str]:
    return {row["run_id"] for row in node("runs", "--output", "json").expect(0).json["runs"]}


def keys_of(node: Tek, run_id: str) -> list[str]:
    connection = Connection(json.loads((node.cwd / "up.json").read_text())["redis_url"])
    try:
        return [key.decode() for key in connection.call("KEYS", f"*{run_id}*")]
    finally:
        connection.close()


def lifetime_s(node: Tek, key: str) -> int:
    connection = Connection(json.loads((node.cwd / "up.json").read_text())["redis_url"])
    try:
        return int(connection.call("TTL", key))
    finally:
        connection.close()


def test_run_that_is_removed_is_gone_everywhere(node: Tek) -> None:
    run_id = submitted(node, {"id": "a", "command": 'head -c 9000000 /dev/zero > "$TEK_OUTPUT/big"'})
    spool = node.place.folder / "state" / "taskexec" / "spool" / run_id
    assert (node.cwd / "runs" / run_id / "tasks" / "a" / "attempt-1" / "files" / "big").stat().st_size == 9_000_000
    assert spool.is_dir()

    told = node("runs", "rm", run_id, "--yes", "--output", "json").expect(0).json

    assert told["removed"] == [{"run_id": run_id, "server": True, "folder": f"runs/{run_id}"}]
    assert keys_of(node, run_id) == []
    assert not (node.cwd / "runs" / run_id).exists()
    assert not spool.exists()
    assert run_id not in known(node)


def test_evidence_can_be_kept(node: Tek) -> None:
    run_id = submitted(node, {"id": "a", "command": "echo kept"})

    node("runs", "rm", run_id, "--yes", "--keep-evidence").expect(0)

    assert keys_of(node, run_id) == []
    assert node("logs", run_id, "a").expect(0).stdout == "kept\n"


def test_nothing_is_removed_without_being_meant(node: Tek) -> None:
    run_id = submitted(node, {"id": "a"})

    asked = node("runs", "rm", run_id).expect(2)
    tried = node("runs", "rm", run_id, "--dry-run").expect(0)
    young = node("runs", "rm", "--older-than", "7d", "--yes").expect(0)
    node("runs", "rm").expect(2)
    node("runs", "rm", "--older-than", "soon").expect(2)
    node("runs", "rm", "no-such-run", "--yes").expect(2)

    assert "--yes" in asked.stderr
    assert f"run {run_id} would be removed from the server and runs/{run_id}" in tried.stdout
    assert young.stdout == ""
    assert run_id in known(node)
    assert (node.cwd / "runs" / run_id / "run.json").is_file()


def test_run_that_goes_on_is_not_removed(node: Tek) -> None:
    sign = node.cwd / "rm.go"
    plan = node.write("plan.csv", [{"id": "a", "command": f"until [ -e {sign} ]; do sleep 0.02; done"}])
    run_id = str(node("submit", plan, "--output", "json").expect(0).json["run_id"])
    try:
        node("runs", "rm", run_id, "--yes").expect(4)
        node("runs", "rm", "--older-than", "0s", "--dry-run", "--output", "json").expect(0)

        assert run_id in known(node)
    finally:
        sign.touch()
        node("watch", run_id).expect(0)


def test_old_runs_are_removed_together(node: Tek) -> None:
    runs = [submitted(node, {"id": "a"}) for _ in range(2)]
    wait_until(lambda: known(node) >= set(runs), "the runs")

    removed = node("runs", "rm", "--older-than", "0s", "--yes", "--output", "json").expect(0).json["removed"]

    assert {row["run_id"] for row in removed} >= set(runs)
    assert known(node).isdisjoint(runs)


def test_folder_of_a_run_that_was_never_finished_can_be_removed(tek: Tek) -> None:
    folder = tek.cwd / "runs" / "20200101-000000-000aaaaaa"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "journal.json").write_text("{}")

    tek("runs", "rm", folder.name, "--yes").expect(0)

    assert not folder.exists()


def test_failed_tasks_are_listed_with_what_tries_them_again(node: Tek) -> None:
    run_id = submitted(node, {"id": "good", "command": "true"}, {"id": "bad one", "command": "false", "retries": 1})

    shape = node("runs", "--failed", "--output", "json").expect(0).json
    table = node("runs", "--failed").expect(0).stdout

    (row,) = [row for row in shape["failed"] if row["run_id"] == run_id]
    assert (row["task"], row["attempts"], row["reason"]) == ("bad one", 2, "exit")
    assert row["retry"] == ["tek", "retry", run_id, "bad one"]
    assert f"tek retry {run_id}" in table.replace("\n", " ")


def test_no_key_of_a_finished_run_stays_for_ever(node: Tek) -> None:
    run_id = submitted(
        node,
        {"id": "talks", "command": "head -c 100000 /dev/zero"},
        {"id": "fails", "command": "false", "retries": 1},
        {"id": "skipped", "command": "true", "depends_on": "fails"},
    )

    keys = keys_of(node, run_id)

    assert any(key.endswith(":output") for key in keys)
    assert [key for key in keys if lifetime_s(node, key) < 0] == []


def test_files_of_one_run_are_brought_home_by_tek_run_and_leave_nothing_behind(tek: Tek) -> None:
    home = tek.home(tek.run([{"id": "a", "command": 'head -c 9000000 /dev/urandom > "$TEK_OUTPUT/big"'}]).expect(0))

    path: Path = home.attempt("a") / "files" / "big"
    assert path.stat().st_size == 9_000_000
    assert path.stat().st_nlink == 1
    assert not (tek.place.folder / "state" / "taskexec" / "spool" / home.summary["run_id"]).exists()
