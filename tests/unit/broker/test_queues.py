"""Tests of priorities and queue names: one translation, and kombu's own names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.redis import Channel

from taskexec.broker import queue_key
from taskexec.broker.queues import to_redis_priority
from taskexec.domain.resources import Route
from taskexec.store.queue_lists import PRIORITY_STEPS


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(0, 9), (1, 6), (2, 6), (3, 6), (4, 3), (5, 3), (6, 3), (7, 0), (8, 0), (9, 0), (100, 0), (-1, 9)],
)
def test_higher_priority_of_ours_is_a_lower_step_of_kombus(ours: int, theirs: int) -> None:
    assert to_redis_priority(ours) == theirs


@pytest.mark.parametrize("route", list(Route))
@pytest.mark.parametrize("priority", range(10))
def test_messages_lie_where_kombu_looks_for_them(route: Route, priority: int) -> None:
    kombus: Any = Channel
    channel = SimpleNamespace(sep=Channel.sep, priority_steps=list(PRIORITY_STEPS))
    channel.priority = lambda step: kombus.priority(channel, step)

    assert queue_key(route, priority) == kombus._q_for_pri(channel, str(route), to_redis_priority(priority))


def test_four_named_priorities_have_lists_of_their_own() -> None:
    assert len({queue_key(Route.CPU, priority) for priority in (9, 6, 3, 0)}) == 4
