"""People and programs hear of runs: once for each event, again until they answer, and never at the cost of the run."""

from __future__ import annotations

import hashlib
import hmac
import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.live import LiveCluster
from support.receivers import Received, mail_server, web_receiver
from support.waiting import wait_until

from taskexec.cluster import Cluster
from taskexec.cluster.keeper import Keeper
from taskexec.domain.claims import Claim
from taskexec.store.told import ToldStore

Start = Callable[..., LiveCluster]


def told(request: Received) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(request.body)
    return message


def await_requests(hook: Any, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(hook.requests) >= count, f"{count} requests", diagnose=lambda: hook.requests)
    return [told(request) for request in hook.requests]


def test_webhook_hears_of_the_end_and_of_tasks_that_failed_for_good(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=f"{hook.url}/tek")
        live.start_worker(slots=2)

        home = live.carry_out(
            [{"id": "bad", "command": "sh -c 'exit 7'", "retries": 1}, {"id": "good", "command": "true"}]
        )

        failed, ended = await_requests(hook, 2)
    assert hook.requests[0].path == "/tek"
    names = ("event", "run_id", "task", "attempt", "reason", "exit_status")
    assert [failed[name] for name in names] == ["task_failed", home.summary["run_id"], "bad", 2, "exit", 7]
    assert (ended["event"], ended["status"], ended["failed"]) == ("run_ended", "failed", ["bad"])
    assert ended["counts"] == {"succeeded": 1, "failed": 1}


def test_webhook_is_signed_with_its_time(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url, notify__webhook_key="shared key")
        live.start_worker(slots=1)
        live.carry_out([{"id": "a"}])
        await_requests(hook, 1)

    (request,) = hook.requests
    signed = request.headers["X-Tek-Timestamp"].encode() + b"." + request.body
    expected = hmac.new(b"shared key", signed, hashlib.sha256).hexdigest()
    assert request.headers["X-Tek-Signature"] == f"sha256={expected}"
    assert abs(int(request.headers["X-Tek-Timestamp"]) - time.time()) < 300


def test_target_that_fails_is_told_again_and_one_that_refuses_is_not(fresh: Start) -> None:
    with web_receiver(lambda number: 503 if number < 3 else 200) as slow, web_receiver(lambda _: 410) as gone:
        live = fresh(notify__targets=f"{slow.url} {gone.url}")
        live.start_worker(slots=1)

        live.carry_out([{"id": "a"}])

        assert [message["event"] for message in await_requests(slow, 3)] == ["run_ended"] * 3
        assert len({request.headers["X-Tek-Delivery"] for request in slow.requests}) == 1
        assert len(gone.requests) == 1


def test_what_was_told_once_is_not_told_again_when_the_run_is_brought_home_again(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url)
        live.start_worker(slots=1)
        home = live.carry_out([{"id": "a", "command": "false"}])
        await_requests(hook, 2)
        (home.folder / "ledger.jsonl").unlink()  # all of it is read again

        live.finish(home.summary["run_id"])

        assert live.cluster.notifier.wait(5.0) == 0
        assert len(hook.requests) == 2
    assert len(json.loads((home.folder / ".told.json").read_text())) == 2


def test_target_that_hangs_holds_nothing_up(fresh: Start) -> None:
    with web_receiver() as hook:
        hook.hold = threading.Event()
        live = fresh(notify__targets=hook.url, notify__patience_s=0.2, notify__timeout_s=30.0)
        live.start_worker(slots=2)
        began = time.monotonic()

        home = live.carry_out([{"id": f"t{number}", "command": "false"} for number in range(5)])

        assert home.summary["status"] == "failed"
        assert time.monotonic() - began < 10.0
        hook.hold.set()
        assert live.cluster.notifier.wait(10.0) == 0


def test_failed_tasks_are_told_one_by_one_up_to_a_limit(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url, notify__failures_max=2)
        live.start_worker(slots=2)

        live.carry_out([{"id": f"t{number}", "command": "false"} for number in range(6)])

        messages = await_requests(hook, 3)
        assert live.cluster.notifier.wait(5.0) == 0
        assert [message["event"] for message in messages] == ["task_failed", "task_failed", "run_ended"]
        assert len(messages[-1]["failed"]) == 6


def test_command_gets_the_event_on_its_standard_input(fresh: Start, tmp_path: Path) -> None:
    program = f"import os, sys; open({str(tmp_path / 'told')!r}, 'a').write(os.environ['TEK_EVENT'] + sys.stdin.read())"
    live = fresh(notify__command=shlex.join([sys.executable, "-c", program]))
    live.start_worker(slots=1)

    home = live.carry_out([{"id": "a"}])

    assert live.cluster.notifier.wait(10.0) == 0
    text = (tmp_path / "told").read_text()
    assert text.startswith("run_ended")
    assert json.loads(text.removeprefix("run_ended"))["run_id"] == home.summary["run_id"]


