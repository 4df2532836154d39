"""All who take part in a run compute the same ids of its trace."""

from __future__ import annotations

import re

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from taskexec.domain.trace import attempt_span_id, is_sampled, root_span_id, trace_id_of, traceparent


def test_ids_are_the_same_each_time_and_differ_from_each_other() -> None:
    ids = [
        root_span_id("r"),
        attempt_span_id("r", 0, 1),
        attempt_span_id("r", 0, 2),
        attempt_span_id("r", 1, 1),
        attempt_span_id("r", 0, 1, 1),
        attempt_span_id("s", 0, 1),
    ]

    assert len(set(ids)) == len(ids)
    assert trace_id_of("r") == trace_id_of("r") != trace_id_of("s")
    assert all(0 < one < 2**64 for one in ids)


def test_parent_has_the_form_of_the_standard() -> None:
    parent = traceparent(trace_id_of("r"), root_span_id("r"), sampled=True)

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent)
    assert traceparent(1, 2, sampled=False).endswith("-00")


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0])
def test_runs_are_sampled_as_opentelemetry_would(ratio: float) -> None:
    sampler = TraceIdRatioBased(ratio)

    for number in range(200):
        trace_id = trace_id_of(f"run-{number}")
        theirs = sampler.should_sample(None, trace_id, "x").decision is not Decision.DROP
        assert is_sampled(trace_id, ratio) == theirs
