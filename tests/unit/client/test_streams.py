"""Tests of server-sent events as they are read."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from taskexec.client.streams import Event, read_events

STREAM = (
    b'retry: 2000\n\n: still here\n\nid: 5-0\nevent: changes\ndata: {"a": 1}\n\n'
    b"event: end\r\ndata: one\r\ndata:two\r\n\r\ndata: unfinished"
)
EVENTS = [Event("changes", '{"a": 1}', "5-0"), Event("end", "one\ntwo", "5-0")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[start:end] for start, end in itertools.pairwise(edges)]

    assert list(read_events(parts)) == EVENTS


def test_event_without_a_name_is_a_message() -> None:
    assert list(read_events([b"data: x\n\n"])) == [Event("message", "x", None)]


def test_time_that_is_up_ends_the_reading() -> None:
    assert list(read_events([b"data: x\n\n", b"data: y\n\n"], until=0.0)) == [Event("message", "x", None)]
