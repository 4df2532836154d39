"""Numbers, sizes of memory, and values as messages show them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.sources.values.amounts import (
    forbidden_in_id,
    parse_amount,
    parse_count,
    parse_integer,
    parse_memory_mib,
    parse_positive,
    show,
    with_decimal_point,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_amount, "2", 2),
        (parse_amount, "+0.5", 0.5),
        (parse_amount, ".5", 0.5),
        (parse_amount, "1e3", 1_000),
        (parse_amount, "-0", 0),
        (parse_positive, "30", 30),
        (parse_positive, "1e-9", 1e-9),
        (parse_integer, "5", 5),
        (parse_integer, "-5", -5),
        (parse_integer, "3.0", 3),
        (parse_integer, "007", 7),
        (parse_count, "0", 0),
        (parse_count, "3.", 3),
    ],
)
def test_written_number_is_known(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *(
            (parse_amount, text)
            for text in ("", "-1", "1,5", "1_000", "0x10", "nan", "inf", "1e999", "٣", "2 cores", "½")
        ),
        *((parse_positive, text) for text in ("0", "0.0", "-0", "-3", "1e-999", "inf")),
        *((parse_integer, text) for text in ("", "3.5", "1e3", "9" * 19, "five", "²", "1 000")),
        *((parse_count, text) for text in ("-1", "1.5", "")),
    ],
)
def test_other_text_is_no_number(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse(text)


def test_negative_zero_becomes_zero() -> None:
    assert str(parse_amount("-0.0")) == "0.0"


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512", 512),
        ("512.0", 512),
        ("512M", 512),
        ("512 MiB", 512),
        ("512mb", 512),
        ("4G", 4_096),
        ("1.5GiB", 1_536),
        ("2T", 2 * 2**20),
        ("1P", 2**30),
        ("1K", 1),
        ("1025K", 2),
        ("1B", 1),
        ("1048577 bytes", 2),
        ("0", 0),
        ("4Gn", 4_096),
        ("+8g", 8_192),
    ],
)
def test_memory_is_counted_in_mib_and_rounded_up(text: str, mib: int) -> None:
    assert parse_memory_mib(text) == mib


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5", "4X", "4 GGG", "1e3M", ".5G", "999999999P", "4G 2M", "٤G"])
def test_other_text_is_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse_memory_mib(text)


@pytest.mark.parametrize(
    ("text", "unit", "mib"), [("1.5", "g", 1_536), ("2", "k", 1), ("512M", "g", 512), ("3", "b", 1)]
)
def test_bare_amount_of_memory_counts_in_the_unit_of_its_column(text: str, unit: str, mib: int) -> None:
    assert parse_memory_mib(text, unit) == mib


@pytest.mark.parametrize(
    ("text", "written"),
    [("1,5", "1.5"), ("0,125", "0.125"), ("1,50", "1.50"), ("1,5 Tage", "1.5 Tage"), ("12", "12"), ("1.5", "1.5")],
)
def test_decimal_comma_becomes_a_point(text: str, written: str) -> None:
    assert with_decimal_point(text) == written


@pytest.mark.parametrize("text", ["1,500", "+1,500", "12,345", "999,999.5", "1,500 MB"])
def test_comma_that_may_part_thousands_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"thousands or decimals"):
        with_decimal_point(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "`a`"),
        ("", "``"),
        ("a\nb\x1b", "`a\\nb\\x1b`"),
        ("\u202e", "`\\u202e`"),
        ("é報", "`é報`"),
        ("x" * 60, f"`{'x' * 60}`"),
        ("x" * 61, f"`{'x' * 59}…`"),
    ],
)
def test_value_is_shown_on_one_line(value: str, shown: str) -> None:
    assert show(value) == shown


@given(st.text())
def test_any_value_is_shown_with_visible_characters_only(value: str) -> None:
    assert show(value).isprintable()


@pytest.mark.parametrize("text", ["a\0", "a\x1bb", "\x7f", "a\x85", "\ud800"])
def test_control_character_is_forbidden_in_an_id(text: str) -> None:
    assert forbidden_in_id(text) in text


@pytest.mark.parametrize("text", ["", "a b", "é", "a\tb", "報告", "\U0001f600"])
def test_other_characters_are_allowed_in_an_id(text: str) -> None:
    assert forbidden_in_id(text) is None
