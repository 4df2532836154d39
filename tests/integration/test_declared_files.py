"""Declared files: what a task reads is recorded by its digests, what it should leave comes home or fails it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.live import Home, LiveCluster, make_plan

from taskexec.plan import Plan


def declaring(command: str, *, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> Plan:
    """Return the plan of one task `a` that declares files."""
    plan = make_plan([{"id": "a", "command": command}])
    (task,) = plan.tasks
    return replace(plan, tasks=(task._replace(inputs=inputs, outputs=outputs),))


@pytest.fixture
def project(live: LiveCluster) -> Iterator[Path]:
    """A folder of its own in the worker's project folder."""
    folder = live.project / "declared"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_inputs_are_recorded_by_their_digests(live: LiveCluster, project: Path) -> None:
    (project / "deep").mkdir()
    for name in ("one.txt", "two.txt", "deep/three.txt"):
        (project / name).write_text(name)

    home = live.carry_out(declaring("true", inputs=("declared/*.txt", "declared/deep")))

    assert home.record("a")["inputs"] == {
        f"declared/{name}": sha256(name.encode()) for name in ("deep/three.txt", "one.txt", "two.txt")
    }


def test_input_that_is_not_there_fails_the_attempt_before_it_starts(live: LiveCluster, project: Path) -> None:
    home = live.carry_out(declaring("touch declared/ran", inputs=("declared/none-*",)))

    result = home.results["a"]
    assert (result["status"], result["reason"], result["commands"]) == ("failed", "refused", [])
    assert "`declared/none-*` is not there" in result["error"]
    assert list(project.iterdir()) == []


@pytest.mark.parametrize("pattern", ["/etc/hostname", "../outside", "declared/../../x"])
def test_files_outside_of_the_project_cannot_be_declared(live: LiveCluster, project: Path, pattern: str) -> None:
    home = live.carry_out(declaring("true", inputs=(pattern,)))

    assert "is not a path below the project folder" in home.results["a"]["error"]


def test_outputs_come_home_and_stay_where_they_are(live: LiveCluster, project: Path) -> None:
    command = (
        "mkdir -p declared/site/css; echo page > declared/site/index; echo a > declared/site/css/a; echo r > declared/r"
    )

    home = live.carry_out(declaring(command, outputs=("declared/site", "declared/r*")))

    files = home.attempt("a") / "outputs"
    found = {str(path.relative_to(files)): path.read_text() for path in files.rglob("*") if path.is_file()}
    assert found == {"declared/site/index": "page\n", "declared/site/css/a": "a\n", "declared/r": "r\n"}
    assert home.record("a")["files"]["outputs/declared/r"]["sha256"] == sha256(b"r\n")
    assert (project / "site" / "index").read_text() == "page\n"


def test_output_that_is_missing_at_the_end_fails_the_attempt(live: LiveCluster, project: Path) -> None:
    home = live.carry_out(declaring("echo x > declared/there", outputs=("declared/there", "declared/missing")))

    result = home.results["a"]
    assert (result["status"], result["reason"], result["exit_status"]) == ("failed", "exit", 0)
    assert "declared output `declared/missing` is not there" in result["error"]
    assert (home.attempt("a") / "outputs" / "declared" / "there").read_text() == "x\n"


def test_failure_of_the_command_is_told_rather_than_its_missing_output(live: LiveCluster, project: Path) -> None:
    home = live.carry_out(declaring("sh -c 'exit 7'", outputs=("declared/missing",)))

    assert home.results["a"]["exit_status"] == 7
    assert home.results["a"]["error"].endswith("exit status 7")


def test_dry_run_asks_for_no_files(live: LiveCluster, project: Path) -> None:
    home: Home = live.carry_out(declaring("true", inputs=("none",), outputs=("none",)), dry_run=True)

    assert home.results["a"]["status"] == "succeeded"
    assert "inputs" not in home.record("a")


def test_large_output_is_copied_to_the_spool_and_comes_home(fresh: Callable[..., LiveCluster]) -> None:
    live = fresh(evidence__spool_above_mib=1)
    live.start_worker(slots=1)

    home = live.carry_out(declaring("head -c 3000000 /dev/urandom > large", outputs=("large",)))

    content = (home.attempt("a") / "outputs" / "large").read_bytes()
    assert content == (live.project / "large").read_bytes()
    assert "spool" in home.record("a")["files"]["outputs/large"]
