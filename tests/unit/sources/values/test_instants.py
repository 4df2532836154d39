"""Instants as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.clock import iso_time
from taskexec.sources.values.instants import parse_instant

CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "instant", "lacks_zone"),
    [
        ("2026-03-01T18:00:00Z", datetime(2026, 3, 1, 18, tzinfo=UTC), False),
        ("2026-03-01 18:00z", datetime(2026, 3, 1, 18, tzinfo=UTC), False),
        ("2026-03-01T18:00+01:00", datetime(2026, 3, 1, 18, tzinfo=CET), False),
        ("2026-03-01 18:00 +0100", datetime(2026, 3, 1, 18, tzinfo=CET), False),
        ("2026-03-01T18:00+01", datetime(2026, 3, 1, 18, tzinfo=CET), False),
        ("2026-03-01T17:00-00:30", datetime(2026, 3, 1, 17, 30, tzinfo=UTC), False),
        ("2026-03-01 18:00 UTC", datetime(2026, 3, 1, 18, tzinfo=UTC), False),
        ("2026-03-01T18:00:00.25Z", datetime(2026, 3, 1, 18, 0, 0, 250_000, tzinfo=UTC), False),
        ("2026-03-01T18:00:00,123456789Z", datetime(2026, 3, 1, 18, 0, 0, 123_000, tzinfo=UTC), False),
        ("2026-03-01T18:00", datetime(2026, 3, 1, 18, tzinfo=UTC), True),
        ("2026-03-01", datetime(2026, 3, 2, tzinfo=UTC), True),
        ("2026-12-31Z", datetime(2027, 1, 1, tzinfo=UTC), False),
        ("2026-03-01 +01:00", datetime(2026, 3, 2, tzinfo=CET), False),
    ],
)
def test_instants_are_understood(text: str, instant: datetime, lacks_zone: bool) -> None:
    found = parse_instant(text)

    assert (found.at, found.written, found.lacks_zone) == (instant.timestamp(), text, lacks_zone)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "18:00", "2026-3-1", "01.03.2026", "03/01/2026", "2026-02-30", "2026-03-01T24:00Z", "1767225600"),
        *("2026-03-01T18", "2026-03-01T18:00 CET", "2026-03-01T18:00+99:00", "2026-03-01T18:60Z", "9999-12-31"),
        *("2026-03-01T18:00Z Z", "٢٠٢٦-٠٣-٠١", "2026-W09-7", "0000-01-01T00:00Z"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_instant(text)


@given(st.integers(946_684_800_000, 7_258_118_399_999))
def test_what_is_written_is_read_back(instant_ms: int) -> None:
    assert parse_instant(iso_time(instant_ms / 1e3)).at == instant_ms / 1e3
