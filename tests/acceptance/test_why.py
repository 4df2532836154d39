"""`tek why` and what is accepted before there are workers: the real command, on a cluster and from a folder at home."""

from __future__ import annotations

import pytest
from support.tek import Tek

pytestmark = pytest.mark.xdist_group("why")


def test_finished_run_is_explained_from_its_folder_alone(tek: Tek) -> None:
    plan = tek.write("plan.csv", "id,command,depends_on\na,true,\nb,false,a\nc,true,b\n")
    tek("run", plan).expect(1)

    done, skipped = tek("why", "last", "a").expect(0), tek("why", "last", "c", "--output", "json").expect(0).json
    unknown = tek("why", "last", "aa").expect(2)

    assert done.stdout.splitlines()[0] == "`a` succeeded with 1 attempt"
    assert "it was ready when the run began: it depends on nothing" in done.stdout
    assert (skipped["task"], skipped["why"]["kind"], skipped["changes"]) == ("c", "skipped", [])
    assert skipped["why"]["because_of"] == "b"
    assert "has no task `aa`" in unknown.stderr
    assert tek("why", "nothing", "a").expect(2).stderr.startswith("error[")


def test_plan_that_no_worker_could_run_is_accepted_when_somebody_waits_for_workers(tek: Tek) -> None:
    tek("up", "--concurrency", 1).expect(0)
    try:
        plan = tek.write("plan.csv", "id,cpus,command\nhuge,900,true\nsmall,,true\n")

        refused = tek("submit", plan).expect(4)
        accepted = tek("submit", plan, "--wait-for-workers", "--output", "quiet").expect(0)

        assert "900 cpus of" in refused.stderr
        assert "warning[needs.unmet]: task `huge` waits for workers: it asks for 900 cpus of" in accepted.stderr
        answer = tek("why", accepted.stdout.strip(), "huge", "--output", "json").expect(0).json
        assert answer["why"]["kind"] == "wanting"
        assert {"cpus", "worker"} & {
            name for change in answer["changes"] for name in (*change.get("write", ()), *change)
        }
        text = tek("why", accepted.stdout.strip(), "huge").expect(0).stdout
        assert "is too small: 900 cores needed, it has" in text
    finally:
        tek("down").expect(0)


def test_plan_that_only_an_expected_worker_could_run_is_accepted(tek: Tek) -> None:
    tek("up", "--concurrency", 1).expect(0)
    try:
        tek.write("cluster.yaml", "workers:\n  - {name: big, cpus: 1000}\n")
        tek.write("tek.toml", '[cluster]\nexpected = "cluster.yaml"\n')

        accepted = tek("submit", tek.write("plan.csv", "id,cpus,command\nhuge,900,true\n"), "--output", "quiet").expect(
            0
        )
        refused = tek("submit", tek.write("plan.csv", "id,cpus,command\nhuge,1001,true\n")).expect(4)

        assert "warning[needs.unmet]: task `huge` waits for workers: it asks for 900 cpus of" in accepted.stderr
        assert "1,001 cpus of 1,000 on the nearest worker, `big`, which is expected" in refused.stderr

        tek.write("cluster.yaml", "workers: none\n")
        tek("submit", tek.write("plan.csv", "id,command\nsmall,true\n")).expect(0)
        faulty = tek("submit", tek.write("plan.csv", "id,cpus,command\nhuge,900,true\n")).expect(2)
        assert "cluster.yaml:1" in faulty.stderr
    finally:
        tek("down").expect(0)
