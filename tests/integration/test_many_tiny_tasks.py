"""Many tiny tasks cost few entries: their records travel in batches, and nothing of them in chunks."""

from __future__ import annotations

from support.live import LiveCluster

from taskexec.store.keys import run_key

TASKS = 1000


def test_a_thousand_tasks_take_few_entries_and_no_chunks(live: LiveCluster) -> None:
    home = live.carry_out([{"id": f"t{number}", "command": "/bin/true"} for number in range(TASKS)])

    run_id = home.summary["run_id"]
    entries = live.cluster.connection.call("XLEN", run_key(run_id, "log"))
    assert home.summary["counts"] == {"succeeded": TASKS}
    assert len({line["entry"] for line in home.ledger}) == entries
    assert entries < TASKS / 2, f"{entries} entries"  # a slow machine completes what is done more often
    assert live.cluster.connection.call("XLEN", run_key(run_id, "output")) == 0
