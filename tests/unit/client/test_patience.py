"""Tests of how long a cluster that is away is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from taskexec.client import patience as module
from taskexec.client.patience import Away, Patience, retry_after_s
from taskexec.errors import ClusterError, ConnectionLost


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lost() -> Away:
    return Away(ConnectionLost("nobody answers"))


def is_away() -> None:
    raise ConnectionLost("nobody answers")


def busy(wait_s: float = 0.0) -> Away:
    return Away(ClusterError("too many requests"), is_there=True, wait_s=wait_s)


def test_cluster_that_never_was_there_is_not_waited_for(clock: Clock) -> None:
    with pytest.raises(ConnectionLost):
        Patience().bear(lost())

    assert clock.slept == []


def test_cluster_that_was_there_is_waited_for_a_minute_from_when_it_went_away(clock: Clock) -> None:
    patience = Patience()
    patience.answered()
    clock.now += 3600.0  # it was silent, which is not to be away

    with pytest.raises(ConnectionLost):
        patience.call(is_away)

    assert 55.0 < sum(clock.slept) < 70.0
    assert clock.slept[:3] == [0.2, 0.4, 0.8]


def test_each_absence_has_a_minute_of_its_own(clock: Clock) -> None:
    patience = Patience(was_there=True)

    for _ in range(40):
        patience.bear(lost())
        patience.went_on()

    assert set(clock.slept) == {0.2}


def test_answer_that_asks_to_come_back_is_left_alone_for_so_long(clock: Clock) -> None:
    Patience().bear(busy(wait_s=7.0))

    assert clock.slept == [7.0]


def test_whoever_asks_for_longer_than_anybody_waits_is_not_waited_for(clock: Clock) -> None:
    with pytest.raises(ClusterError):
        Patience().bear(busy(wait_s=3600.0))


def test_nobody_waits_beyond_the_instant(clock: Clock) -> None:
    patience = Patience(until=clock.now + 1.0, was_there=True)

    with pytest.raises(ConnectionLost):
        patience.call(is_away)

    assert patience.is_over
    assert sum(clock.slept) == pytest.approx(1.0)


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert retry_after_s({"Retry-After": "5"}) == 5.0
    assert 90.0 < retry_after_s({"Retry-After": later}) <= 100.0
    assert [retry_after_s({"Retry-After": text}) for text in ("", "soon", "-1", "\u0661")] == [0.0] * 4
    assert retry_after_s({}) == 0.0
