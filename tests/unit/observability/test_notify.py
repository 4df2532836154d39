"""Whom a notification may reach, and what is told of a run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.waiting import wait_until

from taskexec.domain.claims import Claim
from taskexec.domain.events import LogEntry
from taskexec.domain.secrets import Redactor
from taskexec.errors import ConnectionLost
from taskexec.observability import RunView
from taskexec.observability.notify import (
    DeliveryFailed,
    DeliveryPolicy,
    Notice,
    NoticeKind,
    Notifier,
    RunWatch,
    Target,
    allowed_stakeholders,
    parse_target,
)
from taskexec.observability.notify.addresses import TargetKind
from taskexec.observability.notify.notifier import Memory

PLAN = {
    "source": "plan.csv",
    "tasks": [
        {"id": "a", "title": "first", "metadata": {"Stakeholders": "ada@example.org"}},
        {"id": "b", "title": "", "metadata": {}},
    ],
}


def notice(key: str = "run_ended/1") -> Notice:
    return Notice(kind=NoticeKind.RUN_ENDED, key=key, run_id="r", title="title", text="text")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://h.example/x", TargetKind.WEBHOOK),
        ("mailto:a@b.example", TargetKind.MAIL),
        ("mailto://user:pass@b.example", TargetKind.APPRISE),
        ("slack://a/b/c", TargetKind.APPRISE),
    ],
)
def test_target_is_known_by_its_address(address: str, kind: TargetKind) -> None:
    target = parse_target(address)

    assert target.kind is kind
    assert "pass" not in target.shown
    assert "/x" not in target.shown


@pytest.mark.parametrize(
    ("name", "patterns", "is_allowed"),
    [
        ("ada@example.org", ["*@example.org"], True),
        ("ADA@Example.org", ["*@example.org"], True),
        ("ada@example.org.evil", ["*@example.org"], False),
        ("ada@example.org", [], False),
        ("ada@example.org\nBcc: x@y.z", ["ada@other.org"], False),
        ("https://hooks.example.org/a", ["https://hooks.example.org/*"], True),
        ("https://hooks.example.org/a", ["https://*.example.org/*"], True),
        ("http://hooks.example.org/a", ["https://hooks.example.org/*"], False),
        ("https://hooks.example.org:8443/a", ["https://hooks.example.org/*"], False),
        ("https://hooks.example.org@evil.example/a", ["https://hooks.example.org*"], False),
        ("https://hooks.example.org.evil.example/a", ["https://hooks.example.org*"], False),
        ("https://hooks.example.org/a/../b", ["https://hooks.example.org/a/*"], False),
        ("https://evil.example/https://hooks.example.org/", ["https://hooks.example.org/*"], False),
        ("slack://a/b/c", ["*"], False),
        ("the data team", ["*"], False),
    ],
)
def test_only_addresses_that_a_pattern_allows_are_stakeholders(
    name: str, patterns: list[str], is_allowed: bool
) -> None:
    assert bool(allowed_stakeholders([name], patterns)) is is_allowed


def test_a_text_may_name_several_stakeholders() -> None:
    found = allowed_stakeholders(["a@x.org; <b@x.org>, c@y.org a@x.org"], ["*@x.org"])

    assert [target.address for target in found] == ["a@x.org", "b@x.org"]


def hear(lines: str, *, failures_max: int = 5, values: tuple[str, ...] = ()) -> list[Notice]:
    view = RunView(2)
    watch = RunWatch("r", PLAN, view, failures_max=failures_max, redactor=Redactor(values))
    entry = LogEntry("1-0", 5_000_000, "w@h", lines)
    view.apply([entry])
    return watch.hear([entry], 5_000_000)


def test_failed_task_is_told_with_its_stakeholders_and_without_secrets() -> None:
    record = '{"reason":"exit","error":"no hunter2-hunter2","exit_status":3}'

    (told,) = hear(f"F 0 2 {record}", values=("hunter2-hunter2",))

    assert told.key == "task_failed/0/2"
    assert told.stakeholders == ("ada@example.org",)
    assert (told.fields["error"], told.fields["exit_status"]) == ("no ***", 3)


def test_end_of_a_run_is_told_with_its_counts() -> None:
    told = hear("S 0 1 {}\nF 1 1 {}\nE failed 0", failures_max=0)

    assert [one.kind for one in told] == [NoticeKind.RUN_ENDED]
    assert told[0].fields["counts"] == {"succeeded": 1, "failed": 1}
    assert told[0].fields["failed"] == ["b"]


def test_what_is_not_final_is_not_told() -> None:
    assert hear("Q 0 1\nR 0 1\nT 0 1 {}\nQ 0 2") == []


WEBHOOK = Target(TargetKind.WEBHOOK, "https://h.example/")


def test_notice_is_tried_again_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskexec.observability.notify.notifier._FIRST_PAUSE_S", 0.001)
    tried: list[str] = []

    def deliver(target: Target, notice: Notice, policy: DeliveryPolicy) -> None:
        tried.append(notice.key)
        if len(tried) < 3:
            raise DeliveryFailed("busy")

    notifier = Notifier(DeliveryPolicy(), attempts=4, deliver=deliver)
    notifier.tell(notice(), [WEBHOOK])

    assert notifier.wait(5.0) == 0
    assert (len(tried), notifier.failed) == (3, 0)


@pytest.mark.parametrize(("is_final", "expected"), [(True, 1), (False, 3)])
def test_notice_is_given_up(is_final: bool, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskexec.observability.notify.notifier._FIRST_PAUSE_S", 0.001)
    tried: list[str] = []

    def deliver(target: Target, notice: Notice, policy: DeliveryPolicy) -> None:
        tried.append(notice.key)
        raise DeliveryFailed("no", is_final=is_final)

    notifier = Notifier(DeliveryPolicy(), attempts=3, deliver=deliver)
    notifier.tell(notice(), [WEBHOOK])

    assert notifier.wait(5.0) == 0
    assert (len(tried), notifier.failed) == (expected, 1)


def test_what_was_told_is_remembered_and_what_was_not_is_not(tmp_path: Path) -> None:
    def deliver(target: Target, notice: Notice, policy: DeliveryPolicy) -> None:
        if notice.key == "bad":
            raise DeliveryFailed("no", is_final=True)

    notifier = Notifier(DeliveryPolicy(), attempts=1, deliver=deliver)
    for key in ("good", "bad"):
        notifier.tell(notice(key), [WEBHOOK], Memory(tmp_path))
    notifier.wait(5.0)

    later = Memory(tmp_path)
    assert later.knows(f"good {WEBHOOK.digest}")
    assert not later.knows(f"bad {WEBHOOK.digest}")


def test_target_that_hangs_holds_no_other_up() -> None:
    release = threading.Event()
    reached: list[str] = []

    def deliver(target: Target, notice: Notice, policy: DeliveryPolicy) -> None:
        if target is WEBHOOK:
            release.wait(10.0)
        reached.append(target.address)

    notifier = Notifier(DeliveryPolicy(), attempts=1, deliver=deliver)
    notifier.tell(notice(), [WEBHOOK, Target(TargetKind.MAIL, "a@b.example")])

    wait_until(lambda: reached == ["a@b.example"], "the other one")
    release.set()
    assert notifier.wait(5.0) == 0


class OneClaim:
    """A server on which others tell something until they have told it, or have died."""

    def __init__(self, *standings: Claim) -> None:
        self._standings = list(standings)
        self.leases: list[float] = []
        self.noted: list[str] = []

    def claim(self, key: str, lease_s: float) -> Claim:
        self.leases.append(lease_s)
        return self._standings.pop(0)

    def told(self, key: str) -> None:
        self.noted.append(key)


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ([Claim.OURS], 1),
        ([Claim.TOLD], 0),
        ([Claim.OTHERS, Claim.TOLD], 0),
        ([Claim.OTHERS, Claim.OURS], 1),
    ],
)
def test_notice_is_told_by_whoever_has_claimed_it(
    standings: list[Claim], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskexec.observability.notify.notifier._LOOK_S", 0.001)
    reached: list[str] = []
    claims = OneClaim(*standings)
    notifier = Notifier(
        DeliveryPolicy(timeout_s=3.0),
        attempts=1,
        deliver=lambda target, *_: reached.append(target.address),
        claims=claims,
    )

    notifier.tell(notice(), [WEBHOOK], Memory(tmp_path))

    assert notifier.wait(5.0) == 0
    assert len(reached) == len(claims.noted) == expected
    assert min(claims.leases) > 3.0  # it outlasts an attempt
    assert Memory(tmp_path).knows(f"run_ended/1 {WEBHOOK.digest}")  # whoever has told it


def test_notice_is_told_without_a_claim_while_the_server_is_away() -> None:
    class Away(OneClaim):
        def claim(self, key: str, lease_s: float) -> Claim:
            raise ConnectionLost("nobody answers")

    reached: list[str] = []
    notifier = Notifier(
        DeliveryPolicy(), attempts=1, deliver=lambda target, *_: reached.append(target.address), claims=Away()
    )

    notifier.tell(notice(), [WEBHOOK])

    assert notifier.wait(5.0) == 0
    assert len(reached) == 1
