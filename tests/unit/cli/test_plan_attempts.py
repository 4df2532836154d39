"""The cells of `tek plan` about retries, ends and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskexec.cli.plan_attempts import describe_end, describe_files, describe_retry
from taskexec.domain.retry import RetryPolicy
from taskexec.domain.task import Task

from .conftest import Tek


@pytest.mark.parametrize(
    ("policy", "cell"),
    [
        (RetryPolicy(), "3"),
        (RetryPolicy(10.0, 2.0, 300.0), "3 after 10 s x2 up to 5 m 00 s"),
        (RetryPolicy(0.5, jitter=0.25), "3 after 0.5 s jitter 0.25"),
        (RetryPolicy(on=("timeout", "exit 75")), "3, on timeout or exit 75"),
        (RetryPolicy(on=(*RetryPolicy().on, "refused"), memory_factor=1.5), "3, on any, memory x1.5"),
    ],
)
def test_policy_in_few_words(policy: RetryPolicy, cell: str) -> None:
    assert describe_retry(Task("a", retries=3, retry=policy)) == cell


def test_ends_and_files_in_few_words() -> None:
    task = Task("a", total_timeout_s=3600.0, deadline_at=1_772_388_030.0, inputs=("a", "b"), outputs=("c",))

    assert describe_end(task) == "1 h 00 m, 2026-03-01 18:00:30Z"
    assert describe_files(task) == "2 in, 1 out"
    assert (describe_end(Task("a")), describe_files(Task("a"))) == ("", "")


def test_columns_are_shown_only_where_something_is_said(call_tek: Tek, in_folder: Path) -> None:
    (in_folder / "some.csv").write_text("id,retries,retry_delay,outputs\na,1,10s,x\nb,,,\n")
    (in_folder / "none.csv").write_text("id,retries,timeout\na,0,10s\nb,,\n")

    some, none = call_tek("plan", "some.csv").stdout, call_tek("plan", "none.csv").stdout

    assert "1 after 10 s" in some
    assert "1 out" in some
    assert not any(f" {word} " in none for word in ("retry", "ends", "files"))
