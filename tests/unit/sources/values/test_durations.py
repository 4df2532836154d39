"""Durations as people, spreadsheets and schedulers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.sources.values.durations import parse_duration_s, seconds_per_unit

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("+90", 90),
        ("0", 0),
        (".5", 0.5),
        ("1.", 1),
        ("1e3", 1_000),
        ("90s", 90),
        ("250 ms", 0.25),
        ("1.5h", 1.5 * HOUR),
        ("15 min", 15 * MINUTE),
        ("2 hrs", 2 * HOUR),
        ("3 days?", 3 * DAY),
        ("3 edays", 3 * DAY),
        ("2 emo", 60 * DAY),
        ("1w 2d", 9 * DAY),
        ("1w2d3h", 9 * DAY + 3 * HOUR),
        ("1 day, 2 hours and 3 min.", DAY + 2 * HOUR + 3 * MINUTE),
        ("1 Tag und 2 Std.", DAY + 2 * HOUR),
        ("0.5 Tage", DAY / 2),
        ("2 Wochen", 14 * DAY),
        ("1 mon", 30 * DAY),
        ("3 jours", 3 * DAY),
        ("2 días", 2 * DAY),
        ("1:30:00", 1.5 * HOUR),
        ("00:00:07.25", 7.25),
        ("100:00:00", 100 * HOUR),
        ("1-02:03:04", DAY + 2 * HOUR + 3 * MINUTE + 4),
        ("1-02:03", DAY + 2 * HOUR + 3 * MINUTE),
        ("PT1H30M", 1.5 * HOUR),
        ("p1dt2h", DAY + 2 * HOUR),
        ("P2W", 14 * DAY),
        ("PT0.5S", 0.5),
    ],
)
def test_written_duration_is_known(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "?",
            "s",
            "soon",
            "-5",
            "-1h",
            "1,5h",
            "5 parsecs",
            "5 d x",
            "d5",
            "1h 30",
            "nan",
            "inf",
            "1e999",
            "٣",
        ),
        *("10:05", "2-04", "1:60:00", "1:2:3:4", "P", "PT", "P1DT", "P1H", "PT1D", "1/2 day", "1 day -2h", "1d" * 60),
    ],
)
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse_duration_s(text)


@pytest.mark.parametrize(("text", "seconds"), [("10:05", 605), ("2-04", 2 * DAY + 4 * HOUR), ("1:00:00", HOUR)])
def test_short_clock_is_minutes_or_hours_of_a_day(text: str, seconds: float) -> None:
    assert parse_duration_s(text, has_short_clock=True) == seconds


def test_bare_number_counts_in_the_unit_of_its_column() -> None:
    assert parse_duration_s("1.5", DAY) == 1.5 * DAY
    assert parse_duration_s("90s", DAY) == 90


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("s", 1), ("Std.", HOUR), ("DAYS", DAY), ("edays", DAY), ("e", None), ("parsec", None), ("", None)],
)
def test_unit_is_a_word_of_time(word: str, seconds: float | None) -> None:
    assert seconds_per_unit(word) == seconds


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_clock_of_any_time_is_read_back(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration_s(f"{hours}:{minutes:02}:{seconds:02}") == hours * HOUR + minutes * MINUTE + seconds


@given(st.text(st.sampled_from("0123456789.,:-+ PTdhmswe?yu"), max_size=150))
def test_any_text_gives_a_finite_duration_or_a_reason(text: str) -> None:
    try:
        seconds = parse_duration_s(text)
    except ValueError:
        return
    assert 0 <= seconds < float("inf")