def test_stakeholders_of_a_plan_get_mail_where_the_settings_allow_it(fresh: Start) -> None:
    with mail_server() as box:
        live = fresh(notify__stakeholders="*@example.org", notify__smtp_url=box.url, notify__sender="tek@example.org")
        live.start_worker(slots=1)

        live.carry_out(
            [
                {
                    "id": "a",
                    "command": "false",
                    "stakeholders": "ada@example.org; eve@evil.example, http://evil.example/",
                },
                {"id": "b", "stakeholders": "bob@example.org"},
            ]
        )

        assert live.cluster.notifier.wait(10.0) == 0
    heard = sorted((recipients[0], text.split("Subject: ")[1].split(" ")[0]) for _, recipients, text in box.mails)
    assert heard == [("ada@example.org", "run"), ("ada@example.org", "task"), ("bob@example.org", "run")]
    assert {sender for sender, _, _ in box.mails} == {"tek@example.org"}


def test_run_that_will_miss_its_deadline_is_told_of_before_it_does(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url, notify__events="deadline_in_danger", run__timeout_s=30.0)
        live.start_worker(slots=1)
        run_id = live.submit([{"id": f"t{number}", "command": "sleep 60", "duration": "60s"} for number in range(3)])
        live.await_state(run_id, "R1")
        collector = live.cluster.collector(run_id)

        try:
            wait_until(lambda: collector.step(wait_s=0.1) or hook.requests, "word of the deadline", timeout_s=20.0)
        finally:
            live.store.stop(run_id, kill=True)
            wait_until(lambda: collector.step(wait_s=0.1), "the end of the run")
            collector.close()

    (message,) = [told(request) for request in hook.requests]
    assert message["event"] == "deadline_in_danger"
    assert message["expected_end"] > message["deadline_at"]


def test_keeper_of_a_cluster_tells_of_the_runs_that_it_brings_home(fresh: Start) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url)
        live.start_worker(slots=2)
        runs = [live.submit([{"id": "a"}]) for _ in range(2)]

        Keeper(live.cluster, runs).run()

        messages = await_requests(hook, 2)
        assert live.cluster.notifier.wait(5.0) == 0
        assert sorted(message["run_id"] for message in messages) == sorted(runs)


def elsewhere(live: LiveCluster, runs_dir: Path) -> Cluster:
    """Return the same cluster as somebody else sees it, with folders of their own."""
    evidence = live.settings.evidence.model_copy(update={"runs_dir": runs_dir})
    return Cluster(live.server.url, live.settings.model_copy(update={"evidence": evidence}))


def keep(cluster: Cluster, *until_home: str, runs: Sequence[str] = ()) -> None:
    """Have a keeper bring home all runs of a cluster until some are, and tell all that it has to."""
    keeper = Keeper(cluster, runs)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    folder = cluster.settings.evidence.runs_dir

    def are_home() -> bool:
        summaries = [folder / run_id / "run.json" for run_id in until_home]
        return all(path.is_file() and json.loads(path.read_text())["ended"] for path in summaries)

    try:
        wait_until(are_home, "the runs to be at home", timeout_s=30.0)
    finally:
        keeper.stop()
        thread.join()
    assert cluster.notifier.wait(10.0) == 0


def test_each_event_is_told_once_however_many_bring_the_run_home(fresh: Start, tmp_path: Path) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url)
        live.start_worker(slots=2)
        run_id = live.submit([{"id": "a", "command": "sleep 1; false"}])
        clusters = [elsewhere(live, tmp_path / name) for name in "abc"]
        keepers = [threading.Thread(target=keep, args=(cluster, run_id)) for cluster in clusters]
        for keeper in keepers:
            keeper.start()
        for keeper in keepers:
            keeper.join()
        keep(elsewhere(live, tmp_path / "later"), run_id, runs=[run_id])

        assert sorted(told(request)["event"] for request in hook.requests) == ["run_ended", "task_failed"]


def test_new_keeper_tells_nothing_of_runs_that_are_over_unless_it_is_asked_for_them(
    fresh: Start, tmp_path: Path
) -> None:
    with web_receiver() as hook:
        live = fresh(notify__targets=hook.url)
        live.start_worker(slots=2)
        over = live.submit([{"id": "a"}])
        wait_until(lambda: live.store.head(over).finished_at, "the end of the run", timeout_s=30.0)

        keep(elsewhere(live, tmp_path / "new"), over)
        assert hook.requests == []

        keep(elsewhere(live, tmp_path / "asked"), over, runs=[over])
        assert [told(request)["run_id"] for request in hook.requests] == [over]


def test_what_somebody_had_claimed_who_died_is_told_by_the_next(fresh: Start, tmp_path: Path) -> None:
    live = fresh()
    dead, next_one = (ToldStore(live.cluster.connection, 60) for _ in range(2))

    assert dead.claim("r run_ended/1 x", 0.3) is Claim.OURS
    assert dead.claim("r run_ended/1 x", 0.3) is Claim.OURS
    assert next_one.claim("r run_ended/1 x", 30.0) is Claim.OTHERS
    wait_until(lambda: next_one.claim("r run_ended/1 x", 30.0) is Claim.OURS, "the claim to lapse")
    next_one.told("r run_ended/1 x")
    assert dead.claim("r run_ended/1 x", 30.0) is Claim.TOLD
