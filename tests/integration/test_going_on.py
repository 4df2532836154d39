"""Runs that go on: tasks that run again in place, a server that comes back empty, submissions that are repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.live import Home, LiveCluster, Task, make_plan
from support.waiting import wait_until

from taskexec.completion.keys import Identity, KeyFolder
from taskexec.completion.proof import verify_folder
from taskexec.domain.program import Program, RunOptions
from taskexec.domain.states import TaskStatus
from taskexec.errors import ConnectionLost, EvidenceUnwritable, NotFound, Refused, TasksBlocked
from taskexec.store.keys import run_key
from taskexec.store.runs import RedisRunStore
from taskexec.submission import Collector, FormerRun, Submitter, Takeover, Verdict
from taskexec.submission.journal import Here, Journal
from taskexec.submission.submit import prepare

Fresh = Callable[..., LiveCluster]


def problems(live: LiveCluster, home: Home) -> list[object]:
    """Return what the verification of a run finds wrong."""
    keys = KeyFolder(live.settings.security.keys_folder({"HOME": str(live.place.folder / "home")}))
    return list(verify_folder(home.folder, keys.trust()).problems)


def counted(folder: Path, name: str) -> int:
    path = folder / name
    return len(path.read_text().split()) if path.is_file() else 0


def counting(folder: Path, tasks: Sequence[Task]) -> list[Task]:
    """Return tasks that leave a mark each time they are executed."""
    return [{**task, "command": f"echo x >> {folder}/{task['id']}; {task.get('command', 'true')}"} for task in tasks]


def test_failed_tasks_run_again_in_place_and_the_rest_stands(live: LiveCluster, tmp_path: Path) -> None:
    tasks = counting(
        tmp_path,
        [
            {"id": "a"},
            {"id": "b", "command": f"test -e {tmp_path}/ok", "depends_on": "a"},
            {"id": "c", "command": "cat $TEK_INPUTS", "depends_on": "a;b"},
        ],
    )
    run_id = live.submit(tasks)
    failed = live.finish(run_id).statuses
    (tmp_path / "ok").touch()

    again = live.cluster.submitter.run_again(run_id, [1], why="test")
    home = live.finish(run_id)

    assert failed == {"a": "succeeded", "b": "failed", "c": "skipped"}
    assert again == [1, 2]
    assert set(home.statuses.values()) == {"succeeded"}
    assert [counted(tmp_path, name) for name in "abc"] == [1, 2, 1]
    assert home.results["b"]["attempts"] == 2
    assert problems(live, home) == []


def test_task_behind_a_failure_cannot_run_again_alone(live: LiveCluster) -> None:
    run_id = live.submit([{"id": "a", "command": "false"}, {"id": "b", "command": "true", "depends_on": "a"}])
    live.finish(run_id)

    with pytest.raises(TasksBlocked):
        live.cluster.submitter.run_again(run_id, [1], why="test")


def test_run_goes_on_after_its_server_came_back_empty_and_nothing_that_was_done_runs_again(
    fresh: Fresh, tmp_path: Path
) -> None:
    live = fresh()
    live.start_worker(slots=2)
    chain: list[Task] = [{"id": f"t{n}", "depends_on": f"t{n - 1}" if n else ""} for n in range(6)]
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    tasks = counting(tmp_path, [*chain[:3], {**chain[3], "command": wait}, *chain[4:]])
    run_id = live.submit(tasks)
    live.await_state(run_id, "R1", 3)
    before = live.cluster.collector(run_id)
    while not before.is_up_to_date:
        before.step(wait_s=0.0)
    before.finish()
    before.close()

    called = live.cluster.connection.call("HGET", run_key(run_id, "meta"), "source")
    live.lose_all_data()
    (tmp_path / "go").touch()
    live.cluster.submitter.take_up(run_id)
    home = live.finish(run_id, tend=True)

    assert live.cluster.connection.call("HGET", run_key(run_id, "meta"), "source") == called
    assert str(tmp_path).encode() not in called
    assert set(home.statuses.values()) == {"succeeded"}
    assert [counted(tmp_path, f"t{n}") for n in range(6)] == [1, 1, 1, 2, 1, 1]
    assert home.results["t3"]["attempts"] == 2
    assert len(home.transitions("submitted")) == 2
    assert problems(live, home) == []


def test_what_a_follower_had_read_and_not_yet_written_is_at_home_before_a_further_life_begins(
    fresh: Fresh, tmp_path: Path
) -> None:
    live = fresh()
    live.start_worker(slots=2)
    sign = tmp_path / "go"
    wait = f"while [ ! -e {sign} ]; do sleep 0.02; done"
    tasks = counting(tmp_path, [{"id": f"t{n}"} for n in range(40)] + [{"id": "last", "command": wait}])
    run_id = live.submit(tasks)
    live.await_state(run_id, "R1", 40)
    with contextlib.closing(live.cluster.collector(run_id)) as collector:
        while collector.view.counts[TaskStatus.SUCCEEDED] != 40:
            collector.step(wait_s=0.5)  # busy: it reads, and writes when there is time
        live.lose_all_data()
        wait_until(lambda: forgotten(collector), "the collector to find out")
    sign.touch()

    live.cluster.submitter.take_up(run_id)
    home = live.finish(run_id)

    assert [counted(tmp_path, f"t{n}") for n in range(40)] == [1] * 40
    assert problems(live, home) == []


def forgotten(collector: Collector) -> bool:
    """Return whether a collector has found out that its run is unknown to the server."""
    try:
        collector.step(wait_s=0.0)
    except NotFound:
        return True
    except ConnectionLost:
        pass
    return False


def test_run_that_was_stored_and_never_started_is_started(live: LiveCluster) -> None:
    submission = prepare(make_plan([{"id": "a", "command": "true"}]), RunOptions(), identity=live.cluster.identity)
    live.store.put(submission.program)

    live.cluster.submitter.run_again(submission.run_id, [], why="test")

    assert live.finish(submission.run_id).statuses == {"a": "succeeded"}


def test_run_of_which_nothing_was_brought_home_begins_anew_on_an_empty_server(fresh: Fresh, tmp_path: Path) -> None:
    live = fresh()
    live.start_worker(slots=1)
    sign = tmp_path / "go"
    run_id = live.submit(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": f"while [ ! -e {sign} ]; do sleep 0.02; done", "depends_on": "a"},
        ]
    )
    live.await_state(run_id, "R1", 1)

    live.lose_all_data()
    sign.touch()
    with pytest.raises(NotFound):
        live.store.head(run_id)
    live.cluster.submitter.take_up(run_id)
    home = live.finish(run_id)

    assert set(home.statuses.values()) == {"succeeded"}
    assert problems(live, home) == []


def test_same_key_is_the_same_run_however_often_it_is_submitted(live: LiveCluster) -> None:
    plan = make_plan([{"id": "a", "command": "true"}])
    first = live.cluster.submit(plan, dry_run=False, key="nightly").run_id
    home = live.finish(first)

    second = live.cluster.submit(plan, dry_run=False, key="nightly").run_id

    assert second == first
    assert live.finish(first).ledger == home.ledger


def test_run_that_was_submitted_elsewhere_with_the_key_can_be_collected_here(live: LiveCluster, tmp_path: Path) -> None:
    plan = make_plan([{"id": "a", "command": "true"}])
    elsewhere = Submitter(live.store, tmp_path / "elsewhere", lambda: live.cluster.identity)
    first = elsewhere.submit(plan, RunOptions(), key="shared").run_id

    second = live.cluster.submit(plan, dry_run=False, key="shared").run_id

    assert second == first
    assert live.finish(second).statuses == {"a": "succeeded"}


def test_key_that_stands_for_another_plan_is_refused(live: LiveCluster) -> None:
    first = live.cluster.submit(make_plan([{"id": "a", "command": "true"}]), dry_run=False, key="taken").run_id

    with pytest.raises(Refused) as caught:
        live.cluster.submit(make_plan([{"id": "b", "command": "true"}]), dry_run=False, key="taken")

    assert first in caught.value.message
    assert "taken" not in caught.value.message


def test_submission_that_was_journaled_and_never_sent_is_completed_by_the_next_one(live: LiveCluster) -> None:
    plan = make_plan([{"id": "a", "command": "true"}])
    store = live.store
    run_id = store.claim_key("half", "20260101-000000-000aaaaaa", plan.digest, 60)[0]

    completed = live.cluster.submit(plan, dry_run=False, key="half")

    assert completed.run_id == run_id
    assert live.finish(run_id).statuses == {"a": "succeeded"}


def test_key_of_a_submission_that_failed_before_anything_was_put_is_free(live: LiveCluster, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.write_text("in the way")
    submitter = Submitter(live.store, folder, lambda: live.cluster.identity)
    with pytest.raises(EvidenceUnwritable):
        submitter.submit(make_plan([{"id": "a", "command": "true"}]), RunOptions(), key="corrected")
    folder.unlink()

    corrected = submitter.submit(make_plan([{"id": "b", "command": "true"}]), RunOptions(), key="corrected")

    assert live.store.head(corrected.run_id)


def test_key_that_others_have_used_stays_theirs_when_a_repeat_fails(live: LiveCluster, tmp_path: Path) -> None:
    plan = make_plan([{"id": "a", "command": "true"}])
    first = live.cluster.submit(plan, dry_run=False, key="theirs").run_id
    before = live.store.claim_key("theirs", "20260101-000000-000aaaaaa", plan.digest, 60)

    def no_identity() -> Identity:
        raise EvidenceUnwritable("no key")

    with pytest.raises(EvidenceUnwritable):
        Submitter(live.store, tmp_path, no_identity).submit(plan, RunOptions(), key="theirs")

    assert live.store.claim_key("theirs", "20260101-000000-000aaaaaa", plan.digest, 60) == before
    assert before[0] == first


class LosesAnswers(RedisRunStore):
    """A store whose first answer to each call of a submission is lost on the way, after the server has done it."""

    def __init__(self, store: RedisRunStore) -> None:
        super().__init__(store.connection)
        self.lost: list[str] = []

    def _lose(self, call: str) -> None:
        if call not in self.lost:
            self.lost.append(call)
            raise ConnectionLost("the answer was lost")

    def put(self, program: Program) -> None:
        super().put(program)
        self._lose("put")

    def start(self, run_id: str) -> None:
        super().start(run_id)
        self._lose("start")


def test_submission_whose_answers_are_lost_is_one_run_and_each_task_is_done_once(
    live: LiveCluster, tmp_path: Path
) -> None:
    store = LosesAnswers(live.store)
    submitter = Submitter(store, live.settings.evidence.runs_dir, lambda: live.cluster.identity)
    plan = make_plan(counting(tmp_path, [{"id": "a"}, {"id": "b", "depends_on": "a"}]))

    run_id = submitter.submit(plan, RunOptions()).run_id
    home = live.finish(run_id)

    assert store.lost == ["put", "start"]
    assert [counted(tmp_path, name) for name in "ab"] == [1, 1]
    assert len(home.transitions("succeeded")) == 2


def test_journal_holds_what_a_further_life_needs(live: LiveCluster) -> None:
    submission = live.cluster.submit(make_plan([{"id": "a", "command": "true"}]), dry_run=True, here=Here("/work", 3))

    journal = Journal.read(live.settings.evidence.runs_dir / submission.run_id)

    assert (journal.plan_json, journal.canvas_json) == (submission.plan_json, submission.canvas_json)
    assert isinstance(journal.options, RunOptions)
    assert (journal.options.dry_run, journal.here) == (True, Here("/work", 3))


def test_results_of_an_earlier_run_are_taken_over_and_handed_on(live: LiveCluster, tmp_path: Path) -> None:
    def tasks(last: str) -> list[Task]:
        return counting(
            tmp_path,
            [
                {"id": "a", "command": 'echo 42 > "$TEK_RESULT"'},
                {"id": "b", "command": "true"},
                {"id": "c", "command": f'cat "$TEK_INPUTS"; echo; {last}', "depends_on": "a;b"},
            ],
        )

    first = live.carry_out(tasks("true"))
    plan = make_plan(tasks("echo changed"))
    takeover = Takeover.of(plan, FormerRun(first.folder), lambda _: {})

    home = live.finish(live.cluster.submit(plan, dry_run=False, takeover=takeover).run_id)

    assert [decision.verdict for decision in takeover.decisions] == [Verdict.REUSED, Verdict.REUSED, Verdict.CHANGED]
    assert home.statuses == {"a": "satisfied", "b": "satisfied", "c": "succeeded"}
    assert [counted(tmp_path, name) for name in "abc"] == [1, 1, 2]
    assert home.stdout("c").split() == ['{"a":42}', "changed"]
    assert home.attempt("a", 0).is_dir()
    assert problems(live, home) == []


def test_what_was_taken_over_stands_when_the_server_is_lost_before_anything_was_brought_home(
    fresh: Fresh, tmp_path: Path
) -> None:
    live = fresh()
    live.start_worker(slots=1)
    tasks = counting(tmp_path, [{"id": "a"}, {"id": "b", "depends_on": "a"}])
    former = live.carry_out(tasks[:1])
    plan = make_plan(tasks)
    takeover = Takeover.of(plan, FormerRun(former.folder), lambda _: {})
    for supervisor in live.supervisors:
        supervisor.kill()
    run_id = live.cluster.submit(plan, dry_run=False, takeover=takeover).run_id

    live.lose_all_data()
    live.cluster.submitter.take_up(run_id)
    live.start_worker(slots=1)
    home = live.finish(run_id)

    assert home.statuses == {"a": "satisfied", "b": "succeeded"}
    assert counted(tmp_path, "a") == 1
    assert problems(live, home) == []


def test_held_task_is_tried_again_when_its_delay_is_over(fresh: Fresh) -> None:
    live = fresh(worker__reap_interval_s=5.0)  # a delay does not wait for the next ordinary round
    live.start_worker(slots=1)
    home = live.carry_out(
        [{"id": "a", "command": "exit $((TEK_ATTEMPT < 3))", "retries": 3, "retry_delay": "0.2", "retry_factor": ""}]
    )

    assert home.results["a"]["attempts"] == 3
    assert len(home.transitions("delayed", "a")) == 2
    assert problems(live, home) == []


def test_task_over_its_total_time_has_failed_with_timeout_and_is_not_tried_again(live: LiveCluster) -> None:
    home = live.carry_out([{"id": "a", "command": "sleep 30", "retries": 5, "total_timeout_s": "0.5"}])

    assert (home.statuses["a"], home.results["a"]["reason"], home.results["a"]["attempts"]) == ("failed", "timeout", 1)


def test_run_whose_time_is_up_has_failed_and_leaves_nothing_running(fresh: Fresh) -> None:
    live = fresh(run__timeout_s=1.0)
    live.start_worker(slots=1)

    run_id = live.submit([{"id": "a", "command": "sleep 300"}, {"id": "b", "command": "true", "depends_on": "a"}])
    home = live.finish(run_id)

    assert home.summary["status"] == "failed"
    assert home.statuses == {"a": "cancelled", "b": "cancelled"}
    assert home.transitions("time_is_up")
    wait_until(lambda: not any("sleep 300" in line for line in live.place.listing().split("; ")), "the end of the task")
    assert problems(live, home) == []
